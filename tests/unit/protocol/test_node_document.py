"""The signed node document: what is signed, and what a reader refuses."""

import copy
from typing import Any

import msgspec
import pytest

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol import codec, node_document
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Model
from replicator.protocol.node_document import NodeDocument
from replicator.protocol.signing import PrivateKey

NODE, OLDER, POOL = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
LIMITS = Limits()
DOCUMENT = NodeDocument(
    id=NodeId("alpha.example"),
    keys=(NODE.public, OLDER.public),
    pools=(POOL.public,),
    protocols=("1.0",),
    models=(Model(),),
    types=("pull", "get", "put"),
    features=(),
    limits=node_document.limits_of(LIMITS),
    addresses=("https://alpha.example",),
    time=1_700_000_000_000,
)
EVERYBODY = (NODE, OLDER, POOL)


def encoded(media_type: str = codec.JSON) -> bytes:
    return codec.encode(media_type, node_document.make(DOCUMENT, EVERYBODY))


def changed(**members: Any) -> bytes:
    tree = msgspec.json.decode(encoded())
    tree["document"].update(members)
    return msgspec.json.encode(tree)


def signed(document: dict[str, Any], *keys: PrivateKey) -> bytes:
    data = b"replicator:node:1.0\n" + msgspec.json.encode(document, order="sorted")
    signatures = [
        {"key": key.public, "value": node_document.b64url(key.sign(data))} for key in keys
    ]
    return msgspec.json.encode({"document": document, "signatures": signatures})


def read(body: bytes, media_type: str = codec.JSON) -> NodeDocument:
    return node_document.read(media_type, body, LIMITS)


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_both_encodings_carry_the_same_document(media_type):
    assert read(encoded(media_type), media_type) == DOCUMENT
    assert node_document.keys_of(DOCUMENT) == (NODE.public, OLDER.public)


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_a_document_within_another_one_is_kept_as_the_bytes_it_was_signed_as(media_type):
    request = {"type": "roster", "introduction": node_document.make(DOCUMENT, EVERYBODY)}
    outer = codec.encode(media_type, request)
    tree = codec.decode(media_type, outer, LIMITS)["introduction"]
    assert node_document.read_tree(tree) == DOCUMENT
    kept = node_document.compact(tree)
    assert read(kept) == DOCUMENT
    assert kept == node_document.compact(node_document.make(DOCUMENT, EVERYBODY))


@pytest.mark.parametrize("tree", [None, 7, "x", [], {}, {"document": {}, "signatures": []}])
def test_a_tree_that_is_no_node_document_is_malformed(tree):
    with pytest.raises(Malformed):
        node_document.read_tree(tree)


def test_the_label_and_the_sorted_document_are_what_is_signed():
    assert read(signed(msgspec.to_builtins(DOCUMENT), *EVERYBODY)) == DOCUMENT


def test_a_member_of_a_later_version_is_ignored_but_covered():
    extended = msgspec.to_builtins(DOCUMENT) | {"later": {"z": 1, "a": [True, None, "\u20ac"]}}
    body = signed(extended, *EVERYBODY)
    assert read(body) == DOCUMENT
    with pytest.raises(Malformed, match="verify"):
        read(body.replace(b'"z":1', b'"z":2'))


@pytest.mark.parametrize("missing", EVERYBODY)
def test_every_listed_key_and_pool_must_sign(missing):
    rest = [key for key in EVERYBODY if key is not missing]
    with pytest.raises(ValueError, match="must sign"):
        node_document.make(DOCUMENT, rest)
    with pytest.raises(Malformed, match="did not sign"):
        read(signed(msgspec.to_builtins(DOCUMENT), *rest))


def test_a_further_signature_must_verify_too():
    tree = msgspec.json.decode(encoded())
    stranger = PrivateKey.generate()
    wrong = copy.deepcopy(tree["signatures"][0]) | {"key": stranger.public}
    tree["signatures"].append(wrong)
    with pytest.raises(Malformed, match="verify"):
        read(msgspec.json.encode(tree))


@pytest.mark.parametrize(
    "members",
    [
        {"id": "mallory.example"},
        {"addresses": ["https://mallory.example"]},
        {"time": 1_700_000_000_001},
        {"pools": []},
        {"more": 1},
    ],
)
def test_a_changed_document_does_not_verify(members):
    with pytest.raises(Malformed, match="verify"):
        read(changed(**members))


@pytest.mark.parametrize(
    "members",
    [
        {"id": "Alpha"},
        {"keys": []},
        {"keys": ["rsa:x"]},
        {"keys": [NODE.public] * 65},
        {"pools": ["x"]},
        {"addresses": ["https://a\x1b[2J"]},
        {"addresses": [""]},
        {"addresses": ["x" * 301]},
        {"features": [1]},
        {"protocols": "1.0"},
        {"limits": {}},
        {"limits": None},
        {"time": -1},
        {"time": None},
    ],
)
def test_a_document_of_another_form_is_malformed(members):
    with pytest.raises(Malformed):
        read(signed(msgspec.to_builtins(DOCUMENT) | members, *EVERYBODY))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"document":{},"signatures":[]}', b"\xff", b"<node/>"]
)
@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_what_is_no_node_document_is_malformed(body, media_type):
    with pytest.raises(Malformed):
        read(body, media_type)
