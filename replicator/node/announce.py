"""The lane of one peer: read the change log after its cursor, send signed puts, move the cursor.

One delivery per peer is in flight at a time (a lease saves work; the cursor's compare-and-set is
the fence). The lane moves on any successful answer, whatever the items say; on ``busy`` or no
answer it stays. What a peer cannot take even alone is left to repair.
"""

from dataclasses import dataclass

import structlog

from replicator.errors import CursorConflict, ReplicatorError
from replicator.node.context import Node
from replicator.node.delivery import Pace, deliver
from replicator.node.doorbells import ring
from replicator.node.health import reachable
from replicator.node.ports import LanePage, Peer
from replicator.node.turns import turn
from replicator.protocol.ids import NodeId

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Announced:
    """What one run of a lane did; ``more``: the slice ended before the lane did."""

    peer: NodeId
    puts: int = 0
    posts: int = 0
    more: bool = False
    ended: str = "done"


def announce(node: Node, peer_id: NodeId) -> Announced:
    """Deliver what a peer's lane holds, for at most a slice of time."""
    with turn(node, "announce", peer_id) as not_ours:
        if not_ours:
            return Announced(peer_id, ended=not_ours)
        report = _run_lane(node, peer_id)
    if report.more:
        ring(node, "announce", [peer_id], "more")
    return report


def _run_lane(node: Node, peer_id: NodeId) -> Announced:
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    puts = posts = 0
    pace = Pace(node.limits.items_max)
    while True:
        peer = node.store.peer(peer_id)
        if peer is None or not reachable(node, peer):
            return Announced(peer_id, puts, posts, ended="not reachable")
        page = next_page(node, peer)
        if not page.refs:
            return Announced(peer_id, puts, posts)
        if node.clock.monotonic() >= deadline:
            return Announced(peer_id, puts, posts, more=True)
        try:
            posts += _deliver_page(node, peer, page, pace)
        except CursorConflict:
            return Announced(peer_id, puts, posts, ended="overtaken")
        except ReplicatorError as error:
            log.info("lane.stopped", peer=peer_id, reason=str(error))
            return Announced(peer_id, puts, posts, ended=type(error).__name__)
        puts += 1


def next_page(node: Node, peer: Peer) -> LanePage:
    """Return what the lane has to say next, moving its cursor past entries it need not say.

    The lane of a peer that has proved no pool yet stays: it might prove one in this moment.
    """
    pools = node.identity.reach(peer.pools)
    limits = node.limits
    while True:
        page = node.store.lane(peer, pools, limits.items_max, limits.batch_bytes_max)
        if page.refs or page.upto == peer.pushed or not pools:
            return page
        node.store.move_lane(peer.id, peer.pushed, page.upto)
        moved = node.store.peer(peer.id)
        if moved is None:
            return LanePage((), (), page.upto)
        peer = moved


def _deliver_page(node: Node, peer: Peer, page: LanePage, pace: Pace) -> int:
    """Send one put; return how many posts the lane moved past, 0 where another try is needed."""
    count = deliver(node, peer, page.refs, pace)
    if count:
        upto = page.upto if count == len(page.refs) else page.positions[count - 1]
        node.store.move_lane(peer.id, peer.pushed, upto)
    return count
