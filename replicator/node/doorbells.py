"""Ringing: tell workers that there is work for a peer. A lost ring costs one tick, never data.

A doorbell that is set already is not rung again, so a burst of posts is one message per peer.
"""

from collections.abc import Collection, Sequence

import structlog

from replicator.errors import BrokerUnavailable, WorkUnavailable
from replicator.node.context import Node
from replicator.node.ports import DoorbellKind, Incoming, Ring
from replicator.protocol.ids import KeyText, NodeId

log = structlog.get_logger()


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
    """Ring the lanes of peers in the pools where this node must announce what came in."""
    pools = frozenset[KeyText]().union(*(item.entry_pools for item in incoming))
    if not pools:
        return 0
    peers = [
        peer.id
        for peer in node.store.peers()
        if peer.pools & pools and peer.address is not None and not peer.paused
    ]
    return ring(node, "announce", peers, f"{len(incoming)} posts")
