"""What a run costs: messages and bytes, to be divided by its posts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from replicator.node.ports import Reply


def _size(headers: Mapping[str, str]) -> int:
    """Return the bytes of header fields as HTTP/1.1 writes them."""
    return sum(len(name) + len(value) + 4 for name, value in headers.items())


@dataclass(slots=True)
class Tally:
    """Counts of everything that was sent, lost replies included; in all and per kind of task."""

    requests: int = 0
    request_bytes: int = 0
    answers: int = 0
    answer_bytes: int = 0
    messages: int = 0
    """Celery messages."""
    by_task: dict[str, Counter[str]] = field(default_factory=dict)
    """Task that asks → the same counts."""

    def request(self, task: str, headers: Mapping[str, str], body: bytes) -> None:
        """Count a request."""
        size = _size(headers) + len(body)
        self.requests += 1
        self.request_bytes += size
        self.by_task.setdefault(task, Counter()).update(requests=1, request_bytes=size)

    def answer(self, task: str, reply: Reply) -> None:
        """Count an answer."""
        size = _size(dict(reply.headers)) + len(reply.body)
        self.answers += 1
        self.answer_bytes += size
        self.by_task.setdefault(task, Counter()).update(answers=1, answer_bytes=size)

    def message(self, task: str) -> None:
        """Count a Celery message."""
        self.messages += 1
        self.by_task.setdefault(task, Counter()).update(messages=1)

    def totals(self) -> dict[str, int]:
        """Return the counts of all tasks together."""
        return {
            "requests": self.requests,
            "request_bytes": self.request_bytes,
            "answers": self.answers,
            "answer_bytes": self.answer_bytes,
            "messages": self.messages,
        }
