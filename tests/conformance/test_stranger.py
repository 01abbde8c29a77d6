"""A client written from PROTOCOL.md alone is understood, and understands."""

import ast
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from replicator.errors import Refusal
from replicator.limits import Limits
from replicator.protocol import codec, envelope, node_document
from replicator.protocol.messages import (
    Filter,
    Pull,
    PullAnswer,
    Put,
    Reconcile,
    ReconcileAnswer,
    Roster,
    RosterAnswer,
)
from replicator.protocol.post import Content, SignedContent, post_of
from replicator.protocol.signing import PrivateKey, b64url, sign_post, unb64url, verify_post
from replicator.rules import negentropy
from replicator.rules.negentropy import SortedItems
from tests.conformance import stranger, stranger_sets
from tests.conformance.negentropy_talk import Recipe

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
    trees = [
        ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        for module in (stranger, stranger_sets)
    ]
    imported = {
        name.partition(".")[0]
        for tree in trees
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


def our_document() -> codec.Tree:
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
        floor=4,
    )
    return node_document.make(document, (OURS,))


@BOTH
def test_it_checks_our_node_document(media_type):
    tree = stranger.read(media_type, codec.encode(media_type, our_document()))
    assert stranger.check_node(tree) == "ours.example"
    tree["document"]["floor"] = 5
    with pytest.raises(ValueError, match="does not verify"):
        stranger.check_node(tree)


@BOTH
def test_it_introduces_itself_and_reads_whom_we_know(media_type):
    document = {
        "id": "stranger.example", "keys": [stranger.key_text(NODE)],
        "pools": [stranger.key_text(POOL)], "protocols": ["1.0"], "models": [],
        "types": ["pull", "get", "put", "roster"], "features": [], "addresses": [], "time": 5,
        "limits": {"message_bytes_max": 2**20, "post_bytes_max": 2**18, "items_max": 500},
    }  # fmt: skip
    data = b"replicator:node:1.0\n" + stranger.canonical(document).encode()
    signatures = [
        {"key": stranger.key_text(key), "value": stranger.b64url(key.sign(data))}
        for key in (NODE, POOL)
    ]
    tree = {
        "type": "roster",
        **stranger.HEAD,
        "scope": stranger.key_text(POOL),
        "introduction": {"document": document, "signatures": signatures},
    }
    body = stranger.write(media_type, "request", tree)
    asked = codec.read(codec.decode(media_type, body, LIMITS), Roster)
    assert node_document.read_tree(asked.introduction).id == "stranger.example"
    answer = RosterAnswer(introductions=(our_document(),), more=True)
    told = stranger.read(media_type, codec.encode(media_type, codec.answer_tree(answer)))
    assert [stranger.check_node(one) for one in told["introductions"]] == ["ours.example"]
    assert told["more"]


# --- comparing sets ------------------------------------------------------------------------------

SETS = [
    Recipe("none", 0),
    Recipe("few", 40, only_client=200, only_server=200),
    Recipe("many", 1_500, base=1_767_225_600_000, only_client=20, only_server=20),
    Recipe("at once", 600, spread=2, only_client=300, same_bytes=1),
]


@BOTH
@pytest.mark.parametrize("recipe", SETS, ids=lambda recipe: recipe.seed)
def test_it_compares_its_set_with_ours_as_we_would(media_type, recipe):
    theirs, ours = recipe.sets()
    items, twin = SortedItems(ours), SortedItems(theirs)
    message: bytes | None = stranger_sets.first_message(theirs)
    assert message == negentropy.initiate(twin)
    have, need = [], []
    while message is not None:
        tree = {
            "type": "reconcile",
            **stranger.HEAD,
            "scope": stranger.key_text(POOL),
            "since": 0,
            "frame": stranger.b64url(message),
        }
        body = stranger.write(media_type, "request", tree)
        asked = codec.read(codec.decode(media_type, body, LIMITS), Reconcile)
        said = negentropy.respond(items, unb64url(asked.frame))
        answer = codec.answer_tree(ReconcileAnswer(since=0, frame=b64url(said)))
        told = stranger.read(media_type, codec.encode(media_type, answer))
        step = negentropy.continue_(twin, said)
        learned = stranger_sets.learn(theirs, stranger.unb64url(told["frame"]))
        assert learned == (list(step.have), list(step.need), step.message)
        have, need, message = have + learned[0], need + learned[1], learned[2]
    assert set(have) == {one for _, one in {*theirs} - {*ours}}
    assert set(need) == {one for _, one in {*ours} - {*theirs}}


DISJOINT = Recipe("disjoint", 900, base=1_767_225_600_000, only_client=500, only_server=500)


@pytest.mark.parametrize("frame", [0, 4_096, 5_000])
@pytest.mark.parametrize("recipe", [*SETS, DISJOINT], ids=lambda recipe: recipe.seed)
def test_it_keeps_to_a_frame_on_both_sides_as_we_would(recipe, frame):
    asking, answering = recipe.sets()
    asker, answerer = SortedItems(asking), SortedItems(answering)
    message: bytes | None = stranger_sets.first_message(asking)
    while message is not None:
        answer = stranger_sets.answer(answering, message, frame)
        assert answer == negentropy.respond(answerer, message, frame)
        step = negentropy.continue_(asker, answer, frame)
        learned = stranger_sets.learn(asking, answer, frame)
        assert learned == (list(step.have), list(step.need), step.message)
        message = step.message


def test_a_changed_field_is_noticed():
    headers, _, _ = signed_pull(codec.JSON)
    message = envelope.parse(headers | {"replicator-recipient": "other.example"}, LIMITS)
    with pytest.raises(Refusal, match="does not verify"):
        envelope.verify(message)
