"""Backfills of the in-memory store; the caller holds its lock."""

from collections.abc import Collection
from dataclasses import replace

from replicator.errors import CursorConflict
from replicator.node.ports import Backfill
from replicator.protocol.ids import Cursor, NodeId


class MemoryBackfills:
    """Ways through logs, and what they were started for."""

    def __init__(self, backfills_max: int) -> None:
        self._max = backfills_max
        self._jobs: dict[int, Backfill] = {}
        self.filled: set[str] = set()

    def put(self, peers: Collection[NodeId], query: str, reason: str, now: int) -> list[NodeId]:
        """Note ways with one query; return the peers for which one is noted."""
        noted: list[NodeId] = []
        numbers = {job.peer: job.id for job in self._jobs.values() if job.query == query}
        for peer in sorted(set(peers)):
            if peer not in numbers and len(self._jobs) >= self._max:
                continue
            number = numbers.get(peer, max(self._jobs, default=0) + 1)
            self._jobs[number] = Backfill(number, peer, query, None, reason, now)
            noted.append(peer)
        return noted

    def all(self, peer: NodeId | None) -> list[Backfill]:
        """Return ways (of one peer), the oldest first."""
        return [job for _, job in sorted(self._jobs.items()) if peer in (None, job.peer)]

    def check_at(self, job: Backfill) -> None:
        """Raise `CursorConflict` where a way is not at ``job.cursor`` any more, or gone."""
        now = self._jobs.get(job.id)
        if now is None or (now.peer, now.query, now.cursor) != (job.peer, job.query, job.cursor):
            raise CursorConflict(f"the backfill from {job.peer} is not where it was any more")

    def move(self, job: Backfill, after: Cursor | None, posts: int, remaining: int | None) -> None:
        """Move a way that was checked; back at the epoch its counts start anew."""
        total = 0 if after is None else job.posts + posts
        moved = replace(self._jobs[job.id], cursor=after, posts=total, remaining=remaining)
        self._jobs[job.id] = moved

    def remove(self, job: Backfill) -> None:
        """Forget a way by compare-and-set."""
        self.check_at(job)
        del self._jobs[job.id]

    def forget(self, peer: NodeId) -> None:
        """Forget the ways through a peer's log."""
        for job in self.all(peer):
            del self._jobs[job.id]
