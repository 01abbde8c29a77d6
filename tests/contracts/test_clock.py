"""The contract of `Clock`, over the system's clocks and the manual twin."""

import time

import pytest

from replicator.adapters.clock import SystemClock
from replicator.adapters.memory.clock import ManualClock
from replicator.node.ports import Clock


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_now_is_whole_milliseconds_and_monotonic_time_never_goes_back(clock: Clock) -> None:
    before = clock.monotonic()
    assert isinstance(clock.now(), int)
    assert 1_600_000_000_000 < clock.now() < 4_000_000_000_000
    assert clock.monotonic() >= before


def test_the_system_clock_tells_the_systems_time() -> None:
    assert abs(SystemClock().now() - time.time() * 1000) < 1000


def test_a_manual_clock_moves_when_told() -> None:
    clock = ManualClock(1_000)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic()) == (2_500, 1.5)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_setting_the_wall_does_not_move_monotonic_time() -> None:
    clock = ManualClock(10_000)
    clock.advance(1)
    clock.set_wall(500)
    assert (clock.now(), clock.monotonic()) == (500, 1.0)
