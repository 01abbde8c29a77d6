"""The committed vectors: reproducible, and true for the product and for independent code."""

import base64
import gzip
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from replicator.errors import ErrorCode, Malformed
from replicator.limits import Limits
from replicator.protocol import announcement, codec, envelope, http_status, node_document
from replicator.protocol.messages import (
    REQUEST_TYPES,
    GetAnswer,
    PullAnswer,
    PutAnswer,
    ReconcileAnswer,
    RequestHead,
    RosterAnswer,
)
from replicator.protocol.post import Content, SignedContent, canonical_bytes, post_of
from replicator.protocol.signing import verify_post
from tests.conformance import stranger, stranger_sets
from tests.vectors import make

LIMITS = Limits()
FOLDER = Path(make.__file__).parent


def load(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="ascii"))
    return vectors


def named(name: str, *, by: str = "name") -> Any:
    return pytest.mark.parametrize("vector", load(name), ids=lambda vector: str(vector[by]))


def wire_of(message: dict[str, Any]) -> bytes:
    if "wire_base64" in message:
        return base64.b64decode(message["wire_base64"])
    body: str = message["body"]
    return body.encode()


MESSAGES = [
    pytest.param(exchange[side], id=f"{exchange['name']}-{side}")
    for exchange in load("exchanges.json")
    for side in ("request", "answer")
]
EXPECTED = {
    "pull": PullAnswer,
    "get": GetAnswer,
    "put": PutAnswer,
    "reconcile": ReconcileAnswer,
    "roster": RosterAnswer,
}


def test_the_generator_writes_the_committed_files():
    for name, value in make.vectors().items():
        assert (FOLDER / name).read_text(encoding="ascii") == make.text_of(value), name


def test_every_request_type_has_exchanges():
    asked = {json.loads(e["request"]["body"])["type"] for e in load("exchanges.json")[::2]}
    assert asked == {*REQUEST_TYPES, "dance"}
    assert set(EXPECTED) == set(REQUEST_TYPES)


@named("keys.json")
def test_a_key_follows_from_its_seed(vector):
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["seed_hex"]))
    assert stranger.key_text(key) == vector["public"]
    number = int(hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest(), 16)
    digits = str(number % 10**30).zfill(30)
    assert vector["fingerprint"].split() == [digits[at : at + 5] for at in range(0, 30, 5)]


@named("posts.json")
def test_a_post_is_canonical_and_signed(vector):
    item = {"content": vector["content"], "signatures": vector["signatures"]}
    canonical = vector["canonical"].encode()
    assert rfc8785.dumps(vector["content"]) == canonical
    assert hashlib.sha256(canonical).hexdigest() == vector["digest"] == stranger.check_post(item)
    signed = codec.read(item, SignedContent)
    post = post_of(signed.content, signed.signatures, LIMITS)
    assert canonical_bytes(codec.read(vector["content"], Content)) == canonical
    assert (post.canonical, post.digest, post.size) == (canonical, vector["digest"], vector["size"])
    assert verify_post(post)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_verifies_here(message):
    found = envelope.parse(message["headers"], LIMITS)
    envelope.check_digest(found, wire_of(message))
    envelope.verify(found)
    assert [base.decode() for base in found.bases] == message["signature_bases"]
    assert found.base_digest == message["base_digest"]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_verifies_for_the_stranger(message):
    told = stranger.check_message(message["headers"], wire_of(message))
    assert told["base_digest"] == message["base_digest"]
    body = gzip.decompress(wire_of(message)) if "wire_base64" in message else wire_of(message)
    assert body == message["body"].encode()
    media_type = message["headers"]["content-type"]
    assert stranger.read(media_type, body) == codec.decode(media_type, body, LIMITS)


class Keys(HTTPSignatureKeyResolver):
    """A key id is the key."""

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        raw = stranger.unb64url(key_id.removeprefix("ed25519:"))
        return Ed25519PublicKey.from_public_bytes(raw)


class Verifier(HTTPMessageVerifier):
    """The library's verifier for times long past."""

    max_clock_skew = timedelta(days=36_500)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_verifies_for_an_rfc_9421_library(message):
    headers = message["headers"]
    results = Verifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys()).verify(
        SimpleNamespace(method="POST", url="https://bob.example/v1/sync", headers=headers),
        max_age=None,
        expect_tag=envelope.parse(headers, LIMITS).tag,
        require_components=[name for name in headers if not name.startswith("signature")],
        body=wire_of(message),
    )
    assert len(results) == len(message["signature_bases"]) == 2


@named("exchanges.json")
def test_an_answer_is_bound_to_its_request_and_fits_its_status(vector):
    request, answer = vector["request"], vector["answer"]
    assert answer["headers"]["replicator-in-reply-to"] == request["base_digest"]
    assert answer["headers"]["content-type"] == request["headers"]["content-type"]
    media_type = answer["headers"]["content-type"]
    asked = codec.decode(media_type, request["body"].encode(), LIMITS)
    head = codec.read(asked, RequestHead)
    tree = codec.decode(media_type, answer["body"].encode(), LIMITS)
    found = codec.read_answer(tree, EXPECTED.get(head.type, PullAnswer))
    assert http_status.of(found) == answer["status"]
    for item in tree.get("models", []):
        stranger.check_post(item)
    for item in tree.get("introductions", []):
        assert node_document.read_tree(item).id == stranger.check_node(item)


@named("exchanges.json")
def test_both_encodings_of_an_exchange_are_one_tree(vector):
    others = {exchange["name"]: exchange for exchange in load("exchanges.json")}
    other = others[vector["name"].replace("xml", "json")]
    for side in ("request", "answer"):
        trees = [
            codec.decode(one[side]["headers"]["content-type"], one[side]["body"].encode(), LIMITS)
            for one in (vector, other)
        ]
        assert trees[0] == trees[1]


@pytest.mark.parametrize(
    "vector",
    [pytest.param(e, id=e["name"]) for e in load("exchanges.json") if "reconcile" in e["name"]],
)
def test_the_frames_of_a_comparison_are_those_of_the_posts(vector):
    media_type = vector["answer"]["headers"]["content-type"]
    asked = stranger.read(media_type, vector["request"]["body"].encode())
    answered = stranger.read(media_type, vector["answer"]["body"].encode())
    first, reply = (
        (post["content"]["published"], bytes.fromhex(post["digest"]))
        for post in load("posts.json")[:2]
    )
    assert stranger.unb64url(asked["frame"]) == stranger_sets.first_message([first])
    if answered["since"] > asked["since"]:
        assert "frame" not in answered
        return
    frame = stranger.unb64url(answered["frame"])
    assert stranger_sets.learn([first], frame) == ([], [reply[1]], None)


@named("node_documents.json")
def test_a_node_document_verifies(vector):
    body = vector["body"].encode()
    document = node_document.read(vector["media_type"], body, LIMITS)
    tree = stranger.read(vector["media_type"], body)
    assert rfc8785.dumps(tree["document"]) == vector["canonical"].encode()
    assert {*document.keys, *document.pools} == {one["key"] for one in tree["signatures"]}
    assert stranger.canonical(tree["document"]).encode() == vector["canonical"].encode()
    assert stranger.check_node(tree) == document.id


def test_a_node_document_may_carry_an_announcement():
    announcing = [one for one in load("node_documents.json") if "announcing" in one["name"]]
    for vector in announcing:
        document = node_document.read(vector["media_type"], vector["body"].encode(), LIMITS)
        found = announcement.of_document(document, LIMITS)
        assert found is not None
        assert stranger.check_announcement(document.announcement) == found[1]
        assert document.announcement == load("announcements.json")[0]["signed"]
    assert len(announcing) == 2


@named("announcements.json")
def test_an_announcement_counts_or_not_for_everybody(vector):
    signed = vector["signed"]
    assert rfc8785.dumps(signed["announcement"]).decode() == vector["canonical"]
    if vector["counts"]:
        _, signers = announcement.read_tree(signed, LIMITS)
        assert stranger.check_announcement(signed) == signers
        return
    with pytest.raises(ValueError, match=r".+"):
        stranger.check_announcement(signed)
    with pytest.raises(Malformed):
        announcement.read_tree(signed, LIMITS)


@named("malformed.json", by="why")
def test_a_malformed_document_is_refused(vector):
    with pytest.raises(Malformed):
        codec.decode(vector["media_type"], vector["document"].encode(), LIMITS)


def test_every_error_code_has_a_status():
    assert set(http_status.STATUS) == set(ErrorCode)
