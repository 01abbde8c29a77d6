"""The floor that a number of days gives: it moves in steps and keeps what it promises."""

from dataclasses import replace

import pytest

from replicator.limits import Limits
from replicator.rules.retention import floor_of

DAY, HOUR = 86_400_000, 3_600_000
NOW = 1_700_000_000_000
LIMITS = Limits()


def test_without_a_number_of_days_there_is_no_floor():
    assert floor_of(NOW, None, LIMITS) == 0


@pytest.mark.parametrize("days", [1, 30, 365])
def test_a_post_is_kept_for_its_days_and_for_one_step_more_at_most(days):
    for now in range(NOW, NOW + 3 * HOUR, 600_001):
        floor = floor_of(now, days, LIMITS)
        assert now - days * DAY - HOUR < floor <= now - days * DAY


def test_two_nodes_that_look_within_one_step_have_the_same_floor():
    start = floor_of(NOW, 30, LIMITS) + 30 * DAY
    floors = {floor_of(now, 30, LIMITS) for now in (start, start + 1, start + HOUR - 1)}
    assert len(floors) == 1
    assert floor_of(start + HOUR, 30, LIMITS) == floors.pop() + HOUR


def test_the_step_is_a_limit():
    limits = replace(LIMITS, floor_step_seconds=10)
    assert floor_of(NOW + 9_999, 1, limits) == floor_of(NOW, 1, limits)
    assert floor_of(NOW + 10_000, 1, limits) == floor_of(NOW, 1, limits) + 10_000


def test_more_days_than_there_were_is_no_floor():
    assert floor_of(NOW, 36_500, LIMITS) == 0
