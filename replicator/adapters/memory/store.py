"""The store's twin in memory: the contract in the plainest form, for tests and the simulator.

Invariants: it answers every call as `replicator.adapters.sql.SqlStore` does (one contract suite
runs over both), and a call that raises changes nothing. It is the reference of the SQL store's
filters: `rules.filters.matches` over decoded content. What was stored lasts as long as the process:
it must not be a node's only store.
"""

import secrets
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from replicator.adapters.memory.peers import MemoryPeers
from replicator.adapters.memory.peers_roster import MemoryRoster
from replicator.adapters.memory.store_posts import MemoryPosts
from replicator.errors import StoreFull
from replicator.limits import Limits
from replicator.node.ports import (
    Added,
    Incoming,
    Keep,
    LanePage,
    Member,
    Page,
    Peer,
    Pin,
    Query,
    RefPage,
    Totals,
)
from replicator.protocol.cursor import (
    LOG_ID_BYTES,
    check_position,
    decode_cursor,
    encode_cursor,
)
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, Ref
from replicator.rules.filters import matches
from replicator.rules.negentropy import Items


class MemoryStore:
    """Implements `replicator.node.ports.Store` in memory; threads may share one.

    Args:
        limits: bounds of pages, signatures and gaps.
        log_id: 8 bytes, for a reproducible run; otherwise random.
        quota_bytes: canonical bytes of posts beyond which it is full; None: never.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        log_id: bytes | None = None,
        quota_bytes: int | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._log_id = log_id or secrets.token_bytes(LOG_ID_BYTES)
        self._quota_bytes = quota_bytes
        self._posts = MemoryPosts(self._limits)
        self._peers = MemoryPeers(self._limits.gaps_per_peer_max)
        self._roster = MemoryRoster(self._limits.roster_entries_max)
        self._lock = threading.RLock()

    # posts

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts; one outcome per item, in order."""
        del now  # nothing that the contract shows depends on it
        return self._add(items)

    def publish(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts made here; another content under a held id is a conflict."""
        del now
        return self._add(items, publishing=True)

    def _add(self, items: Sequence[Incoming], *, publishing: bool = False) -> list[Added]:
        with self._lock:
            self._check_room(items)
            outcomes = [self._posts.add(item, publishing=publishing) for item in items]
            self._peers.drop_decided(self._posts.known)
            return outcomes

    def _check_room(self, items: Sequence[Incoming]) -> None:
        if items and self.is_full():
            raise StoreFull("the quota for posts is used up")

    def decide(
        self, refs: Collection[Ref], pools: Collection[KeyText], reason: str, now: int
    ) -> None:
        """Record posts as decided against, in pools; a held one stays held."""
        del now
        with self._lock:
            self._posts.decide(refs, pools, reason)
            self._peers.drop_decided(self._posts.known)

    def known(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held or decided against."""
        with self._lock:
            return self._posts.known(digests)

    def held(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held."""
        with self._lock:
            return {digest for digest in digests if digest in self._posts.held}

    def get(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Post]:
        """Return held posts by id or digest within ``scopes``, each once, in no set order."""
        with self._lock:
            named = {self._posts.by_id[post_id] for post_id in ids if post_id in self._posts.by_id}
            found = [self._posts.held[digest] for digest in self.held({*named, *digests})]
            return [held.post for held in found if scopes is None or held.pools & scopes]

    def refs(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Ref]:
        """As `get`, with refs."""
        return [post.ref for post in self.get(ids=ids, digests=digests, scopes=scopes)]

    def page(self, query: Query, after: Cursor | None) -> Page:
        """Return the next posts of the change log."""
        with self._lock:
            start = self._start_of(after)
            posts, upto = self._read(query, start)
            remaining = self._posts.last - upto
            return Page(tuple(posts), self._cursor_at(upto), remaining > 0, remaining)

    def ref_page(self, query: Query, after: Cursor | None) -> RefPage:
        """As `page`, with refs."""
        page = self.page(query, after)
        refs = tuple(post.ref for post in page.posts)
        return RefPage(refs, page.cursor, page.more, page.remaining)

    def _read(self, query: Query, start: int) -> tuple[list[Post], int]:
        found: list[Post] = []
        size = 0
        scopes = frozenset({None}) if query.scopes is None else query.scopes
        at = start
        log, first = self._posts.log, self._posts.index_after(start)
        upto = self._posts.last
        if first < len(log):
            upto = min(upto, log[first].sequence - 1 + self._limits.scan_rows_max)
        for entry in log[first:]:
            if entry.sequence > upto:
                break
            held = self._posts.held.get(entry.digest)
            if held and entry.pools & scopes and matches(query.filter, held.post.content):
                size += held.post.size
                if found and size > query.bytes_max:
                    return found, at
                found.append(held.post)
                at = entry.sequence
                if len(found) == query.limit:
                    return found, at
        return found, upto

    def end_cursor(self) -> Cursor:
        """Return the cursor after the last change-log entry."""
        with self._lock:
            return self._cursor_at(self._posts.last)

    def _start_of(self, after: Cursor | None) -> int:
        if after is None:
            return 0
        position = decode_cursor(after)
        entry = self._posts.digest_at(position.sequence)
        check_position(position, self._log_id, entry, self._posts.last)
        return position.sequence

    def _cursor_at(self, sequence: int) -> Cursor:
        return encode_cursor(self._log_id, sequence, self._posts.digest_at(sequence))

    def digests(self) -> list[tuple[Digest, int]]:
        """Return (digest, published) of every held post, ordered by digest."""
        with self._lock:
            held = self._posts.held.values()
            return sorted((one.post.digest, one.post.published) for one in held)

    def last_change(self) -> int:
        """Return the sequence of the last change-log entry, 0 where there is none."""
        with self._lock:
            return self._posts.last

    def totals(self) -> Totals:
        """Return counts."""
        with self._lock:
            return Totals(
                posts=len(self._posts.held),
                last_change=self._posts.last,
                gaps=self._peers.count_gaps(),
                peers=len(self._peers.all()),
                size=self._posts.size(),
                decided=len(self._posts.decided),
                floor=self._posts.floor,
                full=self.is_full(),
            )

    # the reconciled set

    @contextmanager
    def reconciled(self, pool: KeyText, since: int) -> Iterator[Items]:
        """Give the set that is reconciled within a pool, as it is now."""
        with self._lock:
            items = self._posts.reconciled(pool, since)
        yield items

    # retention and room

    def floor(self) -> int:
        """Return the floor (ms): posts published before are neither kept nor taken."""
        with self._lock:
            return self._posts.floor

    def raise_floor(self, floor: int) -> None:
        """Move the floor up, never down."""
        with self._lock:
            self._posts.raise_floor(floor)

    def origin_floors(self, origins: Collection[NodeId]) -> dict[NodeId, int]:
        """Return floors of origins that have one of their own, above the floor of all."""
        with self._lock:
            floors = self._posts.origin_floors
            return {
                origin: floors[origin]
                for origin in origins
                if floors.get(origin, 0) > self._posts.floor
            }

    def expire(self, keep: Keep, now: int) -> int:
        """Remove some of what is below a floor, or beyond what is kept of its origin."""
        del now
        with self._lock:
            removed = self._posts.expire(keep)
            self._peers.drop_gaps_where(lambda ref: ref.published < self._posts.floor_of(ref))
            return removed

    def is_full(self) -> bool:
        """Tell whether there is no room for another post."""
        with self._lock:
            return self._quota_bytes is not None and self._posts.size() > self._quota_bytes

    # members of the pools

    def note_member(self, member: Member, now: int) -> bool:
        """Keep an introduction; False where a newer or equal one is kept already."""
        with self._lock:
            return self._roster.note(member, now)

    def members(
        self, pool: KeyText | None = None, after: NodeId | None = None, limit: int = 100
    ) -> list[Member]:
        """Return introductions (of one pool), by node id after ``after``."""
        with self._lock:
            return self._roster.page(pool, after, limit)

    def introductions(self, nodes: Collection[NodeId]) -> dict[NodeId, Member]:
        """Return the kept introductions of ``nodes``; those without one are absent."""
        with self._lock:
            return self._roster.of(nodes)

    def drop_members(self, before: int) -> int:
        """Forget introductions not renewed since ``before``; return how many."""
        with self._lock:
            return self._roster.drop(before)

    # peers and cursors

    def peers(self) -> list[Peer]:
        """Return all peers, ordered by id."""
        with self._lock:
            return self._peers.all()

    def peer(self, node: NodeId) -> Peer | None:
        """Return one peer, or None."""
        with self._lock:
            return self._peers.get(node)

    def add_peer(
        self, node: NodeId, address: str | None, now: int, *, peers_max: int | None = None
    ) -> bool:
        """Add a peer, or give a known one another address; False where there is no place."""
        with self._lock:
            is_new = self._peers.get(node) is None
            if is_new and peers_max is not None and len(self._peers.all()) >= peers_max:
                return False
            self._peers.add(node, address, now)
            return True

    def join_pools(self, node: NodeId, pools: Collection[KeyText]) -> bool:
        """Note memberships of a peer (added where it is none yet); True where one was new."""
        with self._lock:
            return self._peers.join(node, pools)

    def set_paused(self, node: NodeId, *, paused: bool) -> None:
        """Stop or start the lanes towards a peer."""
        with self._lock:
            self._peers.change(node, paused=paused)

    def set_clock_offset(self, node: NodeId, offset_ms: int) -> None:
        """Remember a peer's clock minus ours."""
        with self._lock:
            self._peers.change(node, clock_offset_ms=offset_ms)

    def forget_peer(self, node: NodeId) -> bool:
        """Remove a peer, or the pins of a node that is none; False: there was neither."""
        with self._lock:
            self._roster.forget(node)
            return self._peers.forget(node)

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        """Return what the lane to ``peer`` has to announce after ``peer.pushed``."""
        with self._lock:
            refs: list[Ref] = []
            positions: list[int] = []
            size = looked = 0
            for entry in self._posts.log[self._posts.index_after(peer.pushed) :]:
                held = self._posts.held.get(entry.digest)
                if held and entry.entry_pools & pools:
                    looked += 1
                    if held.received_from != peer.id:
                        size += held.post.size
                        if refs and size > bytes_max:
                            return LanePage(tuple(refs), tuple(positions), positions[-1])
                        refs.append(held.post.ref)
                        positions.append(entry.sequence)
                    if looked == limit:
                        return LanePage(tuple(refs), tuple(positions), entry.sequence)
            return LanePage(tuple(refs), tuple(positions), max(self._posts.last, peer.pushed))

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        """Move ``pushed``; raise `CursorConflict` if it moved, or the peer was forgotten."""
        with self._lock:
            self._peers.move_pushed(node, before, after)

    def record_pull(
        self,
        node: NodeId,
        before: Cursor | None,
        after: Cursor | None,
        *,
        posts: Sequence[Incoming] = (),
        gaps: Sequence[Ref] = (),
        now: int,
    ) -> list[Added]:
        """Commit one pulled page at once; raise `CursorConflict` where the cursor moved."""
        with self._lock:
            self._check_room(posts)
            self._peers.move_pulled(node, before, after)
            outcomes = self.add(posts, now)
            known = self._posts.known(ref.digest for ref in gaps)
            self._peers.add_gaps(node, [ref for ref in gaps if ref.digest not in known])
            return outcomes

    def gaps(self, node: NodeId, limit: int) -> list[Ref]:
        """Return refs that pulls from ``node`` passed and that are missing, oldest first."""
        with self._lock:
            return self._peers.gaps(node)[:limit]

    def drop_gaps(self, node: NodeId, digests: Collection[Digest]) -> None:
        """Forget gaps of one holder."""
        with self._lock:
            self._peers.drop_gaps(node, digests)

    # pins

    def pins(self, node: NodeId) -> tuple[Pin, ...]:
        """Return the keys pinned for a node, current first; empty where none is."""
        return self.all_pins((node,)).get(node, ())

    def all_pins(self, nodes: Collection[NodeId]) -> dict[NodeId, tuple[Pin, ...]]:
        """Return pins of many nodes; nodes without pins are absent."""
        with self._lock:
            return self._peers.pins(nodes)

    def pin(self, node: NodeId, keys: Collection[KeyText], source: str, now: int) -> bool:
        """Pin keys for a node that has none; return False (and change nothing) where it has."""
        with self._lock:
            return self._peers.pin(node, keys, source, now)

    def repin(self, node: NodeId, keys: Collection[KeyText], now: int) -> None:
        """Replace a node's pins by the operator's word; current keys become retired."""
        with self._lock:
            self._peers.repin(node, keys, now)
