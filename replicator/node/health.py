"""Calls to a peer behind its health: none before its back-off is over, failures counted.

Health is work state: losing it costs one early try. A wait that the peer asked for (``busy``,
Retry-After) is honoured without counting as a failure. A call that is not made because of
back-off is no attempt. A successful call clears it; so does a request from the peer, unless its
failures were slow: a peer that calls often and lets us wait would otherwise have our threads.
"""

from collections.abc import Collection

from replicator.errors import PeerMisbehaved, PeerRefused, PeerUnavailable
from replicator.node.context import Node
from replicator.node.conversation import Heard, hear
from replicator.node.ports import Health, Peer
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Request
from replicator.rules.backoff import delay_seconds


def reachable(node: Node, peer: Peer) -> bool:
    """Tell whether a call may be made now: an address, not paused, no back-off."""
    if peer.address is None or peer.paused:
        return False
    return node.work.health(peer.id).next_at <= node.clock.now()


def ask(node: Node, peer: Peer, request: Request, expected: Collection[str] = ()) -> Heard:
    """Ask a peer and note how it went; raises what `conversation.hear` raises.

    Args:
        expected: codes of refusals that the caller deals with at once. They are raised too, but
            a peer that gives one is well: no back-off follows.
    """
    start = node.clock.monotonic()
    try:
        heard = hear(node, peer, request)
    except PeerUnavailable as error:
        slow = _was_slow(node, start)
        note_failure(node, peer.id, str(error), retry_after=error.retry_after, slow=slow)
        raise
    except (PeerMisbehaved, PeerRefused) as error:
        if isinstance(error, PeerRefused) and error.code in expected:
            note_success(node, peer.id)
        else:
            note_failure(node, peer.id, str(error), slow=_was_slow(node, start))
        raise
    note_success(node, peer.id)
    return heard


def _was_slow(node: Node, start: float) -> bool:
    return node.clock.monotonic() - start > 2 * node.limits.connect_seconds


def note_failure(
    node: Node, peer: NodeId, reason: str, *, retry_after: int | None = None, slow: bool = False
) -> None:
    """Store the next time a call may be made."""
    now = node.clock.now()
    health = node.work.health(peer)
    limits = node.limits
    failures = health.failures if retry_after is not None else health.failures + 1
    wait = delay_seconds(
        max(failures, 1), limits.retry_base_seconds, limits.retry_cap_seconds, node.random
    )
    if retry_after is not None:
        wait = max(wait, min(float(retry_after), limits.retry_cap_seconds))
    node.work.set_health(peer, Health(failures, now + int(wait * 1000), reason[:200], slow))


def note_success(node: Node, peer: NodeId) -> None:
    """Clear a peer's health: it answered, or it spoke to us."""
    if node.work.health(peer) != Health():
        node.work.set_health(peer, Health())


def note_request(node: Node, peer: NodeId) -> bool:
    """Note that a peer spoke to us; return whether it may be called again because of that."""
    health = node.work.health(peer)
    if not health.failures or health.slow:
        return False
    node.work.set_health(peer, Health())
    return True
