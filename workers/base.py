"""The base of all tasks, and the one table from errors to what Celery sees.

No task retries by itself: what must happen again is stored state, and the reconciler rings for it.
So an error of the project ends a task well, with a log line and a small result that a person can
read in Flower. Anything else is a bug: it fails the task, visibly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import structlog
from celery import Task

from replicator.errors import (
    CursorConflict,
    InvalidItem,
    Malformed,
    NotSupported,
    PeerMisbehaved,
    PeerRefused,
    Refusal,
    ReplicatorError,
    Unavailable,
)
from replicator.node.context import Node
from workers.lifecycle import process_node

log = structlog.get_logger(__name__)

REASON_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task that met an error ends as: a word for Flower, and how loudly it is logged."""

    word: str
    level: Literal["debug", "info", "warning"]


OUTCOMES: Final[tuple[tuple[type[ReplicatorError], Outcome], ...]] = (
    (Unavailable, Outcome("unavailable", "info")),
    (CursorConflict, Outcome("overtaken", "debug")),
    (InvalidItem, Outcome("invalid", "warning")),
    (PeerMisbehaved, Outcome("peer misbehaved", "warning")),
    (PeerRefused, Outcome("peer refused", "warning")),
    (Refusal, Outcome("refused", "warning")),
    (NotSupported, Outcome("not supported", "warning")),
)
"""First match wins. What matches nothing (a `ConfigurationError`, a bug) raises: FAILURE."""


def outcome_of(error: ReplicatorError) -> Outcome | None:
    """Return how a task ends that met ``error``, or None where it must fail."""
    return next((outcome for kind, outcome in OUTCOMES if isinstance(error, kind)), None)


class NodeTask(Task[Any, Any]):
    """A task that works for the node of its process.

    It says with ``takes`` what its positional arguments are: a parser for each, which returns the
    argument or raises `Malformed`. Keyword arguments there are none. The consumer asks before a
    call comes near a pool process, the task once more before it works.
    """

    abstract = True
    takes: ClassVar[tuple[Callable[[object], Any], ...]] = ()
    acks_late = True
    ignore_result = True
    # A pool child that dies: twice more, at once. A delay would be a countdown, which Redis keeps
    # in worker memory.
    max_retries = 2
    default_retry_delay = 0

    @property
    def node(self) -> Node:
        """The node of this process; raises `Unavailable` while it cannot be opened."""
        return process_node.get()

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return the arguments of a call, parsed.

        Raises:
            Malformed: number, type, length or form of an argument is wrong.
        """
        if kwargs or len(args) != len(self.takes):
            raise Malformed(f"{self.name} takes {len(self.takes)} arguments, none of them by name")
        return [parse(value) for parse, value in zip(self.takes, args, strict=True)]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; turn errors of the project into results, by `OUTCOMES`."""
        try:
            return self.run(*self.check_call(args, kwargs))
        except ReplicatorError as error:
            outcome = outcome_of(error)
            if outcome is None:
                raise
            reason = f"{type(error).__name__}: {error}"[:REASON_CHARS_MAX]
            getattr(log, outcome.level)(
                "task.ended", task=self.name, outcome=outcome.word, reason=reason
            )
            return {"ended": outcome.word, "reason": reason}
