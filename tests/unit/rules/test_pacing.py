"""Pacing as numbers: periods, their stretch, first turns."""

import random

import pytest

from replicator.limits import Limits
from replicator.rules.pacing import first_due, next_due, period_seconds, rung_max

LIMITS = Limits()
NOW = 1_700_000_000_000
KINDS = ("pull", "repair", "roster")


@pytest.mark.parametrize("peers", [0, 1, 3, 27])
def test_a_small_pool_has_the_periods_as_they_are_set(peers):
    periods = [period_seconds(kind, peers, LIMITS) for kind in KINDS]
    assert periods == [LIMITS.pull_seconds, LIMITS.reconcile_seconds, LIMITS.roster_seconds]


@pytest.mark.parametrize("peers", [28, 50, 1_000, 5_000])
def test_a_large_pool_costs_so_many_calls_per_second_and_no_more(peers):
    rate = sum(peers / period_seconds(kind, peers, LIMITS) for kind in KINDS)
    assert rate == pytest.approx(LIMITS.maintenance_calls_per_second)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("peers", [3, 1_000])
def test_a_first_turn_comes_within_the_period(kind, peers):
    chance = random.Random(7)
    waits = [first_due(kind, peers, NOW, LIMITS, chance) - NOW for _ in range(300)]
    period_ms = 1000 * period_seconds(kind, peers, LIMITS)
    assert 1 <= min(waits) < period_ms / 50
    assert period_ms * 0.95 < max(waits) <= period_ms


def test_few_pulls_do_not_wait_for_longer_than_restarted_nodes_take_to_wake():
    limits = Limits(pull_seconds=3_600)
    chance = random.Random(7)
    waits = [first_due("pull", 3, NOW, limits, chance) - NOW for _ in range(300)]
    assert max(waits) <= limits.wake_seconds * 1000


def test_turns_are_jittered_so_that_nodes_do_not_act_in_step():
    chance = random.Random(7)
    waits = {next_due(15.0, NOW, chance) - NOW for _ in range(300)}
    assert 10_000 <= min(waits) < 10_500
    assert 19_500 < max(waits) <= 20_000
    assert len(waits) > 200


def test_one_tick_rings_for_no_more_than_a_burst():
    assert rung_max(LIMITS) == 20
    assert rung_max(Limits(maintenance_calls_per_second=50.0)) == 50
