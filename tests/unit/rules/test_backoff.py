"""How long to wait: bounds, growth and jitter of the two delays."""

import random

import pytest

from replicator.rules.backoff import delay_seconds, jittered


@pytest.mark.parametrize(
    ("failures", "bound"), [(1, 1.0), (2, 2.0), (5, 16.0), (9, 256.0), (10, 300.0), (10_000, 300.0)]
)
def test_the_delay_doubles_up_to_its_cap_and_is_never_nothing(failures, bound):
    chance = random.Random(7)
    delays = [delay_seconds(failures, 1.0, 300.0, chance) for _ in range(500)]
    assert min(delays) >= bound / 10
    assert max(delays) <= bound
    assert max(delays) > bound * 0.9
    assert len(set(delays)) > 400


def test_a_period_is_jittered_by_a_third_around_itself():
    chance = random.Random(7)
    waits = [jittered(15.0, chance) for _ in range(500)]
    assert 10.0 <= min(waits) < 11.0
    assert 19.0 < max(waits) <= 20.0
