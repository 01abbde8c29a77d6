"""What stood in a queue and was no message of this node: kept, bounded, for the operator.

An entry is evidence, not work: nothing reads it back into a queue. All of it may vanish, as all of
the work state may.
"""

from dataclasses import dataclass
from typing import Protocol

from replicator.limits import Limits


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """One queue entry that was set aside instead of being worked on.

    Args:
        at: when it was read (ms).
        queue: where it stood; cut to ``record_chars_max``.
        reason: what is wrong with it, in one line; cut likewise.
        size: its length in bytes, as it stood there.
        head: its first bytes, ``malformed_bytes_max`` of them at most.
    """

    at: int
    queue: str
    reason: str
    size: int
    head: bytes

    def within(self, limits: Limits) -> "MalformedEntry":
        """Return the entry as it is kept: bounded in every member."""
        return MalformedEntry(
            self.at,
            self.queue[: limits.record_chars_max],
            self.reason[: limits.record_chars_max],
            self.size,
            self.head[: limits.malformed_bytes_max],
        )


class MalformedWork(Protocol):
    """The part of `WorkState` that keeps malformed queue entries."""

    def note_malformed(self, entry: MalformedEntry) -> None:
        """Keep an entry; the oldest of more than ``malformed_entries_max`` are dropped."""

    def malformed(self, limit: int) -> list[MalformedEntry]:
        """Return the newest entries, newest first."""

    def count_malformed(self) -> int:
        """Return how many entries are kept."""

    def drop_malformed(self) -> int:
        """Forget all entries; return how many there were."""
