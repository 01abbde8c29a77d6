"""Turns: one run of each kind of work per peer at a time, and few for slow peers.

A lease saves work; what must not happen twice is fenced in the store. A peer that was slow the
last time is called only while one of a few slots of the whole node is free, so that peers which
keep their callers waiting never hold all threads. Whoever gets no turn leaves the work to the
holder of the lease, or to the next tick.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from replicator.node.context import Node
from replicator.node.ports import DoorbellKind
from replicator.protocol.ids import NodeId

HELD: str = "held elsewhere"
NO_SLOT: str = "no slot for a slow peer"


@contextmanager
def turn(node: Node, kind: DoorbellKind, peer: NodeId) -> Iterator[str | None]:
    """Take the turn of one kind of work for a peer; give None, or why it is not ours.

    The doorbell is heard first, so that a ring during the work is a new ring. After a turn of 30 s
    (``lease_seconds``) another worker may take it.
    """
    node.work.hear(kind, peer)
    token = secrets.token_urlsafe(12)
    if not node.work.hold(kind, peer, token, node.clock.now()):
        yield HELD
        return
    slot = None
    try:
        slow = node.work.breakers([peer])[peer].slow
        slot = _slow_slot(node, token) if slow else None
        yield NO_SLOT if slow and slot is None else None
    finally:
        if slot is not None:
            node.work.release("slow", slot, token)
        node.work.release(kind, peer, token)


def _slow_slot(node: Node, token: str) -> NodeId | None:
    """Take a free slot; they are named like peers, since leases are."""
    for number in range(node.limits.slow_slots_max):
        slot = NodeId(f"slot-{number}")
        if node.work.hold("slow", slot, token, node.clock.now()):
            return slot
    return None
