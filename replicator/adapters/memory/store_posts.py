"""Posts, decisions, the change log and the reconciled sets of the in-memory store.

The caller holds the store's lock. Invariants: every item of a reconciled set from the floor on is
of a post that is held, or decided against; no item below the floor enters. Log entries go with
their post, sequences are never drawn twice.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Final

from replicator.adapters.memory.moderation import MemoryBlocks, MemoryEquivocations, names_of
from replicator.adapters.memory.post_records import Decision, Entry, Held, PoolSet, item_of
from replicator.limits import Limits
from replicator.node.ports import Added, BlockName, Incoming, Keep
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId, origin_of
from replicator.protocol.post import Post, Ref
from replicator.rules.merging import kept_digest, merged_signatures
from replicator.rules.negentropy import SortedItems

EQUIVOCATION: Final = "equivocation"
EXPIRED: Final = "expired"
BLOCKED: Final = "blocked"


class MemoryPosts:
    """What a store holds, and what it decided against."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held: dict[Digest, Held] = {}
        self.by_id: dict[GlobalId, Digest] = {}
        self.decided: dict[Digest, Decision] = {}
        self._fallen: dict[GlobalId, set[Digest]] = defaultdict(set)
        self.blocks = MemoryBlocks(limits)
        self.twofold = MemoryEquivocations(limits)
        self.log: list[Entry] = []
        self.last = 0
        self.floor = 0
        self.origin_floors: dict[NodeId, int] = {}
        self._sets: dict[KeyText, PoolSet] = defaultdict(PoolSet)

    # storing

    def add(self, item: Incoming, now: int, *, publishing: bool = False) -> Added:
        """Store one post (see `Store.add` and `Store.publish`)."""
        post = item.post
        if self.blocks.covers(post.digest, post.id):
            if not publishing:
                self.decide([post.ref], item.pools, BLOCKED, now)
            return Added.DECIDED
        if post.digest in self.held:
            self._merge(item)
            return Added.KNOWN
        if post.digest in self.decided:
            self._show(post.ref, item.pools)
            return Added.DECIDED
        if post.published < self.floor:
            return Added.DECIDED
        others = self._others(post.id)
        if not others:
            self._store(item)
            return Added.STORED
        if publishing:
            return Added.CONFLICT
        return self._resolve(item, min(others), now)

    def _others(self, post_id: GlobalId) -> set[Digest]:
        """Return the contents seen under an id, held or decided against."""
        held = self.by_id.get(post_id)
        fallen = self._fallen.get(post_id, set())
        return fallen if held is None else {held, *fallen}

    def _resolve(self, item: Incoming, smallest: Digest, now: int) -> Added:
        """Keep the smallest of all contents seen under an id, be it not held any more."""
        post = item.post
        self.twofold.flag(origin_of(post.id), 1, now)
        rival = self.by_id.get(post.id)
        if rival is not None:
            self.twofold.note(self.held[rival].post, post, now)
        if kept_digest(smallest, post.digest) == smallest:
            self._note(post.ref, EQUIVOCATION)
            self._show(post.ref, item.pools)
            return Added.LOST
        if rival is not None:
            self._remove({rival}, EQUIVOCATION)
        self._store(item)
        return Added.STORED if rival is None else Added.REPLACED

    def _store(self, item: Incoming) -> None:
        post = item.post
        self.held[post.digest] = Held(post, item.received_from, set(item.pools))
        self.by_id[post.id] = post.digest
        self._append(post.digest, item.pools | {None}, item.entry_pools & item.pools)
        self._show(post.ref, item.pools)

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
                self._sets[pool].change(add=[item_of(ref)])

    def decide(
        self, refs: Iterable[Ref], pools: Collection[KeyText], reason: str, now: int
    ) -> None:
        """Record posts as decided against, in pools."""
        for ref in refs:
            if ref.published < self.floor:
                continue
            if not self.known([ref.digest]):
                if self._others(ref.id):
                    self.twofold.flag(origin_of(ref.id), 1, now)
                rival = self.by_id.get(ref.id)
                if rival is not None and kept_digest(rival, ref.digest) == ref.digest:
                    self._remove({rival}, EQUIVOCATION)
                self._note(ref, reason)
            self._show(ref, pools)

    def _note(self, ref: Ref, reason: str) -> None:
        self.decided[ref.digest] = Decision(reason, ref.published, ref.id)
        self._fallen[ref.id].add(ref.digest)

    def _forget(self, digests: Iterable[Digest]) -> None:
        """Forget that digests were decided against."""
        for digest in digests:
            post_id = self.decided.pop(digest).id
            self._fallen[post_id].discard(digest)
            if not self._fallen[post_id]:
                del self._fallen[post_id]

    # blocks

    def held_of(self, names: Collection[BlockName]) -> list[Post]:
        """Return held posts that names stand for."""
        wanted = {*names}
        return [
            held.post
            for digest, held in self.held.items()
            if wanted.intersection(names_of(digest, held.post.id))
        ]

    def blocked_of(self, names: Collection[BlockName]) -> list[Digest]:
        """Return what was decided against as blocked and names stand for."""
        wanted = {*names}
        return [
            digest
            for digest, one in self.decided.items()
            if one.reason == BLOCKED and wanted.intersection(names_of(digest, one.id))
        ]

    def begin_blocks(self, names: Collection[BlockName]) -> int:
        """Remove some posts of blocks; return how much was done."""
        most = self._limits.expire_items_max
        exact = all(name.kind != "node" for name in names)
        doomed = [post.digest for post in self.held_of(names)]
        if not exact:
            doomed = doomed[:most]
        self._remove(set(doomed), BLOCKED)
        if exact or len(doomed) < most:
            self.blocks.done(names)
        return len(doomed) + len(names)

    def end_blocks(self) -> int:
        """Forget some of what lifted blocks decided; return how much was done."""
        names = self.blocks.at_work(ends=True)
        if not names:
            return 0
        most = self._limits.expire_items_max
        free = [
            digest
            for digest in self.blocked_of(names)
            if not self.blocks.covers(digest, self.decided[digest].id)
        ]
        exact = all(name.kind != "node" for name in names)
        gone = free if exact else free[:most]
        if exact or len(gone) < most:
            self.blocks.done(names)
        items = {(self.decided[digest].published, bytes.fromhex(digest)) for digest in gone}
        self._forget(gone)
        for one in self._sets.values():
            one.change(remove=items)
        return len(gone) + len(names)

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
        found = self._sets[pool] if pool in self._sets else PoolSet()
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
                self._note(post.ref, reason)
        if digests:
            self.log = [entry for entry in self.log if entry.digest not in digests]

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
        self._forget(digest for _, digest in gone)
        items = {(published, bytes.fromhex(digest)) for published, digest in gone}
        for one in self._sets.values():
            one.change(remove=items)
        return len(gone)
