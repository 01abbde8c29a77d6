"""Who may ask what: the list of rules, the first of which decides."""

import pytest

from replicator.errors import ErrorCode, NotSupported, Refusal
from replicator.protocol.ids import KeyText
from replicator.rules.policy import ASKING, Asking, Policy, Sender, check_asking, visible_scopes
from replicator.rules.rule import first_refusing

POOL = KeyText("ed25519:" + "I" * 43)
OTHER_POOL = KeyText("ed25519:" + "M" * 43)
HELD = frozenset({POOL, OTHER_POOL})
MEMBER = Sender(pinned=True, pools=frozenset({POOL}))
PEER = Sender(pinned=True, pools=frozenset())
STRANGER = Sender(pinned=False, pools=frozenset())


def pulling(audience, sender, asked):
    return Asking(Policy(pull=audience), "pull", sender, asked, HELD)


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
    seen = visible_scopes(pulling(audience, sender, asked))
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
        visible_scopes(pulling(audience, sender, asked))
    assert refusal.value.code is ErrorCode.FORBIDDEN


PEERS_READ = {"pull": "peers", "get": "peers"}
ALL_READ = {"pull": "open", "get": "open"}


@pytest.mark.parametrize(
    ("policy", "request_type", "sender", "scope", "rule"),
    [
        ({}, "put", MEMBER, None, None),
        ({}, "put", PEER, None, "giving"),
        ({"put": "peers"}, "put", PEER, None, None),
        ({"put": "peers"}, "put", STRANGER, None, "giving"),
        ({"pull": "open"}, "get", STRANGER, None, "reading"),
        ({"get": "open"}, "pull", STRANGER, None, "reading"),
        ({"get": "open"}, "get", STRANGER, None, None),
        ({}, "reconcile", MEMBER, POOL, None),
        ({}, "reconcile", MEMBER, OTHER_POOL, "comparing"),
        ({}, "reconcile", PEER, POOL, "comparing"),
        ({"reconcile": "off"}, "reconcile", MEMBER, POOL, "turned-off"),
        # comparing names digests: it opens to nobody who may not read them all
        ({"reconcile": "peers"}, "reconcile", PEER, POOL, "comparing"),
        ({"reconcile": "open", "pull": "open"}, "reconcile", STRANGER, POOL, "comparing"),
        ({"reconcile": "peers", **PEERS_READ}, "reconcile", PEER, POOL, None),
        ({"reconcile": "peers", **ALL_READ}, "reconcile", STRANGER, POOL, "comparing"),
        ({"reconcile": "open", **ALL_READ}, "reconcile", STRANGER, POOL, None),
        ({"reconcile": "open", **ALL_READ}, "reconcile", STRANGER, "no pool", "pool-of-ours"),
        (ALL_READ, "reconcile", STRANGER, POOL, "comparing"),
        ({}, "roster", MEMBER, POOL, None),
        ({}, "roster", MEMBER, OTHER_POOL, "introducing"),
        (ALL_READ, "roster", PEER, POOL, "introducing"),
        ({"roster": "off"}, "roster", MEMBER, POOL, "turned-off"),
        ({"roster": "ask"}, "roster", MEMBER, POOL, None),
    ],
)
def test_the_first_rule_that_refuses_decides(policy, request_type, sender, scope, rule):
    asking = Asking(Policy(**policy), request_type, sender, scope, HELD)
    found = first_refusing(ASKING, asking)
    assert (found.name if found else None) == rule
    if rule is None:
        check_asking(asking)
    elif rule == "turned-off":
        with pytest.raises(NotSupported):
            check_asking(asking)
    else:
        with pytest.raises(Refusal, match=request_type) as refusal:
            check_asking(asking)
        assert refusal.value.code is ErrorCode.FORBIDDEN


def test_every_rule_about_asking_decides_by_itself():
    assert all(rule.refuses is not None for rule in ASKING)
