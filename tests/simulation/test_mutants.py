"""Planted bugs are found within a hundred seeds, each by a monitor that says why."""

import pytest

from replicator.simulator.mutants import MUTANTS
from replicator.simulator.plan import Order
from replicator.simulator.world import World

SEEDS = 100
FOUND = {
    "cursor-early": (0, {"lane-cursor"}),
    "cursor-far": (0, {"lane-cursor"}),
    "pull-early": (0, {"pull-cursor"}),
    "gaps-forgotten": (0, {"pull-cursor"}),
    "cursor-unfenced": (1, {"lane-cursor"}),
    "lease-unfenced": (28, {"lease-owner"}),
    "nonce-as-truth": (0, {"redelivery"}),
    "doorbell-forever": (0, {"convergence", "calm-pair"}),
    "breaker-stuck": (0, {"convergence", "calm-pair"}),
    "attempts-counted": (0, {"attempts"}),
    "claim-forever": (6, {"convergence", "calm-pair"}),
    "arrival-wins": (1, {"convergence", "comparing", "pull-cursor"}),
    "acknowledged-early": (0, {"acknowledged"}),
    "last-range-dropped": (0, {"comparing"}),
}
"""Per planted bug a seed that found it once, which is tried first, and who may find it."""


def find(mutant: str, first: int) -> tuple[int, str | None]:
    """Return how many seeds it took to find a planted bug, and which monitor found it."""
    seeds = [first, *(seed for seed in range(SEEDS) if seed != first)]
    for count, seed in enumerate(seeds, 1):
        outcome = World(Order(seed, mutant=mutant)).run()
        if outcome.violation is not None:
            return count, outcome.monitor
    return SEEDS, None


def test_every_planted_bug_has_a_test():
    assert set(FOUND) == set(MUTANTS)
    assert len(MUTANTS) >= 8


@pytest.mark.parametrize("mutant", FOUND)
def test_a_planted_bug_is_found_within_a_hundred_seeds(mutant):
    first, finders = FOUND[mutant]
    _, monitor = find(mutant, first)
    assert monitor in finders


@pytest.mark.slow
@pytest.mark.parametrize("mutant", FOUND)
def test_a_planted_bug_is_found_without_a_hint(mutant):
    _, monitor = find(mutant, 0)
    assert monitor in FOUND[mutant][1]
