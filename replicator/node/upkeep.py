"""Slow, regular housekeeping: what pulls left open is queued again, in case Redis forgot it."""

from dataclasses import dataclass

from replicator.node.context import Node
from replicator.node.health import reachable
from replicator.node.pull import requeue_gaps


@dataclass(frozen=True, slots=True)
class KeptUp:
    """What one round did."""

    gaps: int


def upkeep(node: Node) -> KeptUp:
    """Queue the open gaps of every peer that can be asked."""
    peers = [peer for peer in node.store.peers() if reachable(node, peer)]
    return KeptUp(gaps=sum(requeue_gaps(node, peer.id) for peer in peers))
