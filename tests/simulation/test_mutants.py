"""Planted bugs are found within a hundred seeds, each by a monitor that says why."""

import pytest

from replicator.simulator.mutants import MUTANTS
from replicator.simulator.plan import Order
from replicator.simulator.world import World

SEEDS = 100
FINDERS = {
    "cursor-early": {"lane-cursor"},
    "cursor-far": {"lane-cursor"},
    "pull-early": {"pull-cursor"},
    "gaps-forgotten": {"pull-cursor"},
    "cursor-unfenced": {"lane-cursor"},
    "lease-unfenced": {"lease-owner"},
    "nonce-as-truth": {"redelivery"},
    "doorbell-forever": {"convergence", "calm-pair"},
    "breaker-stuck": {"convergence", "calm-pair"},
    "attempts-counted": {"attempts"},
    "claim-forever": {"convergence", "calm-pair"},
    "arrival-wins": {"convergence", "comparing", "pull-cursor"},
    "acknowledged-early": {"acknowledged"},
    "last-range-dropped": {"comparing"},
}
"""Per planted bug the monitors that are right to find it."""


def test_every_planted_bug_is_looked_for():
    assert set(FINDERS) == set(MUTANTS)
    assert len(MUTANTS) >= 8


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mutant", FINDERS)
def test_a_planted_bug_is_found_within_a_hundred_seeds(mutant):
    runs = (World(Order(seed, mutant=mutant)).run() for seed in range(SEEDS))
    found = next((run for run in runs if run.violation is not None), None)
    assert found is not None
    assert found.monitor in FINDERS[mutant]
