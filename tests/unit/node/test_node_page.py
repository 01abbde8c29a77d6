"""The node document says what this node does, as its operator set it."""

import pytest

from replicator.limits import Limits
from replicator.node import node_page
from replicator.protocol import codec, node_document
from replicator.protocol.node_document import NodeDocument
from replicator.rules.policy import Policy
from tests.support.pool import NOW_MS, Member, Pool


def told(member: Member) -> NodeDocument:
    body = codec.encode(codec.JSON, node_page.current(member.node))
    return node_document.read(codec.JSON, body, Limits())


def test_it_says_who_it_is_and_where() -> None:
    pool = Pool()
    alpha = pool.add("alpha")
    document = told(alpha)
    assert (document.id, document.addresses, document.time) == ("alpha", (alpha.address,), NOW_MS)
    assert (document.pools, document.floor) == ((pool.key.public,), 0)


@pytest.mark.parametrize(
    ("policy", "types"),
    [
        (Policy(), ("pull", "get", "put", "reconcile", "roster")),
        (Policy(roster="ask"), ("pull", "get", "put", "reconcile", "roster")),
        (Policy(roster="off"), ("pull", "get", "put", "reconcile")),
        (Policy(reconcile="off", roster="off"), ("pull", "get", "put")),
    ],
)
def test_it_names_the_request_types_that_are_answered(
    policy: Policy, types: tuple[str, ...]
) -> None:
    assert told(Pool().add("alpha", policy=policy)).types == types
