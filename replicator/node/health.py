"""Calls to a peer behind its breaker: let out or not, and what each of them ended with.

The rules are in `rules.breaker`; here they meet the work state, where a breaker is replaced by
compare-and-set, so that two workers never count one failure twice or send two probes. Losing it
costs one early try. A call that is not let out raises `NotCalled` and is no attempt.
"""

from collections.abc import Callable, Collection

from replicator.errors import NotCalled, PeerMisbehaved, PeerRefused, PeerUnavailable
from replicator.node.context import Node
from replicator.node.conversation import Heard, hear
from replicator.node.ports import Peer
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Request
from replicator.rules import breaker as rules
from replicator.rules.breaker import Breaker, End, Failure

_RACES_MAX = 8
"""Compare-and-sets that may be lost in a row; every loss means that somebody else made progress."""
_BUSY_SECONDS = 5
"""The pause of a peer that is busy and does not say for how long."""


def reachable(node: Node, peer: Peer) -> bool:
    """Tell whether a call may go out now: an address, not paused, and its breaker lets it."""
    if peer.address is None or peer.paused:
        return False
    return rules.lets_out(node.work.breakers([peer.id])[peer.id], node.clock.now())


def items_max(node: Node, peer: NodeId) -> int:
    """Return how many items the next batch to a peer may have: few after it has recovered."""
    return rules.items_max(node.work.breakers([peer])[peer], node.limits)


def ask(node: Node, peer: Peer, request: Request, expected: Collection[str] = ()) -> Heard:
    """Ask a peer and note how it went.

    Args:
        expected: codes of refusals that the caller deals with at once. They are raised too, but
            a peer that gives one is well: its breaker stays closed.

    Raises:
        NotCalled: the breaker is open, or the peer asked for a pause.
        PeerUnavailable, PeerRefused, BadAnswer, KeyChanged: as `conversation.hear`.
    """
    seen = _permit(node, peer.id)
    began, start = node.clock.now(), node.clock.monotonic()
    try:
        heard = hear(node, peer, request, seconds_max=_patience(node, seen))
    except (PeerUnavailable, PeerMisbehaved, PeerRefused) as error:
        slow = _was_slow(node, start)
        if isinstance(error, PeerRefused) and error.code in expected:
            _note_success(node, peer.id, seen, slow=slow)
        else:
            note_failure(node, peer.id, error, began, slow=slow)
        raise
    _note_success(node, peer.id, seen, slow=_was_slow(node, start))
    return heard


def _permit(node: Node, peer: NodeId) -> Breaker:
    """Return the breaker that lets a call out, its probe taken where it is half-open."""
    for _ in range(_RACES_MAX):
        now = node.clock.now()
        seen = node.work.breakers([peer])[peer]
        match rules.verdict(seen, now):
            case "closed":
                return seen
            case "probe":
                taken = rules.probing(seen, now, node.limits)
                if node.work.set_breaker(peer, seen, taken):
                    return taken
            case why:
                raise NotCalled(f"{peer} is not called now: {why} ({seen.reason or 'it asked'})")
    raise NotCalled(f"{peer} is being probed by others")


def _patience(node: Node, seen: Breaker) -> float:
    """Return how long an answer is waited for: in full only where few such calls run at a time.

    Peers that stall all at once are not known to be slow yet, and would have every thread.
    """
    limits = node.limits
    full = limits.peer_call_seconds
    return full if seen.slow else min(limits.quick_call_seconds, full)


def _was_slow(node: Node, start: float) -> bool:
    return node.clock.monotonic() - start > node.limits.slow_call_seconds


def note_failure(
    node: Node, peer: NodeId, error: Exception, began: int, *, slow: bool = False
) -> None:
    """Count a call that ended badly, by its end; a wait that the peer asked for is none."""
    now = node.clock.now()
    if isinstance(error, PeerUnavailable) and error.retry_after is not None:
        wait = error.retry_after or _BUSY_SECONDS
        _change(node, peer, lambda seen: rules.busy(seen, wait, now, node.limits, slow=slow))
        return
    failure = Failure(end_of(error), str(error), began, now, slow)
    _change(node, peer, lambda seen: rules.failed(seen, failure, node.limits, node.random))


def end_of(error: Exception) -> End:
    """Return by which of the four ends a call ended that raised ``error``."""
    match error:
        case PeerRefused(code="not-supported"):
            return "unsupported"
        case PeerRefused():
            return "refused"
        case PeerMisbehaved():
            return "malformed"
    return "unreachable"


def _note_success(node: Node, peer: NodeId, seen: Breaker, *, slow: bool) -> None:
    # the common case costs no round trip: it was closed at full speed, and stays so
    if seen != Breaker() or slow:
        now = node.clock.now()
        _change(node, peer, lambda current: rules.succeeded(current, now, slow=slow))


def forgive(node: Node, peer: NodeId) -> None:
    """Let a peer be called at once, at full speed: the operator's word."""
    _change(node, peer, lambda _: Breaker())


def note_request(node: Node, peer: NodeId) -> bool:
    """Note that a peer spoke to us; return whether it may be called now because of that."""
    changed = _change(node, peer, lambda seen: rules.spoken_to(seen, node.limits))
    return changed is not None and rules.lets_out(changed, node.clock.now())


def _change(node: Node, peer: NodeId, change: Callable[[Breaker], Breaker]) -> Breaker | None:
    """Replace a peer's breaker; return the new one, None where nothing changed."""
    for _ in range(_RACES_MAX):
        seen = node.work.breakers([peer])[peer]
        changed = change(seen)
        if changed == seen:
            return None
        if node.work.set_breaker(peer, seen, changed):
            return changed
    return None
