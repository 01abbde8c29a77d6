"""The part of the in-memory store about other nodes."""

import threading
from collections.abc import Collection, Sequence

from replicator.adapters.memory.backfill import MemoryBackfills
from replicator.adapters.memory.peers import MemoryPeers
from replicator.adapters.memory.peers_roster import MemoryRoster
from replicator.adapters.memory.quarantine import MemoryQuarantine
from replicator.adapters.memory.store_posts import MemoryPosts
from replicator.node.ports import Added, Incoming, LanePage, Member, Peer, Pin
from replicator.protocol.ids import Cursor, Digest, KeyText, NodeId
from replicator.protocol.post import Ref


class MemoryPeerStore:
    """Implements `replicator.node.ports.PeerStore`; `MemoryStore` makes what it works with."""

    _lock: threading.RLock
    _posts: MemoryPosts
    _peers: MemoryPeers
    _roster: MemoryRoster
    _quarantine: MemoryQuarantine
    _backfills: MemoryBackfills

    def _add(self, items: Sequence[Incoming], now: int, *, publishing: bool = False) -> list[Added]:
        raise NotImplementedError

    def _check_room(self, items: Sequence[Incoming]) -> None:
        raise NotImplementedError

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
            self._quarantine.forget(node)
            self._backfills.forget(node)
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
            outcomes = self._add(posts, now)
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

    def pinned_under(self, key: KeyText) -> list[NodeId]:
        """Return the nodes for which a key is pinned in any state, in order."""
        with self._lock:
            return self._peers.pinned_under(key)

    def pin(self, node: NodeId, keys: Collection[KeyText], source: str, now: int) -> bool:
        """Pin keys for a node that has none; return False (and change nothing) where it has."""
        with self._lock:
            return self._peers.pin(node, keys, source, now)

    def repin(
        self, node: NodeId, keys: Collection[KeyText], now: int, *, revoke: bool = False
    ) -> None:
        """Replace a node's pins by the operator's word; current keys become retired."""
        with self._lock:
            self._peers.repin(node, keys, now, revoke=revoke)

    def key_serial(self, node: NodeId) -> int:
        """Return the serial of the newest key announcement taken of a node; 0: none was."""
        with self._lock:
            return self._peers.serial(node)

    def announce(
        self, node: NodeId, before: Collection[Pin], after: Collection[Pin], serial: int
    ) -> bool:
        """Replace a node's pins by what it announced; False: they are not ``before`` any more."""
        with self._lock:
            return self._peers.announce(node, before, after, serial)
