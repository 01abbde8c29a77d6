"""Ringing: tell workers that there is work for a peer. A lost ring costs one tick, never data.

A doorbell that is set already is not rung again, so a burst of posts is one message per peer.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress

import structlog

from replicator.errors import BrokerUnavailable, WorkUnavailable
from replicator.node.context import Node
from replicator.node.ports import DoorbellKind, DueKind, Incoming, Peer, Ring
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules.breaker import lets_out

log = structlog.get_logger()

_TIMED: tuple[DueKind, ...] = ("announce", "pull", "repair", "roster")


def ring(node: Node, kind: DoorbellKind, peers: Collection[NodeId], note: str = "") -> int:
    """Ring one kind of work for peers; return how many messages were sent.

    A broker or work state that does not answer is logged: the reconciler rings again.
    """
    now = node.clock.now()
    try:
        rings = [Ring(kind, peer, note=note) for peer in peers if node.work.ring(kind, peer, now)]
        if rings:
            node.doorbell.ring(rings)
        return len(rings)
    except (BrokerUnavailable, WorkUnavailable) as error:
        log.warning("doorbell.not_rung", kind=kind, reason=str(error))
        return 0


def ring_lanes(node: Node, incoming: Sequence[Incoming]) -> int:
    """Ring the lanes of peers in the pools where this node must announce what came in.

    Peers that may not be called now, and slow ones, are left to the tick: a burst of posts is no
    burst of tasks that find they have nobody to call.
    """
    pools = frozenset[KeyText]().union(*(item.entry_pools for item in incoming))
    if not pools:
        return 0
    peers = [
        peer
        for peer in node.store.peers()
        if peer.pools & pools and peer.address is not None and not peer.paused
    ]
    return ring(node, "announce", _prompt(node, peers), f"{len(incoming)} posts")


def _prompt(node: Node, peers: Sequence[Peer]) -> list[NodeId]:
    """Return the peers whose lanes may run at once."""
    ids = [peer.id for peer in peers]
    now = node.clock.now()
    try:
        breakers = node.work.breakers(ids)
    except WorkUnavailable:
        return []
    return [peer for peer in ids if not breakers[peer].slow and lets_out(breakers[peer], now)]


def due_now(node: Node, peers: Collection[NodeId]) -> None:
    """Have all work with peers done at the next tick, whatever times were set for it.

    Where the work state is away its times are lost too, and are drawn anew.
    """
    now = node.clock.now()
    with suppress(WorkUnavailable):
        for kind in _TIMED:
            node.work.set_dues(kind, dict.fromkeys(peers, now))
