"""Three hundred seeds of heavy faults end in equal sets; every kind of fault strikes often."""

from collections import Counter

import pytest

from replicator.simulator.plan import Fault, Order
from replicator.simulator.world import World

SEEDS = 300
SOAK_SEEDS = 20_000
SOAK_CHUNK = 250
CHUNK = 30
"""Seeds of one test, so that two processes share the work."""
OFTEN = 20 * CHUNK // SEEDS
"""Seeds of each chunk in which every kind of fault strikes: twenty and more in all."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_seeds_end_in_equal_sets_and_meet_every_kind_of_fault(first):
    met = Counter()
    for seed in range(first, first + CHUNK):
        outcome = World(Order(seed)).run()
        assert outcome.violation is None, f"{outcome.violation}\nreplay: {outcome.order.command}"
        met.update(outcome.faults.keys())
    assert {kind: met[kind] for kind in Fault if met[kind] < OFTEN} == {}


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, SOAK_SEEDS, SOAK_CHUNK))
def test_many_more_seeds_end_in_equal_sets(first):
    for seed in range(first, first + SOAK_CHUNK):
        outcome = World(Order(seed)).run()
        assert outcome.violation is None, f"{outcome.violation}\nreplay: {outcome.order.command}"
