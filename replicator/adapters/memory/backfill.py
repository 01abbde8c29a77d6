"""Backfills of the in-memory store; the caller holds its lock."""

from collections.abc import Collection
from dataclasses import replace

from replicator.errors import CursorConflict
from replicator.node.ports import Backfill
from replicator.protocol.ids import Cursor, NodeId


class MemoryBackfills:
    """Ways through logs, and what they were started for."""

    def __init__(self, per_peer_max: int) -> None:
        self._max = per_peer_max
        self._jobs: dict[int, Backfill] = {}
        self.filled: set[str] = set()

    def put(
        self,
        peers: Collection[NodeId],
        query: str,
        started: tuple[str, int],
        whole: tuple[str, str] | None,
    ) -> None:
        """Note ways with one query, ``started`` for a reason, and when (ms)."""
        ways: dict[NodeId, list[Backfill]] = {peer: [] for peer in sorted(set(peers))}
        for job in self.all(None):
            if job.peer in ways:
                ways[job.peer].append(job)
        last = max(self._jobs, default=0)
        for number, (peer, jobs) in enumerate(ways.items(), last + 1):
            noted = self._make_place(jobs, query, whole)
            self._jobs[number] = Backfill(number, peer, noted, None, *started)

    def _make_place(self, jobs: list[Backfill], query: str, whole: tuple[str, str] | None) -> str:
        """Remove what a new way takes the place of; return what that is to look for.

        Args:
            jobs: the ways of its peer, the oldest first.
        """
        same = [job for job in jobs if job.query == query]
        if same or whole is None or len(jobs) < self._max:
            replaced = same
        else:
            first, second = whole
            query = second if jobs[0].query == first else first
            replaced = jobs[1:]
        for job in replaced:
            del self._jobs[job.id]
        return query

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
