"""Posts, decisions, the change log and the reconciled sets of the in-memory store.

The caller holds the store's lock. Invariants: every item of a reconciled set from the floor on is
of a post that is held, or decided against; no item below the floor enters. Log entries go with
their post, sequences are never drawn twice.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from replicator.adapters.memory.moderation import MemoryBlocks, MemoryEquivocations, names_of
from replicator.adapters.memory.peers import MemoryPeers
from replicator.adapters.memory.post_expiry import MemoryExpiry
from replicator.adapters.memory.post_records import Decision, Entry, Held, PoolSet, item_of
from replicator.limits import Limits
from replicator.node.ports import Added, BlockName, Incoming
from replicator.node.ports.moderation_store import blocked_ids
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId, origin_of
from replicator.protocol.post import Post, Ref
from replicator.rules.merging import contenders, merged_signatures
from replicator.rules.negentropy import Item, SortedItems

EQUIVOCATION: Final = "equivocation"
BLOCKED: Final = "blocked"


class MemoryPosts(MemoryExpiry):
    """What a store holds, and what it decided against.

    Args:
        peers: know which keys authenticate posts of an origin, and whose are to be judged anew.
    """

    def __init__(self, limits: Limits, peers: MemoryPeers) -> None:
        self._limits = limits
        self._standing = peers.standing
        self._have_judged = peers.have_judged
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
                self.decide([post], item.pools, BLOCKED, now)
            return Added.DECIDED
        if post.digest in self.held:
            self._merge(item)
            return Added.KNOWN
        if post.digest in self.decided:
            self._show(post.ref, item.pools)
            return Added.DECIDED
        if post.published < self.floor:
            return Added.DECIDED
        if not self._seen(post.id):
            self._store(item)
            return Added.STORED
        if publishing:
            return Added.CONFLICT
        return self._resolve(item, now)

    def _seen(self, post_id: GlobalId) -> dict[Digest, frozenset[KeyText]]:
        """Return the contents seen under an id, held or decided against, with who signed each."""
        held = self.by_id.get(post_id)
        seen = {digest: self.decided[digest].signers for digest in self._fallen.get(post_id, ())}
        return seen if held is None else {**seen, held: self.held[held].post.signers}

    def _contenders(self, post: Post) -> set[Digest]:
        seen = {**self._seen(post.id), post.digest: post.signers}
        return contenders(seen, self._standing(origin_of(post.id)))

    def _resolve(self, item: Incoming, now: int) -> Added:
        """Keep the smallest of the contents that contend, be it not held any more."""
        post, rival = item.post, self.by_id.get(item.post.id)
        among = self._contenders(post)
        if post.digest not in among:
            return Added.LOST
        if rival is not None:
            self.twofold.note(self.held[rival].post, post, now)
        if rival is not None and rival not in among:
            self._let_go(rival)
        if len(among) > 1:
            self.twofold.flag(origin_of(post.id), 1, now)
        if min(among) != post.digest:
            self._note(post, EQUIVOCATION)
            self._show(post.ref, item.pools)
            self._forget_crowd(post.id)
            return Added.LOST
        if rival in self.held:
            self._remove({rival}, EQUIVOCATION)
            self._forget_crowd(post.id)
        self._store(item)
        return Added.STORED if rival is None else Added.REPLACED

    def _remove(self, digests: Collection[Digest], reason: str | None) -> None:
        """Remove posts with their log entries; where there is a reason they are decided by it.

        Only from the floor on: below it nothing is remembered.
        """
        for digest in digests:
            post = self.held.pop(digest).post
            del self.by_id[post.id]
            if reason is not None and post.published >= self.floor:
                self._note(post, reason)
        if digests:
            self.log = [entry for entry in self.log if entry.digest not in digests]

    def _let_go(self, digest: Digest) -> None:
        """Forget a held content, as if it had never been seen."""
        item = item_of(self.held[digest].post.ref)
        self._remove({digest}, None)
        for one in self._sets.values():
            one.change(remove=[item])

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
            item.pools | held.pools | self._standing(origin_of(item.post.id)),
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
        self, posts: Iterable[Post], pools: Collection[KeyText], reason: str | None, now: int
    ) -> None:
        """Record posts as decided against, in pools; without a reason only show what is known."""
        for post in posts:
            if post.published < self.floor:
                continue
            if not self.known([post.digest]):
                if reason is None or post.digest not in self._contenders(post):
                    continue
                self._give_way(post, now)
                self._note(post, reason)
            self._show(post.ref, pools)
            self._forget_crowd(post.id)

    def _give_way(self, post: Post, now: int) -> None:
        """Take out what is held under the id of a content that was seen, where it must go."""
        rival, among = self.by_id.get(post.id), self._contenders(post)
        if rival is not None and rival not in among:
            self._let_go(rival)
        if len(among) > 1:
            self.twofold.flag(origin_of(post.id), 1, now)
        if rival in self.held and post.digest < rival:
            self._remove({rival}, EQUIVOCATION)

    def _note(self, post: Post, reason: str) -> None:
        decision = Decision(reason, post.published, post.id, post.signers)
        self.decided[post.digest] = decision
        self._fallen[post.id].add(post.digest)

    def _forget_crowd(self, post_id: GlobalId) -> None:
        """Keep of what was decided under an id the smallest digests."""
        self._forget(sorted(self._fallen.get(post_id, ()))[self._limits.contents_per_id_max :])

    def _have_rivals_judged(self, ids: Iterable[GlobalId]) -> None:
        """Have the origins judged anew of whose ids something is decided against as having lost."""
        losers = {
            origin_of(post_id)
            for post_id in ids
            for digest in self._fallen.get(post_id, ())
            if self.decided[digest].reason == EQUIVOCATION
        }
        for origin in sorted(losers):
            self._have_judged(origin)

    def _forget(self, digests: Iterable[Digest]) -> None:
        """Forget that digests were decided against; they leave the sets."""
        gone = {digest: self.decided.pop(digest) for digest in digests}
        for digest, one in gone.items():
            self._fallen[one.id].discard(digest)
            if not self._fallen[one.id]:
                del self._fallen[one.id]
        items = {(one.published, bytes.fromhex(digest)) for digest, one in gone.items()}
        for pool in self._sets.values():
            pool.change(remove=items)

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
        ids = {self.decided[digest].id for digest in gone}
        origins = set[NodeId]()
        if exact:
            origins = {origin_of(one) for one in (*ids, *map(GlobalId, blocked_ids(names, "id")))}
        elif len(gone) < most:
            origins = set(map(NodeId, blocked_ids(names, "node")))
        if exact or len(gone) < most:
            self.blocks.done(names)
        self._forget(gone)
        self._have_rivals_judged(ids)
        for origin in sorted(origins):
            self._have_judged(origin, found=True)
        return len(gone) + len(names)

    # contents of one id

    def fallen_ids(self, origin: NodeId, after: str) -> tuple[list[GlobalId], bool]:
        """Return the next ids of an origin with what was decided against; True: the last ones."""
        most = self._limits.expire_items_max
        ids = sorted(one for one in self._fallen if origin_of(one) == origin and one > after)
        return ids[:most], len(ids) < most

    def reopen(
        self, origin: NodeId, ids: Iterable[GlobalId], keys: Collection[KeyText], now: int
    ) -> tuple[Digest, ...]:
        """Take back what of ids would not be lost today (see `ModerationStore.reopen`)."""
        gone: list[Digest] = []
        for post_id in ids:
            gone += self._reopen(origin, post_id, keys, now)
        return tuple(gone)

    def _reopen(
        self, origin: NodeId, post_id: GlobalId, keys: Collection[KeyText], now: int
    ) -> list[Digest]:
        among = contenders(self._seen(post_id), self._standing(origin))
        fallen = {digest: self.decided[digest] for digest in self._fallen[post_id]}
        lost = [digest for digest in fallen if fallen[digest].reason == EQUIVOCATION]
        weak = [digest for digest in lost if digest not in among]
        best = min(among, default=None)
        again = [digest for digest in lost if digest == best]
        back = [
            Incoming(post, origin, frozenset(self._pools_with(item_of(post.ref))))
            for post in self.twofold.lost(again)
        ]
        self._forget([*weak, *again])
        forged = sum(not fallen[digest].signers.intersection(keys) for digest in weak)
        self.twofold.acquit(origin, forged + len(again))
        for item in back:
            self.add(item, now)
        held = self.by_id.get(post_id)
        if held is not None and held not in among and best in self.decided:
            self._let_go(held)
        return [*weak, *again]

    def _pools_with(self, item: Item) -> list[KeyText]:
        return [pool for pool, one in self._sets.items() if item in one.items]

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
