"""What a run costs: messages and bytes, to be divided by its posts."""

from collections.abc import Mapping
from dataclasses import dataclass

from replicator.node.ports import Reply


def _size(headers: Mapping[str, str]) -> int:
    """Return the bytes of header fields as HTTP/1.1 writes them."""
    return sum(len(name) + len(value) + 4 for name, value in headers.items())


@dataclass(slots=True)
class Tally:
    """Counts of everything that was sent; replies that got lost included."""

    requests: int = 0
    request_bytes: int = 0
    answers: int = 0
    answer_bytes: int = 0
    messages: int = 0
    """Celery messages."""

    def request(self, headers: Mapping[str, str], body: bytes) -> None:
        """Count a request."""
        self.requests += 1
        self.request_bytes += _size(headers) + len(body)

    def answer(self, reply: Reply) -> None:
        """Count an answer."""
        self.answers += 1
        self.answer_bytes += _size(dict(reply.headers)) + len(reply.body)
