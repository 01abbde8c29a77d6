"""The part of the in-memory store about backfills."""

import threading
from collections.abc import Collection, Sequence

from replicator.adapters.memory.backfill import MemoryBackfills
from replicator.adapters.memory.peers import MemoryPeers
from replicator.adapters.memory.store_posts import MemoryPosts
from replicator.node.ports import Added, Backfill, Incoming
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.post import Ref


class MemoryBackfillStore:
    """Implements `replicator.node.ports.BackfillStore`; `MemoryStore` makes what it works with."""

    _lock: threading.RLock
    _posts: MemoryPosts
    _peers: MemoryPeers
    _backfills: MemoryBackfills

    def _add(self, items: Sequence[Incoming], now: int, *, publishing: bool = False) -> list[Added]:
        raise NotImplementedError

    def _check_room(self, items: Sequence[Incoming]) -> None:
        raise NotImplementedError

    def add_backfills(
        self,
        peers: Collection[NodeId],
        query: str,
        reason: str,
        now: int,
        *,
        whole: tuple[str, str] | None = None,
    ) -> None:
        """Note a way through the log of each of ``peers``; where they are many, one for all."""
        with self._lock:
            self._backfills.put(peers, query, (reason, now), whole)

    def backfills(self, peer: NodeId | None = None) -> list[Backfill]:
        """Return backfills (of one peer), the oldest first."""
        with self._lock:
            return self._backfills.all(peer)

    def move_backfill(
        self,
        job: Backfill,
        after: Cursor | None,
        *,
        posts: Sequence[Incoming] = (),
        gaps: Sequence[Ref] = (),
        remaining: int | None = None,
        now: int,
    ) -> list[Added]:
        """Commit one page with its cursor; raise `CursorConflict` where that moved."""
        with self._lock:
            self._backfills.check_at(job)
            self._check_room(posts)
            self._backfills.move(job, after, len(posts), remaining)
            outcomes = self._add(posts, now)
            known = self._posts.known(ref.digest for ref in gaps)
            self._peers.add_gaps(job.peer, [ref for ref in gaps if ref.digest not in known])
            return outcomes

    def end_backfill(self, job: Backfill) -> None:
        """Forget one that is at its end; raise `CursorConflict` where it moved."""
        with self._lock:
            self._backfills.remove(job)

    def filled(self) -> set[str]:
        """Return for what backfills were started."""
        with self._lock:
            return set(self._backfills.filled)

    def note_filled(self, names: Collection[str], now: int) -> None:
        """Note that backfills were started for ``names``, and for nothing else."""
        del now
        with self._lock:
            self._backfills.filled = set(names)
