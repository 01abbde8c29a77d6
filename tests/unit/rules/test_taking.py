"""Which posts are taken: by what a ref says, and by who delivers them."""

import pytest

from replicator.limits import Limits
from replicator.protocol.ids import Digest, GlobalId, KeyText
from replicator.protocol.post import Ref
from replicator.rules.policy import Policy, Sender
from replicator.rules.taking import POSTS, REFS, ref_objection, scope_objection

POOL = KeyText("ed25519:" + "I" * 43)
OTHER_POOL = KeyText("ed25519:" + "M" * 43)
MEMBER = Sender(pinned=True, pools=frozenset({POOL}))
PEER = Sender(pinned=True, pools=frozenset())


def ref(published, size):
    return Ref(GlobalId("a/1"), Digest("0" * 64), published, size)


@pytest.mark.parametrize(
    ("size", "ahead_ms", "floor", "objection"),
    [
        (1, 0, 0, None),
        (256 * 1024, 86_400_000, 0, None),
        (1, 86_400_001, 0, "future"),
        (256 * 1024 + 1, 0, 0, "too-large"),
        (1, 0, 1_001, "expired"),
        (1, 0, 1_000, None),
        (256 * 1024 + 1, 0, 1_001, "too-large"),
    ],
)
def test_a_ref_is_refused_by_the_first_rule_it_breaks(size, ahead_ms, floor, objection):
    assert ref_objection(ref(1_000 + ahead_ms, size), 1_000, Limits(), floor) == objection


def test_an_operator_may_take_less_of_the_future():
    limits = Limits(future_seconds_max=60)
    assert ref_objection(ref(61_001, 1), 1_000, limits) == "future"
    assert ref_objection(ref(61_000, 1), 1_000, limits) is None


def test_a_post_of_no_shared_pool_is_not_taken_unless_policy_names_peers():
    assert scope_objection(frozenset({OTHER_POOL}), MEMBER, Policy()) == "not-in-pool"
    assert scope_objection(frozenset({POOL}), MEMBER, Policy()) is None
    assert scope_objection(frozenset(), PEER, Policy(put="peers")) is None


def test_every_rule_about_taking_decides_by_itself():
    assert all(rule.refuses is not None for rule in (*REFS, *POSTS))
