"""A pool-mate introduces itself to a real gateway over a real database, in both encodings."""

import pytest

from replicator.node.introductions import SOURCE, take
from replicator.protocol import codec, node_document
from replicator.protocol.messages import Roster
from replicator.protocol.node_document import NodeDocument
from replicator.protocol.signing import PrivateKey
from tests.support.gateway import POOL_KEY, SENDER, make_node, running


def introduction(node, node_id: str, *keys: PrivateKey) -> codec.Tree:
    document = NodeDocument(
        id=node_id,
        keys=tuple(key.public for key in keys),
        pools=(POOL_KEY.public,),
        protocols=("1.0",),
        models=(),
        types=("pull", "get", "put", "roster"),
        features=(),
        limits=node_document.limits_of(node.limits),
        addresses=(f"https://{node_id}",),
        time=node.clock.now(),
    )
    return node_document.make(document, [*keys, POOL_KEY])


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML], ids=["json", "xml"])
def test_who_introduces_itself_is_kept_with_its_address_and_told_on(tmp_path, media_type):
    with running(make_node(tmp_path)) as gateway, gateway.worker():
        node = gateway.node
        mine = introduction(node, SENDER.node_id, *SENDER.node_keys)
        request = codec.request_tree(Roster(scope=POOL_KEY.public, introduction=mine))
        answer = gateway.post(*gateway.signed(request, media_type)).tree
        told = [node_document.read_tree(entry) for entry in answer["introductions"]]
        assert [document.id for document in told] == ["here.example", "sender.example"]
        (peer,) = node.store.peers()
        assert (peer.id, peer.address) == (SENDER.node_id, f"https://{SENDER.node_id}")
        (kept,) = node.store.members(POOL_KEY.public)
        assert node_document.read(codec.JSON, kept.document, node.limits) == told[1]


def test_members_are_pinned_in_the_database_and_a_pool_key_alone_does_not_change_that(tmp_path):
    node = make_node(tmp_path)
    keys = [PrivateKey.generate() for _ in range(3)]
    trees = [introduction(node, f"n{n}.example", key) for n, key in enumerate(keys)]
    taken = take(node, POOL_KEY.public, [*trees, trees[0], {"no": "document"}], SENDER.node_id)
    assert (taken.added, taken.members, taken.ignored) == (3, 3, 1)
    assert [pin.source for pin in node.store.pins("n1.example")] == [SOURCE]
    forged = introduction(node, "n1.example", PrivateKey.generate())
    node.store.drop_members(node.clock.now() + 1)
    assert take(node, POOL_KEY.public, [forged], SENDER.node_id).ignored == 1
    assert {pin.key for pin in node.store.pins("n1.example")} == {keys[1].public}
    node.store.close()
