"""The store's twin in memory: the contract in the plainest form, for tests and the simulator.

Invariants: it answers every call as `replicator.adapters.sql.SqlStore` does (one contract suite
runs over both), and a call that raises changes nothing. It is the reference of the SQL store's
filters: `rules.filters.matches` over decoded content. It keeps everything and forgets nothing on
purpose; it must not be a node's only store.
"""

import secrets
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from replicator.adapters.memory.peers import MemoryPeers
from replicator.limits import Limits
from replicator.node.ports import (
    Added,
    Incoming,
    LanePage,
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
from replicator.rules.merging import kept_digest, merged_signatures

EQUIVOCATION: Final = "equivocation"


@dataclass(slots=True)
class _Held:
    post: Post
    received_from: NodeId | None
    pools: set[KeyText]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A log entry: who sees it (None in ``pools``: readers of everything), who announces it."""

    digest: Digest
    pools: frozenset[KeyText | None]
    entry_pools: frozenset[KeyText]


@dataclass(slots=True)
class _Posts:
    held: dict[Digest, _Held] = field(default_factory=dict)
    by_id: dict[GlobalId, Digest] = field(default_factory=dict)
    decided: dict[Digest, str] = field(default_factory=dict)
    log: list[_Entry] = field(default_factory=list)
    """The entry of sequence n stands at n - 1."""


class MemoryStore:
    """Implements `replicator.node.ports.Store` in memory; threads may share one.

    Args:
        limits: bounds of pages, signatures and gaps.
        log_id: 8 bytes, for a reproducible run; otherwise random.
    """

    def __init__(self, limits: Limits | None = None, *, log_id: bytes | None = None) -> None:
        self._limits = limits or Limits()
        self._log_id = log_id or secrets.token_bytes(LOG_ID_BYTES)
        self._posts = _Posts()
        self._peers = MemoryPeers(self._limits.gaps_per_peer_max)
        self._lock = threading.RLock()

    # posts

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts; one outcome per item, in order."""
        del now  # nothing that the contract shows depends on it
        with self._lock:
            outcomes = [self._add(item) for item in items]
            self._peers.drop_decided(self._known)
            return outcomes

    def publish(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts made here; another content under a held id is a conflict."""
        del now
        with self._lock:
            outcomes = [self._add(item, publishing=True) for item in items]
            self._peers.drop_decided(self._known)
            return outcomes

    def _add(self, item: Incoming, *, publishing: bool = False) -> Added:
        posts, post = self._posts, item.post
        if post.digest in posts.held:
            self._merge(item)
            return Added.KNOWN
        if post.digest in posts.decided:
            return Added.DECIDED
        rival = posts.by_id.get(post.id)
        if rival is not None and publishing:
            return Added.CONFLICT
        if rival is not None and kept_digest(rival, post.digest) == rival:
            posts.decided[post.digest] = EQUIVOCATION
            return Added.LOST
        if rival is not None:
            posts.decided[rival] = EQUIVOCATION
            del posts.held[rival]
        posts.held[post.digest] = _Held(post, item.received_from, set(item.pools))
        posts.by_id[post.id] = post.digest
        posts.log.append(_Entry(post.digest, item.pools | {None}, item.entry_pools & item.pools))
        return Added.STORED if rival is None else Added.REPLACED

    def _merge(self, item: Incoming) -> None:
        held = self._posts.held[item.post.digest]
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
            self._posts.log.append(_Entry(held.post.digest, frozenset(further), announced))

    def decide(self, digests: Collection[Digest], reason: str, now: int) -> None:
        """Record digests as decided against; a held one stays held."""
        del now
        with self._lock:
            for digest in set(digests) - self._known(digests):
                self._posts.decided[digest] = reason
            self._peers.drop_decided(self._known)

    def _known(self, digests: Iterable[Digest]) -> set[Digest]:
        posts = self._posts
        return {digest for digest in digests if digest in posts.held or digest in posts.decided}

    def known(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held or decided against."""
        with self._lock:
            return self._known(digests)

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
            return Page(tuple(posts), self._cursor_at(upto), upto < len(self._posts.log))

    def ref_page(self, query: Query, after: Cursor | None) -> RefPage:
        """As `page`, with refs."""
        page = self.page(query, after)
        return RefPage(tuple(post.ref for post in page.posts), page.cursor, page.more)

    def _read(self, query: Query, start: int) -> tuple[list[Post], int]:
        found: list[Post] = []
        size = 0
        scopes = frozenset({None}) if query.scopes is None else query.scopes
        stop = min(len(self._posts.log), start + self._limits.scan_rows_max)
        at = start
        for sequence in range(start + 1, stop + 1):
            entry = self._posts.log[sequence - 1]
            held = self._posts.held.get(entry.digest)
            if held and entry.pools & scopes and matches(query.filter, held.post.content):
                size += held.post.size
                if found and size > query.bytes_max:
                    return found, at
                found.append(held.post)
                at = sequence
                if len(found) == query.limit:
                    return found, at
        return found, stop

    def end_cursor(self) -> Cursor:
        """Return the cursor after the last change-log entry."""
        with self._lock:
            return self._cursor_at(len(self._posts.log))

    def _start_of(self, after: Cursor | None) -> int:
        if after is None:
            return 0
        position = decode_cursor(after)
        check_position(position, self._log_id, self._digest_at(position.sequence))
        return position.sequence

    def _cursor_at(self, sequence: int) -> Cursor:
        return encode_cursor(self._log_id, sequence, self._digest_at(sequence))

    def _digest_at(self, sequence: int) -> Digest | None:
        if 1 <= sequence <= len(self._posts.log):
            return self._posts.log[sequence - 1].digest
        return None

    def digests(self) -> list[tuple[Digest, int]]:
        """Return (digest, published) of every held post, ordered by digest."""
        with self._lock:
            held = self._posts.held.values()
            return sorted((one.post.digest, one.post.published) for one in held)

    def last_change(self) -> int:
        """Return the sequence of the last change-log entry, 0 where there is none."""
        with self._lock:
            return len(self._posts.log)

    def totals(self) -> Totals:
        """Return counts."""
        with self._lock:
            return Totals(
                posts=len(self._posts.held),
                last_change=len(self._posts.log),
                gaps=self._peers.count_gaps(),
                peers=len(self._peers.all()),
            )

    # peers and cursors

    def peers(self) -> list[Peer]:
        """Return all peers, ordered by id."""
        with self._lock:
            return self._peers.all()

    def peer(self, node: NodeId) -> Peer | None:
        """Return one peer, or None."""
        with self._lock:
            return self._peers.get(node)

    def add_peer(self, node: NodeId, address: str | None, now: int) -> None:
        """Add a peer, or give a known one another address (None keeps the present one)."""
        with self._lock:
            self._peers.add(node, address, now)

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
            return self._peers.forget(node)

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        """Return what the lane to ``peer`` has to announce after ``peer.pushed``."""
        with self._lock:
            refs: list[Ref] = []
            positions: list[int] = []
            upto, size = peer.pushed, 0
            looked = 0
            for sequence in range(peer.pushed + 1, len(self._posts.log) + 1):
                entry = self._posts.log[sequence - 1]
                held = self._posts.held.get(entry.digest)
                if held and entry.entry_pools & pools:
                    looked += 1
                    if held.received_from != peer.id:
                        size += held.post.size
                        if refs and size > bytes_max:
                            return LanePage(tuple(refs), tuple(positions), positions[-1])
                        refs.append(held.post.ref)
                        positions.append(sequence)
                upto = sequence
                if looked == limit:
                    break
            return LanePage(tuple(refs), tuple(positions), upto)

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
            self._peers.move_pulled(node, before, after)
            outcomes = self.add(posts, now)
            known = self._known(ref.digest for ref in gaps)
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
