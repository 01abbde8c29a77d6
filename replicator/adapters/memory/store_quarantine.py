"""The part of the in-memory store about posts of unknown origin."""

import threading
from collections.abc import Collection, Sequence

from replicator.adapters.memory.quarantine import MemoryQuarantine
from replicator.adapters.memory.store_posts import MemoryPosts
from replicator.node.ports import Waiting, WaitingEntry, WaitingOrigin
from replicator.protocol.ids import Digest, NodeId


class MemoryQuarantineStore:
    """Implements `replicator.node.ports.QuarantineStore`; `MemoryStore` makes its parts."""

    _lock: threading.RLock
    _posts: MemoryPosts
    _quarantine: MemoryQuarantine

    def is_full(self) -> bool:
        """Tell whether there is no room for another post."""
        raise NotImplementedError

    def quarantine(self, items: Sequence[Waiting], now: int) -> set[Digest]:
        """Keep copies as far as there is room; return which of their digests wait now."""
        with self._lock:
            if self.is_full():
                return set()
            known = self._posts.known({item.post.digest for item in items})
            return self._quarantine.put([one for one in items if one.post.digest not in known], now)

    def quarantined(self, deliverer: NodeId, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` wait here as ``deliverer`` gave them."""
        with self._lock:
            return self._quarantine.among(deliverer, digests)

    def waiting(self, after: int, limit: int) -> list[WaitingEntry]:
        """Return copies by their number after ``after``; reads no content."""
        with self._lock:
            return self._quarantine.entries(after, limit)

    def waiting_copies(self, ids: Collection[int]) -> dict[int, Waiting]:
        """Return copies by their numbers; those that are gone are absent."""
        with self._lock:
            return self._quarantine.copies(ids)

    def drop_waiting(self, ids: Collection[int]) -> None:
        """Forget copies by their numbers."""
        with self._lock:
            self._quarantine.drop(ids)

    def expire_waiting(self, before: int) -> int:
        """Forget copies noted before ``before``, or decided here meanwhile; return how many."""
        with self._lock:
            return self._quarantine.expire(before, self._posts.known)

    def waiting_origins(self) -> list[WaitingOrigin]:
        """Return what waits, by origin."""
        with self._lock:
            return self._quarantine.origins()
