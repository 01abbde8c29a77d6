"""What an introduction may change: newest wins, pins stand, addresses are hostile input."""

from typing import Any

import msgspec
import pytest

from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Model
from replicator.protocol.node_document import NodeDocument, limits_of
from replicator.protocol.signing import PrivateKey
from replicator.rules.roster import (
    Decision,
    Standing,
    Step,
    decide,
    is_another,
    objection,
    usable_address,
)

LIMITS = Limits()
NOW = 1_700_000_000_000
OWN = NodeId("here")
KEY, OLDER, POOL, OTHER = (PrivateKey.generate().public for _ in range(4))
HOME, AWAY = "https://beta.example", "https://beta.example.net"
DOCUMENT = NodeDocument(
    id=NodeId("beta"),
    keys=(KEY, OLDER),
    pools=(POOL,),
    protocols=("1.0",),
    models=(Model(),),
    types=("pull",),
    features=(),
    limits=limits_of(LIMITS),
    addresses=(HOME,),
    time=NOW,
)
UNKNOWN = Standing({}, is_peer=False, address=None)


def document(**members: Any) -> NodeDocument:
    return msgspec.structs.replace(DOCUMENT, **members)


def peer(address: str | None, *named: str) -> Standing:
    return Standing({KEY: "current"}, is_peer=True, address=address, named=named)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, None),
        ({"id": OWN}, "own"),
        ({"pools": (OTHER,)}, "not-in-pool"),
        ({"pools": (OTHER, POOL)}, None),
        ({"time": NOW + 60_000}, None),
        ({"time": NOW + 60_001}, "future"),
        ({"time": NOW - 2_592_000_000}, None),
        ({"time": NOW - 2_592_000_001}, "stale"),
    ],
)
def test_a_document_counts_for_its_pool_and_its_time(members, reason):
    assert objection(document(**members), POOL, OWN, NOW, LIMITS) == reason


@pytest.mark.parametrize(
    ("pins", "another"),
    [
        ({}, False),
        ({KEY: "current"}, False),
        ({OLDER: "current", OTHER: "retired"}, False),
        ({OTHER: "current"}, True),
        ({OTHER: "current", KEY: "retired"}, True),
        ({KEY: "revoked"}, True),
    ],
)
def test_a_pinned_node_is_introduced_by_a_current_key_of_its_own_or_not_at_all(pins, another):
    assert is_another(DOCUMENT, pins) is another


@pytest.mark.parametrize(
    ("standing", "policy", "decision"),
    [
        (UNKNOWN, "auto", Decision(Step.ADD, HOME)),
        (UNKNOWN, "ask", Decision(Step.OFFER, HOME)),
        (UNKNOWN, "off", Decision(Step.KEEP)),
        (peer(None), "auto", Decision(Step.MOVE, HOME)),
        (peer(None), "ask", Decision(Step.OFFER, HOME)),
        (peer(HOME), "auto", Decision(Step.KEEP)),
        (peer(AWAY, AWAY), "auto", Decision(Step.MOVE, HOME)),
        (peer(AWAY, AWAY), "ask", Decision(Step.MOVE, HOME)),
    ],
)
def test_a_node_becomes_a_peer_by_policy_and_a_peer_moves_by_its_own_word(
    standing, policy, decision
):
    assert decide(DOCUMENT, standing, policy, None) == decision


def test_an_address_that_the_operator_gave_by_hand_stays():
    by_hand = "http://10.0.0.5:8470"
    assert decide(DOCUMENT, peer(by_hand), "auto", None) == Decision(Step.KEEP)
    assert decide(DOCUMENT, peer(by_hand, AWAY), "auto", None) == Decision(Step.KEEP)


def test_a_peer_that_is_still_reached_at_one_of_its_addresses_does_not_move():
    both = document(addresses=(AWAY, HOME))
    assert decide(both, peer(HOME, HOME), "auto", None) == Decision(Step.KEEP)


def test_a_node_without_a_usable_address_is_kept_and_nothing_else():
    for addresses in ((), ("ftp://beta",)):
        assert decide(document(addresses=addresses), UNKNOWN, "auto", None) == Decision(Step.KEEP)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "beta.example",
        "ftp://beta.example",
        "file:///etc/passwd",
        "http://",
        "http://.",
        "https://beta.example:0",
        "https://beta.example:65536",
        "https://beta.example:x",
        "https://me:secret@beta.example",
        "https://beta.example/?q=1",
        "https://beta.example/#top",
        "https://beta.example\\@other",
        "https://[::1",
        "https://beta example",
        "https://b\u00e9ta.example",
        "https://" + "a" * 300,
    ],
)
def test_what_is_no_base_url_is_never_called(address):
    assert usable_address([address], None) is None
    assert usable_address([address, HOME], None) == HOME


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8470",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://0.0.0.0",
        "http://localhost:8470",
        "http://localhost.",
        "http://board.localhost",
        "http://[::1]:8470",
        "http://[::ffff:127.0.0.1]",
        "http://169.254.169.254",
        "http://[fe80::1]",
    ],
)
def test_addresses_of_this_very_machine_are_for_nodes_that_give_one_themselves(address):
    assert usable_address([address], None) is None
    assert usable_address([address], "https://here.example") is None
    assert usable_address([address], None, allow_private=True) is None
    near = "http://127.0.0.1:9000"
    assert usable_address([address], near) is None
    assert usable_address([address], near, allow_private=True) == address


@pytest.mark.parametrize(
    "address", ["http://10.0.0.7:8470", "http://[fd00::1]", "http://100.64.0.1"]
)
def test_private_addresses_are_for_nodes_whose_operator_allowed_them(address):
    assert usable_address([address, AWAY], HOME) == AWAY
    assert usable_address([address, AWAY], HOME, allow_private=True) == address
    named = document(addresses=(address,))
    assert decide(named, UNKNOWN, "auto", None) == Decision(Step.KEEP)
    allowed = decide(named, UNKNOWN, "auto", None, allow_private=True)
    assert allowed == Decision(Step.ADD, address)


def test_a_node_does_not_call_itself():
    assert usable_address(["https://here.example/"], "https://here.example") is None
