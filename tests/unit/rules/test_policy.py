"""Who may ask what, and which refs are worth having."""

import pytest

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.protocol.ids import Digest, GlobalId, KeyText
from replicator.protocol.post import Ref
from replicator.rules.policy import (
    Policy,
    Sender,
    check_put,
    ref_objection,
    scope_objection,
    visible_scopes,
)

POOL = KeyText("ed25519:" + "I" * 43)
OTHER_POOL = KeyText("ed25519:" + "M" * 43)
MEMBER = Sender(pinned=True, pools=frozenset({POOL}))
PEER = Sender(pinned=True, pools=frozenset())
STRANGER = Sender(pinned=False, pools=frozenset())


@pytest.mark.parametrize(
    ("audience", "sender", "asked", "scopes"),
    [
        ("pool", MEMBER, None, {POOL}),
        ("pool", MEMBER, POOL, {POOL}),
        ("peers", MEMBER, None, None),
        ("peers", PEER, None, None),
        ("peers", PEER, POOL, {POOL}),
        ("open", STRANGER, None, None),
    ],
)
def test_a_reader_sees_its_pools_or_what_policy_opens(audience, sender, asked, scopes):
    seen = visible_scopes(Policy(pull=audience), "pull", sender, asked)
    assert seen == (None if scopes is None else frozenset(scopes))


@pytest.mark.parametrize(
    ("audience", "sender", "asked"),
    [
        ("pool", PEER, None),
        ("pool", STRANGER, None),
        ("pool", MEMBER, OTHER_POOL),
        ("peers", STRANGER, None),
        ("peers", STRANGER, POOL),
    ],
)
def test_a_reader_outside_the_audience_is_forbidden(audience, sender, asked):
    with pytest.raises(Refusal) as refusal:
        visible_scopes(Policy(pull=audience), "pull", sender, asked)
    assert refusal.value.code is ErrorCode.FORBIDDEN


def test_put_is_for_members_and_where_policy_says_so_for_pinned_peers():
    check_put(Policy(), MEMBER)
    check_put(Policy(put="peers"), PEER)
    for policy, sender in [(Policy(), PEER), (Policy(put="peers"), STRANGER)]:
        with pytest.raises(Refusal) as refusal:
            check_put(policy, sender)
        assert refusal.value.code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    ("size", "ahead_ms", "objection"),
    [
        (1, 0, None),
        (256 * 1024, 86_400_000, None),
        (1, 86_400_001, "future"),
        (256 * 1024 + 1, 0, "too-large"),
    ],
)
def test_a_ref_is_refused_by_size_and_by_a_date_too_far_ahead(size, ahead_ms, objection):
    ref = Ref(GlobalId("a/1"), Digest("0" * 64), 1_000 + ahead_ms, size)
    assert ref_objection(ref, 1_000, Limits()) == objection


def test_a_post_of_no_shared_pool_is_not_taken_unless_policy_names_peers():
    assert scope_objection(frozenset({OTHER_POOL}), MEMBER, Policy()) == "not-in-pool"
    assert scope_objection(frozenset({POOL}), MEMBER, Policy()) is None
    assert scope_objection(frozenset(), PEER, Policy(put="peers")) is None
