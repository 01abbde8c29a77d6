"""When a peer may be called: a circuit breaker with four ends, as a value and pure transitions.

Closed: calls go out. Open: none before ``next_at``. Half-open: after that one probe at a time,
whose success closes the breaker. Four ends open it, each with pauses of its own: *unreachable* (no
connection, no answer in time), *refused* (a signed error), *unsupported* (it does not speak what we
ask) and *malformed* (something else than a signed answer of its). A burst of failures counts once:
a call that began before the last counted failure says nothing new. A wait that the peer asked for
(``busy``, Retry-After) is kept apart and is no failure. A call that the breaker did not let out is
no attempt. What the peer says to us of its own accord is a reason to probe early.

The caller stores the value by compare-and-set; a lost race is decided again on the new value.
Times are of this node's clock; where it was put back, what it said before is not waited for.
"""

import random
from dataclasses import dataclass, replace
from typing import Final, Literal

from replicator.limits import Limits
from replicator.rules.backoff import delay_seconds

End = Literal["unreachable", "refused", "unsupported", "malformed"]
Verdict = Literal["closed", "probe", "open", "busy"]

RAMP_STEPS: Final = 5
"""Successes after which a recovered peer gets full batches again (16, 32, 64, 128, 256, all)."""
_STEP_MS: Final = 60_000
"""A failure further in the future than this was counted before the clock was put back."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """How calls to a peer have gone; the default value is closed and at full speed.

    Args:
        failures: counted ones in a row; 0 is closed.
        end: how the last counted one ended.
        reason: its words, for people.
        failed_at: when it was counted (ms).
        next_at: no call before (ms), unless the peer speaks to us.
        busy_until: no call before (ms): the peer asked for it.
        probing_until: a probe is out, until then at most (ms).
        slow: the last call took longer than a healthy peer takes.
        ramp: successes that are missing until full speed.
    """

    failures: int = 0
    end: End | None = None
    reason: str = ""
    failed_at: int = 0
    next_at: int = 0
    busy_until: int = 0
    probing_until: int = 0
    slow: bool = False
    ramp: int = 0


def verdict(breaker: Breaker, now: int) -> Verdict:
    """Tell what a call would be now: let out, the one probe, or not let out (open, busy)."""
    if breaker.busy_until > now:
        return "busy"
    if not breaker.failures:
        return "closed"
    if max(breaker.next_at, breaker.probing_until) > now >= breaker.failed_at - _STEP_MS:
        return "open"
    return "probe"


def lets_out(breaker: Breaker, now: int) -> bool:
    """Tell whether a call would go out, be it as the probe."""
    return verdict(breaker, now) in ("closed", "probe")


def probing(breaker: Breaker, now: int, limits: Limits) -> Breaker:
    """Return the breaker with its probe taken; a probe that is lost frees the place by itself."""
    return replace(breaker, probing_until=now + limits.lease_seconds * 1000)


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that ended badly: how, in which words, when it began and ended (ms).

    ``slow``: it held its caller for longer than a healthy peer does.
    """

    end: End
    reason: str
    began: int
    at: int
    slow: bool = False


def failed(breaker: Breaker, failure: Failure, limits: Limits, chance: random.Random) -> Breaker:
    """Return the breaker after a call that ended badly; the same one where it says nothing new."""
    if breaker.failures and failure.began <= breaker.failed_at <= failure.at + _STEP_MS:
        return breaker
    failures = breaker.failures + 1
    base, cap = _pauses(failure.end, limits)
    wait = delay_seconds(failures, base, cap, chance)
    return Breaker(
        failures=failures,
        end=failure.end,
        reason=failure.reason[: limits.record_chars_max],
        failed_at=failure.at,
        next_at=failure.at + int(wait * 1000),
        busy_until=breaker.busy_until,
        slow=failure.slow,
        ramp=RAMP_STEPS,
    )


def _pauses(end: End, limits: Limits) -> tuple[float, float]:
    match end:
        case "unreachable":
            return limits.retry_base_seconds, limits.retry_cap_seconds
        case "malformed":
            return limits.malformed_base_seconds, limits.misfit_cap_seconds
        case "refused":
            return limits.refused_base_seconds, limits.misfit_cap_seconds
        case "unsupported":
            return limits.misfit_cap_seconds, limits.unsupported_seconds


def busy(
    breaker: Breaker, retry_after: int, now: int, limits: Limits, *, slow: bool = False
) -> Breaker:
    """Return the breaker after the peer asked for a pause of ``retry_after`` seconds: no failure.

    The pause is bounded by the longest one between two tries; a probe that was out is over. A pause
    asked for earlier is not shortened.
    """
    wait = min(float(retry_after), limits.retry_cap_seconds)
    until = max(breaker.busy_until, now + int(wait * 1000))
    return replace(breaker, busy_until=until, probing_until=0, slow=slow)


def succeeded(breaker: Breaker, now: int, *, slow: bool = False) -> Breaker:
    """Return the breaker after a good answer: closed, one step nearer to full speed.

    A pause that the peer asked for in another answer stands until it is over.
    """
    busy_until = breaker.busy_until if breaker.busy_until > now else 0
    return Breaker(busy_until=busy_until, slow=slow, ramp=max(0, breaker.ramp - 1))


def spoken_to(breaker: Breaker, limits: Limits) -> Breaker:
    """Return the breaker after a request from the peer: a probe may go out early.

    That is after the shortest pause of its end, whatever the number of its failures: a peer that
    sends many requests while it refuses ours is not asked once for each of them. Where its last
    call was slow the pause is a lease's time: a peer that calls often and lets us wait would have
    our few slots for the slow. What it asked for (``busy``) stands.
    """
    if breaker.end is None:
        return breaker
    base, _ = _pauses(breaker.end, limits)
    pause = max(base, limits.lease_seconds) if breaker.slow else base
    early = breaker.failed_at + int(pause * 1000)
    return replace(breaker, next_at=min(breaker.next_at, early))


def items_max(breaker: Breaker, limits: Limits) -> int:
    """Return how many items the next batch to this peer may have."""
    if not breaker.ramp:
        return limits.items_max
    return min(limits.items_max, limits.ramp_items_min << max(0, RAMP_STEPS - breaker.ramp))
