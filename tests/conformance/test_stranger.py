"""A client written from PROTOCOL.md alone is understood, and understands."""

import ast
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from replicator.errors import Refusal
from replicator.limits import Limits
from replicator.protocol import codec, envelope, node_document
from replicator.protocol.messages import Filter, Pull, PullAnswer, Put
from replicator.protocol.post import Content, SignedContent, post_of
from replicator.protocol.signing import PrivateKey, sign_post, verify_post
from tests.conformance import stranger

LIMITS = Limits()
BOTH = pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
CREATED = 1_767_225_600
NODE, POOL = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
OURS = PrivateKey.generate()
ODD = '\n <é> & "\\/ \x7f\u2028 \U0001f600 \t '


def signed_pull(media_type: str) -> tuple[dict[str, str], bytes, str]:
    """Return headers, body and base digest of a pull that the stranger signs."""
    tree = {
        "type": "pull",
        **stranger.HEAD,
        "filter": {"nodes": ["a.example", "b"], "since": 5, "tags": [ODD, ""]},
        "scope": stranger.key_text(POOL),
        "limit": 7,
    }
    body = stranger.write(media_type, "request", tree)
    fields = {
        "content-type": media_type,
        "replicator-sender": "stranger.example",
        "replicator-recipient": "ours.example",
    }
    shared = (CREATED, stranger.b64url(bytes(range(16))), "replicator-request-1")
    headers, base_digest = stranger.sign(fields, body, [(NODE, "node"), (POOL, "pool")], shared)
    return headers, body, base_digest


def test_the_stranger_knows_nothing_of_the_product():
    tree = ast.parse(Path(stranger.__file__).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names | {"cryptography"}


@BOTH
def test_its_signed_pull_is_understood(media_type):
    headers, body, base_digest = signed_pull(media_type)
    message = envelope.parse(headers, LIMITS)
    envelope.check_digest(message, body)
    envelope.verify(message)
    envelope.check_window(message, CREATED * 1000 + 59_000, LIMITS.window_seconds)
    assert message.base_digest == base_digest
    assert message.sender == "stranger.example"
    assert message.keys_of("pool") == (stranger.key_text(POOL),)
    tree = codec.decode(codec.media_type_of(headers["content-type"]), body, LIMITS)
    assert codec.read(tree, Pull) == Pull(
        filter=Filter(nodes=("a.example", "b"), since=5, tags=(ODD, "")),
        scope=stranger.key_text(POOL),
        limit=7,
    )


@BOTH
def test_it_understands_a_signed_answer_and_the_posts_in_it(media_type):
    _, _, base_digest = signed_pull(media_type)
    content = Content((), ODD, "ours.example/1", 5, ("t", "ü"), ODD, None, "")
    post = sign_post(content, [OURS], LIMITS)
    answer = PullAnswer(models=(codec.model_tree(post),), cursor="c", more=True)
    body = codec.encode(media_type, codec.answer_tree(answer))
    signed = envelope.sign_answer(
        envelope.Credentials("ours.example", ((OURS, "node"),)),
        "stranger.example",
        body,
        media_type,
        in_reply_to=base_digest,
        created=CREATED,
        nonce=bytes(16),
    )
    told = stranger.check_message(signed.headers, body)
    assert told["tag"] == "replicator-answer-1"
    assert signed.headers["replicator-in-reply-to"] == base_digest
    tree = stranger.read(media_type, body)
    assert (tree["status"], tree["cursor"], tree["more"]) == ("success", "c", True)
    assert stranger.check_post(tree["models"][0]) == post.digest
    with pytest.raises(ValueError, match="another"):
        stranger.check_message(signed.headers, body + b" ")


@BOTH
def test_a_post_that_it_signs_is_taken(media_type):
    content = {
        "id": "stranger.example/1", "title": ODD, "text": ODD, "author": "", "tags": ["b", "a"],
        "thread": None, "published": 2**53 - 1, "attachments": [],
    }  # fmt: skip
    data = b"replicator:post:1.0\n" + stranger.canonical(content).encode()
    signatures = [
        {"key": stranger.key_text(key), "value": stranger.b64url(key.sign(data))}
        for key in (NODE, POOL)
    ]
    item = {"content": content, "signatures": signatures}
    body = stranger.write(media_type, "request", {"type": "put", **stranger.HEAD, "models": [item]})
    (tree,) = codec.read(codec.decode(media_type, body, LIMITS), Put).models
    taken = codec.read(tree, SignedContent)
    post = post_of(taken.content, taken.signatures, LIMITS)
    assert verify_post(post)
    assert post.digest == stranger.check_post(item)


@BOTH
def test_it_checks_our_node_document(media_type):
    document = node_document.NodeDocument(
        id="ours.example",
        keys=(OURS.public,),
        pools=(),
        protocols=("1.0",),
        models=(),
        types=("pull",),
        features=(),
        limits=node_document.limits_of(LIMITS),
        addresses=(),
        time=5,
    )
    body = codec.encode(media_type, node_document.make(document, (OURS,)))
    tree = stranger.read(media_type, body)
    data = b"replicator:node:1.0\n" + stranger.canonical(tree["document"]).encode()
    (signature,) = tree["signatures"]
    assert stranger.verifies(signature["key"], stranger.unb64url(signature["value"]), data)


def test_a_changed_field_is_noticed():
    headers, _, _ = signed_pull(codec.JSON)
    message = envelope.parse(headers | {"replicator-recipient": "other.example"}, LIMITS)
    with pytest.raises(Refusal, match="does not verify"):
        envelope.verify(message)
