"""The breaker as a table: what opens it, for how long, who may probe, and what closes it."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.limits import Limits
from replicator.rules.breaker import (
    RAMP_STEPS,
    Breaker,
    End,
    Failure,
    busy,
    failed,
    items_max,
    probing,
    spoken_to,
    succeeded,
    verdict,
)

LIMITS = Limits()
NOW = 1_700_000_000_000
ENDS: tuple[End, ...] = ("unreachable", "refused", "unsupported", "malformed")


def after(
    failures: int, end: End = "unreachable", now: int = NOW, *, slow: bool = False
) -> Breaker:
    """Return a breaker after some counted failures, the last of them at ``now``."""
    breaker = Breaker()
    for number in range(failures):
        at = now - (failures - 1 - number) * 100_000
        failure = Failure(end, "no", at, at, slow)
        breaker = failed(breaker, failure, LIMITS, random.Random(number))
    return breaker


def wait_of(breaker: Breaker) -> float:
    return (breaker.next_at - breaker.failed_at) / 1000


@pytest.mark.parametrize(
    ("breaker", "expected"),
    [
        (Breaker(), "closed"),
        (Breaker(slow=True, ramp=3), "closed"),
        (Breaker(failures=1, failed_at=NOW - 9, next_at=NOW + 1), "open"),
        (Breaker(failures=1, failed_at=NOW - 9, next_at=NOW), "probe"),
        (Breaker(failures=9, next_at=NOW, probing_until=NOW + 1), "open"),
        (Breaker(failures=9, next_at=NOW, probing_until=NOW), "probe"),
        (Breaker(busy_until=NOW + 1), "busy"),
        (Breaker(busy_until=NOW), "closed"),
        (Breaker(failures=1, next_at=NOW, busy_until=NOW + 1), "busy"),
        (Breaker(failures=1, next_at=NOW, busy_until=NOW), "probe"),
        (Breaker(failures=1, failed_at=NOW + 3_600_000, next_at=NOW + 3_700_000), "probe"),
    ],
)
def test_a_call_is_let_out_when_it_is_closed_or_the_one_probe(
    breaker: Breaker, expected: str
) -> None:
    assert verdict(breaker, NOW) == expected


@pytest.mark.parametrize(
    ("end", "failures", "shortest", "longest"),
    [
        ("unreachable", 1, 0.1, 1),
        ("unreachable", 5, 1.6, 16),
        ("unreachable", 40, 30, 300),
        ("malformed", 1, 1, 10),
        ("malformed", 40, 360, 3_600),
        ("refused", 1, 3, 30),
        ("refused", 40, 360, 3_600),
        ("unsupported", 1, 360, 3_600),
        ("unsupported", 40, 8_640, 86_400),
    ],
)
def test_each_end_has_pauses_of_its_own_jittered_up_to_a_cap(
    end: End, failures: int, shortest: float, longest: float
) -> None:
    failure = Failure(end, "no", NOW, NOW)
    before = Breaker(failures=failures - 1)
    waits = {wait_of(failed(before, failure, LIMITS, random.Random(n))) for n in range(50)}
    assert shortest - 0.001 <= min(waits) < max(waits) <= longest
    assert len(waits) > 20


def test_a_burst_of_failures_counts_once() -> None:
    breaker = after(1)
    for began in range(NOW - 20_000, NOW + 1, 1_000):
        late = Failure("unreachable", "the same outage", began, NOW + 100)
        assert failed(breaker, late, LIMITS, random.Random(1)) == breaker
    new = Failure("unreachable", "still away", NOW + 1, NOW + 200)
    assert failed(breaker, new, LIMITS, random.Random(1)).failures == 2


def test_a_failure_counts_although_an_earlier_one_is_dated_after_a_clock_that_was_put_back() -> (
    None
):
    breaker = after(1, now=NOW + 3_600_000)
    assert verdict(breaker, NOW) == "probe"
    again = failed(breaker, Failure("unreachable", "no", NOW, NOW), LIMITS, random.Random(1))
    assert (again.failures, again.failed_at) == (2, NOW)
    assert verdict(again, NOW) == "open"


def test_one_probe_at_a_time_and_a_lost_one_frees_its_place() -> None:
    breaker = after(3)
    now = breaker.next_at
    taken = probing(breaker, now, LIMITS)
    assert verdict(breaker, now) == "probe"
    assert verdict(taken, now) == "open"
    assert verdict(taken, now + LIMITS.lease_seconds * 1000 - 1) == "open"
    assert verdict(taken, now + LIMITS.lease_seconds * 1000) == "probe"
    assert taken.failures == breaker.failures, "letting out a probe is no failure"


def test_a_probe_that_fails_opens_for_longer_and_is_over() -> None:
    breaker = after(3)
    now = breaker.next_at
    taken = probing(breaker, now, LIMITS)
    again = failed(taken, Failure("malformed", "<html>", now, now + 5), LIMITS, random.Random(1))
    assert (again.failures, again.end, again.probing_until) == (4, "malformed", 0)
    assert verdict(again, again.next_at) == "probe"


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    breaker = after(9)
    now = breaker.next_at
    closed = succeeded(probing(breaker, now, LIMITS), now)
    assert (closed.failures, closed.end, closed.reason) == (0, None, "")
    assert verdict(closed, now) == "closed"


def test_a_wait_that_the_peer_asks_for_is_no_failure_and_is_kept_apart() -> None:
    waiting = busy(Breaker(), 5, NOW, LIMITS)
    assert waiting == Breaker(busy_until=NOW + 5_000)
    assert verdict(waiting, NOW + 4_999) == "busy"
    assert verdict(waiting, NOW + 5_000) == "closed"
    half_open = probing(after(2), NOW + 9_000, LIMITS)
    told = busy(half_open, 60, NOW + 9_000, LIMITS)
    assert (told.failures, told.next_at) == (half_open.failures, half_open.next_at)
    assert verdict(told, NOW + 69_000) == "probe", "the probe that was told to wait is over"


def test_a_wait_stands_whatever_other_calls_end_with_and_is_bounded() -> None:
    waiting = busy(Breaker(), 100, NOW, LIMITS)
    failure = Failure("unreachable", "no", NOW, NOW)
    others = [
        succeeded(waiting, NOW + 1),
        failed(waiting, failure, LIMITS, random.Random(1)),
        busy(waiting, 1, NOW + 1, LIMITS),
        spoken_to(waiting, LIMITS),
    ]
    assert {verdict(breaker, NOW + 99_999) for breaker in others} == {"busy"}
    assert succeeded(waiting, NOW + 100_000) == Breaker(), "a wait that is over is forgotten"
    for_ever = busy(Breaker(), 10**9, NOW, LIMITS)
    assert for_ever.busy_until == NOW + int(LIMITS.retry_cap_seconds * 1000)


def test_a_peer_that_speaks_to_us_is_probed_early_and_a_slow_one_less_often() -> None:
    breaker = after(30)
    assert verdict(breaker, NOW + 1_000) == "open"
    assert verdict(spoken_to(breaker, LIMITS), NOW + 1_000) == "probe"
    slow = after(30, slow=True)
    heard = spoken_to(slow, LIMITS)
    assert verdict(heard, NOW + LIMITS.lease_seconds * 1000 - 1) == "open"
    assert verdict(heard, NOW + LIMITS.lease_seconds * 1000) == "probe"
    assert spoken_to(Breaker(), LIMITS) == Breaker()


def test_speaking_to_us_never_frees_the_place_of_a_probe_that_is_out() -> None:
    breaker = after(30)
    taken = probing(breaker, NOW + 5_000, LIMITS)
    assert verdict(spoken_to(taken, LIMITS), NOW + 6_000) == "open"


@pytest.mark.parametrize(
    ("end", "seconds"),
    [("unreachable", 1), ("malformed", 10), ("refused", 30), ("unsupported", 3_600)],
)
def test_a_peer_that_speaks_much_and_refuses_is_probed_once_per_shortest_pause(
    end: End, seconds: int
) -> None:
    early = spoken_to(after(30, end), LIMITS)
    assert verdict(early, NOW + seconds * 1000 - 1) == "open"
    assert verdict(early, NOW + seconds * 1000) == "probe"
    assert spoken_to(early, LIMITS) == early


def test_a_recovered_peer_gets_larger_batches_with_every_success() -> None:
    breaker = after(4)
    sizes = [items_max(breaker, LIMITS)]
    for _ in range(RAMP_STEPS):
        breaker = succeeded(breaker, NOW)
        sizes.append(items_max(breaker, LIMITS))
    assert sizes == [16, 32, 64, 128, 256, 500]
    assert breaker == Breaker()


def test_the_ramp_never_exceeds_what_a_message_may_hold() -> None:
    limits = Limits(ramp_items_min=400)
    assert items_max(after(1), limits) == 400
    assert items_max(replace(after(1), ramp=4), limits) == 500
    assert items_max(Breaker(), Limits(items_max=5_000, document_parts_max=480_000)) == 5_000


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["call", "late", "request", "busy"]),
        st.sampled_from([*ENDS, None]),
        st.integers(0, 400_000),
        st.booleans(),
    ),
    max_size=40,
)


@given(EVENTS)
def test_whatever_happens_a_peer_is_called_again_within_its_longest_pause(events: list) -> None:
    """No sequence of ends, requests, waits and lost probes shuts a peer out for good."""
    chance = random.Random(1)
    breaker, now = Breaker(), NOW
    for kind, end, step, slow in events:
        now += step
        before = breaker
        if kind == "request":
            breaker = spoken_to(breaker, LIMITS)
            assert breaker.next_at <= before.next_at
        elif kind == "busy":
            breaker = busy(breaker, step // 1000, now, LIMITS, slow=slow)
            assert breaker.failures == before.failures
        elif verdict(breaker, now) in ("open", "busy"):
            continue
        elif end is None:
            breaker = succeeded(breaker, now, slow=slow)
            assert verdict(breaker, now) == "closed"
        else:
            if verdict(breaker, now) == "probe":
                breaker = probing(breaker, now, LIMITS)
                assert verdict(breaker, now) == "open"
            if kind == "late":
                continue  # the worker died: nobody notes an end
            breaker = failed(breaker, Failure(end, "no", now, now, slow), LIMITS, chance)
            assert verdict(breaker, now) != "closed"
        assert LIMITS.ramp_items_min <= items_max(breaker, LIMITS) <= LIMITS.items_max
    assert verdict(breaker, now + int(LIMITS.unsupported_seconds * 1000)) in ("closed", "probe")
