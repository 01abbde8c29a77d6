"""Posts, decisions, the change log and the reconciled sets of the in-memory store.

The caller holds the store's lock. Invariants: every item of a reconciled set from the floor on is
of a post that is held, or decided against; no item below the floor enters. Log entries go with
their post, sequences are never drawn twice.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from replicator.limits import Limits
from replicator.node.ports import Added, Incoming, Keep
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId, origin_of
from replicator.protocol.post import Post, Ref
from replicator.rules.merging import kept_digest, merged_signatures
from replicator.rules.negentropy import Item, SortedItems

EQUIVOCATION: Final = "equivocation"
EXPIRED: Final = "expired"


@dataclass(slots=True)
class Held:
    """A post with what the store notes about it."""

    post: Post
    received_from: NodeId | None
    pools: set[KeyText]


@dataclass(frozen=True, slots=True)
class Entry:
    """A log entry: who sees it (None in ``pools``: readers of everything), who announces it."""

    sequence: int
    digest: Digest
    pools: frozenset[KeyText | None]
    entry_pools: frozenset[KeyText]


@dataclass(frozen=True, slots=True)
class _Decision:
    reason: str
    published: int


@dataclass(slots=True)
class _Set:
    """The reconciled set of one pool, sorted when it is asked for."""

    items: set[Item] = field(default_factory=set)
    sorted: SortedItems | None = None

    def change(self, *, add: Iterable[Item] = (), remove: Iterable[Item] = ()) -> None:
        self.items.update(add)
        self.items.difference_update(remove)
        self.sorted = None

    def view(self) -> SortedItems:
        if self.sorted is None:
            self.sorted = SortedItems(self.items)
        return self.sorted


def _item(ref: Ref) -> Item:
    return ref.published, bytes.fromhex(ref.digest)


class MemoryPosts:
    """What a store holds, and what it decided against."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held: dict[Digest, Held] = {}
        self.by_id: dict[GlobalId, Digest] = {}
        self.decided: dict[Digest, _Decision] = {}
        self.log: list[Entry] = []
        self.last = 0
        self.floor = 0
        self.origin_floors: dict[NodeId, int] = {}
        self._sets: dict[KeyText, _Set] = defaultdict(_Set)

    # storing

    def add(self, item: Incoming, *, publishing: bool = False) -> Added:
        """Store one post (see `Store.add` and `Store.publish`)."""
        post = item.post
        if post.digest in self.held:
            self._merge(item)
            return Added.KNOWN
        if post.digest in self.decided:
            self._show(post.ref, item.pools)
            return Added.DECIDED
        if post.published < self.floor:
            return Added.DECIDED
        rival = self.by_id.get(post.id)
        if rival is not None and publishing:
            return Added.CONFLICT
        if rival is not None and kept_digest(rival, post.digest) == rival:
            self.decided[post.digest] = _Decision(EQUIVOCATION, post.published)
            self._show(post.ref, item.pools)
            return Added.LOST
        if rival is not None:
            self._remove({rival}, EQUIVOCATION)
        self.held[post.digest] = Held(post, item.received_from, set(item.pools))
        self.by_id[post.id] = post.digest
        self._append(post.digest, item.pools | {None}, item.entry_pools & item.pools)
        self._show(post.ref, item.pools)
        return Added.STORED if rival is None else Added.REPLACED

    def _merge(self, item: Incoming) -> None:
        held = self.held[item.post.digest]
        signatures = merged_signatures(
            held.post.signatures,
            item.post.signatures,
            item.pools,
            self._limits.post_signatures_max,
        )
        held.post = replace(held.post, signatures=signatures)
        further = item.pools - held.pools
        if further:
            local = held.received_from is None and item.received_from is None
            announced = item.entry_pools & further if local else frozenset[KeyText]()
            held.pools |= further
            self._append(held.post.digest, frozenset(further), announced)
            self._show(held.post.ref, further)

    def _append(
        self,
        digest: Digest,
        pools: frozenset[KeyText | None],
        entry_pools: frozenset[KeyText],
    ) -> None:
        self.last += 1
        self.log.append(Entry(self.last, digest, pools, entry_pools))

    def _show(self, ref: Ref, pools: Collection[KeyText]) -> None:
        if ref.published >= self.floor:
            for pool in pools:
                self._sets[pool].change(add=[_item(ref)])

    def decide(self, refs: Iterable[Ref], pools: Collection[KeyText], reason: str) -> None:
        """Record posts as decided against, in pools."""
        for ref in refs:
            if ref.published < self.floor:
                continue
            if not self.known([ref.digest]):
                self.decided[ref.digest] = _Decision(reason, ref.published)
            self._show(ref, pools)

    # reading

    def known(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return which digests are held or decided against."""
        return {digest for digest in digests if digest in self.held or digest in self.decided}

    def index_after(self, sequence: int) -> int:
        """Return where in the log the first entry after ``sequence`` stands."""
        return bisect_right(self.log, sequence, key=lambda entry: entry.sequence)

    def digest_at(self, sequence: int) -> Digest | None:
        """Return the digest of an entry, None where there is none (any more)."""
        index = self.index_after(sequence) - 1
        if index >= 0 and self.log[index].sequence == sequence:
            return self.log[index].digest
        return None

    def reconciled(self, pool: KeyText, since: int) -> SortedItems:
        """Return the set of a pool as it is now."""
        found = self._sets[pool] if pool in self._sets else _Set()
        return found.view().since(max(since, self.floor))

    def size(self) -> int:
        """Return the canonical bytes held."""
        return sum(held.post.size for held in self.held.values())

    # retention

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

    def _remove(self, digests: Collection[Digest], reason: str) -> None:
        """Remove posts with their log entries; from the floor on they are decided by that."""
        for digest in digests:
            post = self.held.pop(digest).post
            del self.by_id[post.id]
            if post.published >= self.floor:
                self.decided[digest] = _Decision(reason, post.published)
        if digests:
            self.log = [entry for entry in self.log if entry.digest not in digests]

    def _forget_below_floor(self) -> int:
        old = [digest for digest, one in self.decided.items() if one.published < self.floor]
        for digest in old:
            del self.decided[digest]
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
        for _, digest in gone:
            del self.decided[digest]
        items = {(published, bytes.fromhex(digest)) for published, digest in gone}
        for one in self._sets.values():
            one.change(remove=items)
        return len(gone)
