"""Sweeps: now and then a pool-mate's whole log is read again, whatever was given up before.

A pull passes some refs for good: dead letters, gaps beyond their bound, posts that no key or date
allowed at the time. None of that is the last word. A sweep queues the dead letters of a peer again
and starts its pull from the epoch; what is held costs a ref each.
"""

import secrets

from replicator.node.context import Node
from replicator.node.dead_letters import dead_letters
from replicator.node.pull import Pulled, pull
from replicator.protocol.ids import NodeId
from replicator.rules.backoff import jittered


def sweep(node: Node, peer_id: NodeId) -> Pulled:
    """Pull a peer's log from the epoch, with its dead letters tried again."""
    node.work.hear("repair", peer_id)
    token = secrets.token_urlsafe(12)
    if not node.work.hold("pull", peer_id, token, node.clock.now()):
        node.work.set_due("repair", peer_id, node.clock.now())
        return Pulled(peer_id, ended="held elsewhere")
    try:
        _start_anew(node, peer_id)
    finally:
        node.work.release("pull", peer_id, token)
    return pull(node, peer_id)


def _start_anew(node: Node, peer_id: NodeId) -> None:
    now = node.clock.now()
    letters = [letter for letter in dead_letters(node) if letter.holder == peer_id]
    if letters:
        node.work.requeue([letter.ref.digest for letter in letters], now)
    peer = node.store.peer(peer_id)
    if peer is not None and peer.pulled is not None:
        node.store.record_pull(peer_id, peer.pulled, None, now=now)


def sweep_is_due(node: Node, peer_id: NodeId, now: int) -> bool:
    """Tell whether a peer's turn has come, and set the next one.

    A turn that was never set, or lost with Redis, comes at a random time within the period, so that
    neither a new pool nor a flush makes all nodes sweep at once.
    """
    due = node.work.due("repair", peer_id)
    if due > now:
        return False
    seconds = node.limits.sweep_seconds
    wait = jittered(seconds, node.random) if due else seconds * node.random.random()
    node.work.set_due("repair", peer_id, now + max(1, int(wait * 1000)))
    return due > 0


def sweep_soon(node: Node) -> None:
    """Let every peer be swept at the next tick: trust was widened, so what was refused may pass.

    Raises:
        WorkUnavailable: their turns come as usual then.
    """
    for peer in node.store.peers():
        node.work.set_due("repair", peer.id, node.clock.now())
