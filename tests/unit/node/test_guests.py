"""A sender outside the pool compares sets where the operator says so, and where it may read all."""

import pytest

from replicator.node.node_page import current
from replicator.protocol import codec
from replicator.protocol.messages import Reconcile
from replicator.protocol.signing import b64url
from replicator.rules import negentropy
from replicator.rules.policy import Policy
from tests.support.pool import Member, Pool, know, read, send

READ_BY_PEERS = {"pull": "peers", "get": "peers"}
READ_BY_ALL = {"pull": "open", "get": "open"}


def asked(host: Member, guest: Member) -> codec.Tree:
    """Return the answer to a guest that asks to compare an empty set."""
    (scope,) = host.node.identity.pools
    frame = b64url(negentropy.initiate(negentropy.SortedItems([])))
    return read(send(guest, host, codec.request_tree(Reconcile(scope=scope, since=0, frame=frame))))


@pytest.mark.parametrize(
    ("policy", "pinned", "compares"),
    [
        ({"reconcile": "peers", **READ_BY_PEERS}, True, True),
        ({"reconcile": "peers"}, True, False),
        ({"reconcile": "open", **READ_BY_ALL}, False, True),
        ({"reconcile": "open", "pull": "open"}, False, False),
        (READ_BY_ALL, False, False),
    ],
)
def test_only_who_may_read_everything_compares_as_a_guest(policy, pinned, compares):
    pool = Pool()
    host, guest = pool.add("host", policy=Policy(**policy)), pool.add("guest", pools=())
    if pinned:
        know(host, guest)
    host.publish("one", "two")
    before = host.state()
    answer = asked(host, guest)
    if compares:
        assert answer["status"] == "success"
        assert answer["frame"]
    else:
        assert answer["code"] == "forbidden"
    assert host.state() == before
    assert "reconcile" in str(current(host.node))
