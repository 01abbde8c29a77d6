"""Malformed queue entries in memory; part of `MemoryWorkState`."""

from collections import deque

from replicator.adapters.memory.exclusive import Exclusive, exclusive
from replicator.limits import Limits
from replicator.node.ports import MalformedEntry


class MemoryMalformed(Exclusive):
    """The malformed entries of one node in a test or a simulation."""

    _limits: Limits

    def _forget_malformed(self) -> None:
        self._malformed = deque[MalformedEntry](maxlen=self._limits.malformed_entries_max)

    @exclusive
    def note_malformed(self, entry: MalformedEntry) -> None:
        """Keep an entry; the oldest of more than ``malformed_entries_max`` are dropped."""
        self._malformed.appendleft(entry.within(self._limits))

    @exclusive
    def malformed(self, limit: int) -> list[MalformedEntry]:
        """Return the newest entries, newest first."""
        return list(self._malformed)[: max(0, limit)]

    @exclusive
    def count_malformed(self) -> int:
        """Return how many entries are kept."""
        return len(self._malformed)

    @exclusive
    def drop_malformed(self) -> int:
        """Forget all entries; return how many there were."""
        count = len(self._malformed)
        self._forget_malformed()
        return count
