"""The part of the store about other nodes: each method of the port as one transaction."""

from collections.abc import Collection, Sequence

from replicator.adapters.sql import adding, changes, peers, pins, roster
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.room import Room
from replicator.limits import Limits
from replicator.node.ports import Added, Incoming, LanePage, Member, Peer, Pin
from replicator.protocol.ids import Cursor, Digest, KeyText, NodeId
from replicator.protocol.post import Ref


class SqlPeerStore:
    """Implements `replicator.node.ports.PeerStore`; `SqlStore` opens what it works with."""

    _database: Database
    _limits: Limits
    _room: Room

    # members of the pools

    def note_member(self, member: Member, now: int) -> bool:
        """Keep an introduction; False where a newer or equal one is kept already."""
        with self._database.writing() as connection:
            return roster.note_member(connection, member, now, self._limits.roster_entries_max)

    def members(
        self, pool: KeyText | None = None, after: NodeId | None = None, limit: int = 100
    ) -> list[Member]:
        """Return introductions (of one pool), by node id after ``after``."""
        with self._database.reading() as connection:
            return roster.read_members(connection, pool, after, limit)

    def introductions(self, nodes: Collection[NodeId]) -> dict[NodeId, Member]:
        """Return the kept introductions of ``nodes``; those without one are absent."""
        with self._database.reading() as connection:
            return roster.read_introductions(connection, nodes)

    def drop_members(self, before: int) -> int:
        """Forget introductions not renewed since ``before``; return how many."""
        with self._database.writing() as connection:
            return roster.drop_members(connection, before)

    # peers and cursors

    def peers(self) -> list[Peer]:
        """Return all peers, ordered by id."""
        with self._database.reading() as connection:
            return peers.read_peers(connection)

    def peer(self, node: NodeId) -> Peer | None:
        """Return one peer, or None."""
        with self._database.reading() as connection:
            return peers.read_peer(connection, node)

    def add_peer(
        self, node: NodeId, address: str | None, now: int, *, peers_max: int | None = None
    ) -> bool:
        """Add a peer, or give a known one another address; False where there is no place."""
        with self._database.writing() as connection:
            return peers.put_peer(connection, node, address, now, peers_max)

    def join_pools(self, node: NodeId, pools: Collection[KeyText]) -> bool:
        """Note memberships of a peer (added where it is none yet); True where one was new."""
        with self._database.reading() as connection:
            peer = peers.read_peer(connection, node)
        if peer is not None and peer.pools.issuperset(pools):
            return False  # the usual case: every request of a pool-mate comes by here
        with self._database.writing() as connection:
            return peers.put_memberships(connection, node, pools)

    def set_paused(self, node: NodeId, *, paused: bool) -> None:
        """Stop or start the lanes towards a peer."""
        with self._database.writing() as connection:
            peers.set_peer(connection, node, paused=paused)

    def set_clock_offset(self, node: NodeId, offset_ms: int) -> None:
        """Remember a peer's clock minus ours."""
        with self._database.writing() as connection:
            peers.set_peer(connection, node, clock_offset_ms=offset_ms)

    def forget_peer(self, node: NodeId) -> bool:
        """Remove a peer, or the pins of a node that is none; False: there was neither."""
        with self._database.writing() as connection:
            return peers.remove_peer(connection, node)

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        """Return what the lane to ``peer`` has to announce after ``peer.pushed``."""
        with self._database.reading() as connection:
            return changes.read_lane(connection, peer, pools, limit, bytes_max)

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        """Move ``pushed``; raise `CursorConflict` if it moved, or the peer was forgotten."""
        with self._database.writing() as connection:
            peers.move_pushed(connection, node, before, after)

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
        with self._database.writing() as connection:
            peers.move_pulled(connection, node, before, after)
            if posts:
                self._room.require(connection)
            outcomes = adding.add_posts(connection, posts, now, self._limits)
            peers.put_gaps(connection, node, gaps, self._limits.gaps_per_peer_max)
            return outcomes

    def gaps(self, node: NodeId, limit: int) -> list[Ref]:
        """Return refs that pulls from ``node`` passed and that are missing, oldest first."""
        with self._database.reading() as connection:
            return peers.read_gaps(connection, node, limit)

    def drop_gaps(self, node: NodeId, digests: Collection[Digest]) -> None:
        """Forget gaps of one holder."""
        with self._database.writing() as connection:
            peers.remove_gaps(connection, node, digests)

    # pins

    def pins(self, node: NodeId) -> tuple[Pin, ...]:
        """Return the keys pinned for a node, current first; empty where none is."""
        return self.all_pins((node,)).get(node, ())

    def all_pins(self, nodes: Collection[NodeId]) -> dict[NodeId, tuple[Pin, ...]]:
        """Return pins of many nodes in one query; nodes without pins are absent."""
        with self._database.reading() as connection:
            return pins.read_pins(connection, nodes)

    def pinned_under(self, key: KeyText) -> list[NodeId]:
        """Return the nodes for which a key is pinned in any state, in order."""
        with self._database.reading() as connection:
            return pins.nodes_under(connection, key)

    def pin(self, node: NodeId, keys: Collection[KeyText], source: str, now: int) -> bool:
        """Pin keys for a node that has none; return False (and change nothing) where it has."""
        if any(pin.state != "revoked" for pin in self.pins(node)):
            return False  # the usual case is not worth a turn to write
        with self._database.writing() as connection:
            return pins.put_first_pins(connection, node, keys, source, now)

    def repin(
        self, node: NodeId, keys: Collection[KeyText], now: int, *, revoke: bool = False
    ) -> None:
        """Replace a node's pins by the operator's word; current keys become retired."""
        with self._database.writing() as connection:
            pins.replace_pins(connection, node, keys, now, revoke=revoke)

    def key_serial(self, node: NodeId) -> int:
        """Return the serial of the newest key announcement taken of a node; 0: none was."""
        with self._database.reading() as connection:
            return pins.read_serial(connection, node)

    def announce(
        self, node: NodeId, before: Collection[Pin], after: Collection[Pin], serial: int
    ) -> bool:
        """Replace a node's pins by what it announced; False: they are not ``before`` any more."""
        with self._database.writing() as connection:
            return pins.put_announced(connection, node, before, after, serial)
