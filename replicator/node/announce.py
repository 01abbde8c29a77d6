"""The lane of one peer: read the change log after its cursor, send signed puts, move the cursor.

One delivery per peer is in flight at a time (a lease saves work; the cursor's compare-and-set is
the fence). The lane moves on any successful answer, whatever the items say; on ``busy`` or no
answer it stays. What a peer cannot take even alone is left to repair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from replicator.errors import CursorConflict, ErrorCode, PeerRefused, ReplicatorError
from replicator.limits import PROTOCOL_FLOOR
from replicator.node.context import Node
from replicator.node.doorbells import ring
from replicator.node.health import ask, reachable
from replicator.node.ports import LanePage, Peer
from replicator.node.turns import turn
from replicator.protocol import codec
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import NO_ADDRESS, Answer, Put, PutAnswer
from replicator.protocol.post import Ref
from replicator.rules.batching import plan_put

log = structlog.get_logger()

_HALVE_ON = frozenset({ErrorCode.MALFORMED, ErrorCode.TOO_LARGE})


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


@dataclass(slots=True)
class _Pace:
    """What a run has learned of what its peer takes."""

    items_max: int
    models_only: bool = False


def _run_lane(node: Node, peer_id: NodeId) -> Announced:
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    puts = posts = 0
    pace = _Pace(node.limits.items_max)
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
            posts += _deliver(node, peer, page, pace)
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
    pools = peer.pools & node.identity.pools
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


def _deliver(node: Node, peer: Peer, page: LanePage, pace: _Pace) -> int:
    """Send one put; return how many posts the lane moved past, 0 where another try is needed."""
    plan = plan_put(page.refs, node.limits, pace.items_max)
    inline = plan.inline or pace.models_only
    refs = page.refs[: plan.count]
    put = _put(node, refs, inline=inline)
    halved = max(1, plan.count // 2)
    if plan.count > 1 and not _fits(put):
        pace.items_max = halved
        return 0
    try:
        answer = ask(node, peer, put, expected=_HALVE_ON).answer
    except PeerRefused as refusal:
        if refusal.code not in _HALVE_ON:
            raise
        if plan.count > 1:
            pace.items_max = halved
            return 0
        log.warning("lane.undeliverable", peer=peer.id, post=refs[0].id, code=refusal.code)
    else:
        if not inline and _cannot_fetch(answer):
            pace.models_only = True
            return 0
    pace.items_max = node.limits.items_max
    upto = page.upto if plan.count == len(page.refs) else page.positions[plan.count - 1]
    node.store.move_lane(peer.id, peer.pushed, upto)
    return plan.count


def _cannot_fetch(answer: Answer) -> bool:
    """Tell whether the peer wants posts, not refs, because it has no address of this node."""
    items = answer.items if isinstance(answer, PutAnswer) else ()
    return any(item.reason == NO_ADDRESS for item in items)


def _put(node: Node, refs: Sequence[Ref], *, inline: bool) -> Put:
    if not inline:
        return Put(refs=tuple(refs))
    order = {ref.digest: place for place, ref in enumerate(refs)}
    posts = sorted(node.store.get(digests=order), key=lambda post: order[post.digest])
    return Put(models=tuple(codec.model_tree(post) for post in posts))


def _fits(put: Put) -> bool:
    """Tell whether every node takes a message of this size.

    A larger one may be refused by a gateway that has not verified it: that would be an unsigned
    answer, from which nothing can be learned.
    """
    encoded = codec.encode(codec.JSON, codec.request_tree(put))
    return len(encoded) <= PROTOCOL_FLOOR["message_bytes_max"]
