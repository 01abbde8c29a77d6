"""What the database keeps of other nodes, as a port: introductions, peers, cursors and pins."""

from collections.abc import Collection, Sequence
from typing import Protocol

from replicator.node.ports.records import Added, Incoming, LanePage, Member, Peer, Pin
from replicator.protocol.ids import Cursor, Digest, KeyText, NodeId
from replicator.protocol.post import Ref


class PeerStore(Protocol):
    """The part of `Store` about other nodes."""

    # members of the pools

    def note_member(self, member: Member, now: int) -> bool:
        """Keep an introduction; False where a newer or equal one is kept already.

        Beyond ``roster_entries_max`` the one that was longest not renewed goes.
        """

    def members(
        self, pool: KeyText | None = None, after: NodeId | None = None, limit: int = 100
    ) -> list[Member]:
        """Return introductions (of one pool), by node id after ``after``."""

    def introductions(self, nodes: Collection[NodeId]) -> dict[NodeId, Member]:
        """Return the kept introductions of ``nodes``; those without one are absent."""

    def drop_members(self, before: int) -> int:
        """Forget introductions not renewed since ``before`` (ms, our clock); return how many."""

    # peers and cursors

    def peers(self) -> list[Peer]:
        """Return all peers, ordered by id."""

    def peer(self, node: NodeId) -> Peer | None:
        """Return one peer, or None."""

    def add_peer(
        self, node: NodeId, address: str | None, now: int, *, peers_max: int | None = None
    ) -> bool:
        """Add a peer, or give a known one another address (None keeps the present one).

        False, and nothing is changed, where it is new and there are ``peers_max`` already.
        """

    def join_pools(self, node: NodeId, pools: Collection[KeyText]) -> bool:
        """Note that a peer proved membership in pools; return whether any was new.

        When a membership is new, the peer's lane starts from the beginning of the log (``pushed``
        0), and its pull cursor from the epoch: the scope both share has grown.
        """

    def set_paused(self, node: NodeId, *, paused: bool) -> None:
        """Stop or start the lanes towards a peer."""

    def set_clock_offset(self, node: NodeId, offset_ms: int) -> None:
        """Remember a peer's clock minus ours."""

    def forget_peer(self, node: NodeId) -> bool:
        """Remove a peer with its pins, pools, cursors, gaps and introduction; posts stay.

        What it gave that waits in quarantine goes too, and its backfills. Revoked keys stay: no
        key that was taken back counts again because its node was forgotten.

        False: there was neither a peer nor another pin. The next introduction of it is news again.
        """

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        """Return what the lane to ``peer`` has to announce after ``peer.pushed``.

        That is every entry of a post with one of ``pools`` among its entry pools, not received
        from the peer itself. Looks at a bounded number of entries; ``upto`` moves in any case.
        """

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        """Move ``pushed`` from ``before`` to ``after``; raise `CursorConflict` if it moved."""

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
        """Commit one pulled page: its posts, what could not be had yet, and the cursor, at once.

        Gaps that are decided already are not kept. Raises `CursorConflict`, and saves nothing,
        where the cursor is not ``before`` any more.
        """

    def gaps(self, node: NodeId, limit: int) -> list[Ref]:
        """Return refs that pulls from ``node`` passed and that are still missing, oldest first."""

    def drop_gaps(self, node: NodeId, digests: Collection[Digest]) -> None:
        """Forget gaps of one holder (it turned out not to give them)."""

    # pins

    def pins(self, node: NodeId) -> tuple[Pin, ...]:
        """Return the keys pinned for a node, current first; empty where none is."""

    def all_pins(self, nodes: Collection[NodeId]) -> dict[NodeId, tuple[Pin, ...]]:
        """Return pins of many nodes in one query; nodes without pins are absent."""

    def pinned_under(self, key: KeyText) -> list[NodeId]:
        """Return the nodes for which a key is pinned in any state, in order."""

    def pin(self, node: NodeId, keys: Collection[KeyText], source: str, now: int) -> bool:
        """Pin keys for a node that has none but revoked ones, and not these again.

        Returns False, and changes nothing, where it has others, or no key is left to pin.
        """

    def repin(
        self, node: NodeId, keys: Collection[KeyText], now: int, *, revoke: bool = False
    ) -> None:
        """Replace a node's pins by the operator's word; current ones become retired.

        With ``revoke`` all others become revoked: who stole one must not sign posts with it.

        ``keys`` are current from now on, whatever they were. What the node announced before is
        forgotten: an announcement of any serial counts anew.
        """

    def key_serial(self, node: NodeId) -> int:
        """Return the serial of the newest key announcement taken of a node; 0: none was."""

    def announce(
        self, node: NodeId, before: Collection[Pin], after: Collection[Pin], serial: int
    ) -> bool:
        """Replace all pins of a node by what it announced, and keep the serial, at once.

        False, and nothing is changed, where its pins are not ``before`` any more (the operator
        pinned others meanwhile), where it has none, or where its serial is not smaller.
        """
