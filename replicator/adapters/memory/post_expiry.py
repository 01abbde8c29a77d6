"""What the in-memory store does not keep any more: floors, surplus, and what stands below them.

The caller holds the store's lock. A post that goes while it is above the floor stays in the sets,
decided against.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Final

from replicator.adapters.memory.post_records import Decision, Held, PoolSet
from replicator.limits import Limits
from replicator.node.ports import Keep
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId, origin_of
from replicator.protocol.post import Post, Ref

EXPIRED: Final = "expired"


class MemoryExpiry:
    """The part of `MemoryPosts` about retention; that makes what it works with."""

    _limits: Limits
    held: dict[Digest, Held]
    decided: dict[Digest, Decision]
    floor: int
    origin_floors: dict[NodeId, int]
    _sets: dict[KeyText, PoolSet]
    _remove: Callable[[Collection[Digest], str | None], None]
    _forget: Callable[[Iterable[Digest]], None]
    _have_rivals_judged: Callable[[Iterable[GlobalId]], None]

    def raise_floor(self, floor: int) -> None:
        """Move the floor up, never down."""
        self.floor = max(self.floor, floor)

    def floor_of(self, ref: Ref) -> int:
        """Return the floor that counts for a post."""
        return max(self.floor, self.origin_floors.get(origin_of(ref.id), 0))

    def expire(self, keep: Keep) -> int:
        """Remove some of what is not kept any more; 0: there is nothing."""
        steps: tuple[Callable[[], None], ...] = (
            lambda: None,
            lambda: self._raise_origin_floors(keep),
            self._fit_decided,
        )
        for prepare in steps:
            prepare()
            removed = self._remove_below_floors() or self._forget_below_floor()
            if removed:
                return removed
        return self._forget_surplus()

    def _remove_below_floors(self) -> int:
        doomed = [
            digest
            for digest, held in self.held.items()
            if held.post.published < self.floor_of(held.post.ref)
        ][: self._limits.expire_items_max]
        self._remove(set(doomed), EXPIRED)
        return len(doomed)

    def _forget_below_floor(self) -> int:
        old = [digest for digest, one in self.decided.items() if one.published < self.floor]
        self._forget(old)
        forgotten = len(old)
        for one in self._sets.values():
            below = [item for item in one.items if item[0] < self.floor]
            if below:
                one.change(remove=below)
                forgotten += len(below)
        return forgotten

    def _raise_origin_floors(self, keep: Keep) -> None:
        by_origin: dict[NodeId, list[Post]] = defaultdict(list)
        for held in self.held.values():
            by_origin[origin_of(held.post.id)].append(held.post)
        for origin, posts in by_origin.items():
            floor = self._floor_to_keep(posts, keep)
            if floor:
                self.origin_floors[origin] = max(floor, self.origin_floors.get(origin, 0))

    def _floor_to_keep(self, posts: list[Post], keep: Keep) -> int:
        count, size, floor = len(posts), sum(post.size for post in posts), 0
        posts.sort(key=lambda post: post.published)
        for post in posts[: self._limits.expire_items_max]:
            too_many = keep.posts is not None and count > keep.posts
            if not too_many and (keep.size is None or size <= keep.size):
                break
            count, size, floor = count - 1, size - post.size, post.published + 1
        return floor

    def _fit_decided(self) -> None:
        surplus = len(self.decided) - self._limits.decided_items_max
        if surplus > 0:
            oldest = sorted(one.published for one in self.decided.values())
            # never past a post that is held: anybody can have posts decided against
            oldest_held = min((held.post.published for held in self.held.values()), default=0)
            self.raise_floor(min(oldest[surplus - 1] + 1, oldest_held))

    def _forget_surplus(self) -> int:
        """Forget the oldest of too many digests, where the floor cannot rise past them."""
        surplus = len(self.decided) - self._limits.decided_items_max
        oldest = sorted((one.published, digest) for digest, one in self.decided.items())
        gone = oldest[: max(0, min(surplus, self._limits.expire_items_max))]
        ids = {self.decided[digest].id for _, digest in gone}
        self._forget([digest for _, digest in gone])
        self._have_rivals_judged(ids)
        return len(gone)
