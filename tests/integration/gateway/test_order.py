"""Of two things that are wrong with one request, the one is answered whose rule comes first.

For each two neighbours of the list of rules a request with both faults is sent to a gateway; where
no request can have both, it is said why. So the list's order is the order in which things happen.
"""

from itertools import pairwise

import pytest

from replicator.rules.rulebook import STAGES
from tests.support.faulty_requests import COMPARED, FAULTS, OUR_POOL, Fault, asking, nothing, told

EXCLUSIVE = {
    ("body-time", "body-room"): "whichever comes first: bytes without room, or the end of the time",
    ("pinned-key", "acquaintance"): "a sender has pinned keys, or has none",
    ("type", "turned-off"): "what is turned off is known",
}
FURTHER = [
    ("body-time", "envelope"),
    ("pinned-key", "compression"),
    ("document", "reading"),
    ("versions", "reading"),
    ("type", "reading"),
    ("turned-off", "pool-of-ours"),
    ("pool-of-ours", "comparing"),
    ("reading", "items"),
    ("giving", "items"),
]
"""Pairs with others between them, that no request has both of, or that one rule gives way to."""
RULES = [rule.name for rule in dict(STAGES)["request"]]
NEIGHBOURS = list(pairwise(RULES[: RULES.index("turned-off") + 1]))
PAIRS = [pair for pair in NEIGHBOURS if pair not in EXCLUSIVE] + FURTHER


def test_every_two_neighbours_are_tried_and_all_pairs_stand_in_the_order_of_the_list():
    assert set(EXCLUSIVE) <= set(NEIGHBOURS)
    assert all(RULES.index(first) < RULES.index(second) for first, second in PAIRS)
    assert len(PAIRS) >= 28


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=map(" before ".join, PAIRS))
def test_what_comes_first_is_answered(tmp_path, first, second):
    said = told(tmp_path, FAULTS[first], FAULTS[second])
    assert FAULTS[first].said in said


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_has_its_answer(tmp_path, name):
    completed = {
        "items": asking(type="get"),
        "comparing": asking(**{**COMPARED, "scope": OUR_POOL}),
    }
    more = Fault("", completed.get(name, nothing))
    assert FAULTS[name].said in told(tmp_path, FAULTS[name], more)
