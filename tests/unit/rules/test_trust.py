"""Who is believed: the rule tables of `rules.trust`."""

import pytest

from replicator.errors import ErrorCode, Refusal
from replicator.protocol.announcement import AnnouncedKey
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, PostSignature
from replicator.rules.trust import (
    Acquaintance,
    Admission,
    Signers,
    admit_sender,
    authentic,
    pools_of,
    pools_that_count,
    states_at,
)

NODE_KEY = KeyText("ed25519:" + "A" * 43)
OTHER_KEY = KeyText("ed25519:" + "E" * 43)
POOL = KeyText("ed25519:" + "I" * 43)
FOREIGN_POOL = KeyText("ed25519:" + "M" * 43)
SENDER = NodeId("alpha.example")


def post_signed_by(*keys: KeyText) -> Post:
    signatures = tuple(PostSignature(key, "A" * 86) for key in keys)
    return Post(GlobalId("alpha.example/1"), Digest("0" * 64), 0, b"{}", signatures)


@pytest.mark.parametrize(
    ("signers", "pins", "objection"),
    [
        ((NODE_KEY,), {NODE_KEY: "current"}, None),
        ((NODE_KEY,), {NODE_KEY: "retired"}, None),
        ((NODE_KEY,), {NODE_KEY: "revoked"}, "origin-key"),
        ((OTHER_KEY, POOL), {NODE_KEY: "current"}, "origin-key"),
        ((OTHER_KEY, POOL), {}, None),
        ((OTHER_KEY, FOREIGN_POOL), {}, "unknown-origin"),
        ((NODE_KEY,), {}, "unknown-origin"),
    ],
)
def test_a_post_is_authentic_by_its_origins_pin_or_else_by_a_pool(signers, pins, objection):
    assert authentic(post_signed_by(*signers), pins, {POOL}) == objection


def test_a_post_belongs_to_the_held_pools_that_signed_it():
    assert pools_of(post_signed_by(NODE_KEY, POOL, FOREIGN_POOL), {POOL}) == {POOL}


@pytest.mark.parametrize(
    ("proved", "counting"),
    [
        (set(), {POOL}),
        ({POOL}, {POOL, OTHER_KEY}),
        ({OTHER_KEY}, {POOL}),
        ({FOREIGN_POOL}, {POOL}),
    ],
)
def test_a_replaced_pool_counts_only_from_who_proved_the_one_that_stands_for_it(proved, counting):
    heirs = {OTHER_KEY: POOL}
    held = pools_that_count(frozenset({POOL}), heirs, proved)
    assert held == counting
    post = post_signed_by(NODE_KEY, OTHER_KEY)
    assert pools_of(post, held) == counting & {OTHER_KEY}
    assert (authentic(post, {}, held) is None) is (OTHER_KEY in counting)


@pytest.mark.parametrize(
    ("pool_keys", "pins", "added", "is_open", "source"),
    [
        ((), {NODE_KEY: "current"}, False, False, "pinned"),
        ((POOL,), {NODE_KEY: "current"}, False, False, "pinned"),
        ((POOL,), {}, False, False, "pool"),
        ((), {}, True, False, "operator"),
        ((), {}, False, True, "open"),
    ],
)
def test_a_sender_is_admitted_for_the_first_reason_that_holds(
    pool_keys, pins, added, is_open, source
):
    signers = Signers(SENDER, (NODE_KEY,), pool_keys)
    known = Acquaintance(pins, added)
    admission = admit_sender(signers, known, frozenset({POOL}), reads_are_open=is_open)
    assert admission.source == source
    assert admission.pools == frozenset(pool_keys)


@pytest.mark.parametrize("state", ["retired", "revoked", None])
def test_a_pool_key_never_admits_a_known_sender_under_another_key(state):
    pins = {OTHER_KEY: "current"} | ({NODE_KEY: state} if state else {})
    signers = Signers(SENDER, (NODE_KEY,), (POOL,))
    with pytest.raises(Refusal) as refusal:
        admit_sender(signers, Acquaintance(pins, True), frozenset({POOL}), reads_are_open=True)
    assert refusal.value.code is ErrorCode.KEY_CHANGED


def test_a_stranger_with_a_foreign_pool_key_is_an_unknown_sender():
    signers = Signers(SENDER, (NODE_KEY,), (FOREIGN_POOL,))
    with pytest.raises(Refusal) as refusal:
        admit_sender(signers, Acquaintance({}, False), frozenset({POOL}), reads_are_open=False)
    assert refusal.value.code is ErrorCode.UNKNOWN_SENDER


@pytest.mark.parametrize(
    ("state", "until", "counts_as"),
    [
        ("current", None, "current"),
        ("current", 1_001, "current"),
        ("current", 1_000, "retired"),
        ("current", 0, "retired"),
        ("retired", None, "retired"),
        ("revoked", None, "revoked"),
    ],
)
def test_a_current_key_is_retired_from_its_end_on(state, until, counts_as):
    states = states_at([AnnouncedKey(NODE_KEY, state, until)], 1_000)
    assert states == {NODE_KEY: counts_as}
    known = Acquaintance(states, added_by_operator=True)
    signers = Signers(SENDER, (NODE_KEY,), (POOL,))
    if counts_as == "current":
        assert admit_sender(signers, known, frozenset({POOL}), reads_are_open=True)
    else:
        with pytest.raises(Refusal) as refused:
            admit_sender(signers, known, frozenset({POOL}), reads_are_open=True)
        assert refused.value.code == ErrorCode.KEY_CHANGED
    expected = "origin-key" if counts_as == "revoked" else None
    assert authentic(post_signed_by(NODE_KEY), states, {POOL}) == expected


@pytest.mark.parametrize(
    ("signers", "pins", "odd"),
    [
        ((NODE_KEY,), {NODE_KEY: "current"}, None),
        ((NODE_KEY,), {NODE_KEY: "current", OTHER_KEY: "retired"}, None),
        ((NODE_KEY, OTHER_KEY), {NODE_KEY: "current", OTHER_KEY: "current"}, None),
        ((NODE_KEY, OTHER_KEY), {NODE_KEY: "current"}, "strange"),
        ((NODE_KEY, OTHER_KEY), {NODE_KEY: "current", OTHER_KEY: "retired"}, "strange"),
        ((NODE_KEY,), {NODE_KEY: "current", OTHER_KEY: "current"}, "lacking"),
    ],
)
def test_it_shows_when_a_sender_signs_with_other_keys_than_it_should(signers, pins, odd):
    known = Acquaintance(pins, added_by_operator=False)
    admitted = admit_sender(Signers(SENDER, signers, ()), known, frozenset(), reads_are_open=False)
    assert admitted == Admission("pinned", frozenset(), odd)
