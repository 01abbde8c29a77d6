"""What is refused gets its own answer, in both encodings, and changes nothing that lasts."""

from collections.abc import Callable
from typing import Any

import pytest

from replicator.node.context import Node
from replicator.node.ports import WireAnswer
from replicator.protocol import codec
from replicator.protocol.ids import Digest, GlobalId
from replicator.protocol.messages import Get, Model, Pull, Put
from replicator.protocol.signing import PrivateKey
from replicator.rules.policy import Policy
from tests.support.pool import Member, Pool, pair, read, send

ENCODINGS = pytest.mark.parametrize("media_type", [codec.JSON, codec.XML], ids=["json", "xml"])


@pytest.fixture
def nodes() -> tuple[Pool, Member, Member]:
    """Two acquainted nodes that hold a post; doorbells are answered."""
    pool, alpha, beta = pair()
    alpha.publish("held by both")
    pool.settle()
    return pool, alpha, beta


def refused(beta: Member, answering: Callable[[], WireAnswer]) -> tuple[int, codec.Tree]:
    """Return status and document of an answer; check that nothing that lasts has changed."""
    before = beta.state()
    answer = answering()
    assert beta.state() == before
    assert beta.doorbell.take() == []
    return answer.status, read(answer)


def request(request: Any = None, **members: Any) -> codec.Tree:
    return {**codec.request_tree(request or Pull()), **members}


def put_of(alpha: Member) -> codec.Tree:
    """Return a put that would be stored, were it not refused."""
    alpha.publish("must not arrive")
    new = [post for post in alpha.posts() if post.content.text == "must not arrive"]
    return codec.request_tree(Put(models=tuple(codec.model_tree(post) for post in new)))


@ENCODINGS
def test_another_protocol_version(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    _, alpha, beta = nodes
    document = {**put_of(alpha), "protocol": "1.1"}
    status, tree = refused(beta, lambda: send(alpha, beta, document, media_type=media_type))
    assert (status, tree["status"], tree["code"]) == (409, "error", "version-mismatch")
    assert (tree["versions"], tree["model_versions"]) == (["1.0"], ["1.0"])


@ENCODINGS
@pytest.mark.parametrize("model", [Model(version="2.0"), Model(name="picture")])
def test_another_model_version(
    nodes: tuple[Pool, Member, Member], media_type: str, model: Model
) -> None:
    _, alpha, beta = nodes
    document = {**put_of(alpha), "model": model}
    status, tree = refused(beta, lambda: send(alpha, beta, document, media_type=media_type))
    assert (status, tree["code"]) == (409, "version-mismatch")


@ENCODINGS
@pytest.mark.parametrize("model", [{}, {"name": "post"}, {"version": "1.0"}])
def test_no_model_goes_without_saying(
    nodes: tuple[Pool, Member, Member], media_type: str, model: dict[str, str]
) -> None:
    _, alpha, beta = nodes
    document = {**put_of(alpha), "model": model}
    status, tree = refused(beta, lambda: send(alpha, beta, document, media_type=media_type))
    assert (status, tree["code"]) == (400, "malformed")


@ENCODINGS
def test_versions_are_looked_at_before_the_type(
    nodes: tuple[Pool, Member, Member], media_type: str
) -> None:
    _, alpha, beta = nodes
    document = request(type="burn", protocol="9.9")
    status, tree = refused(beta, lambda: send(alpha, beta, document, media_type=media_type))
    assert (status, tree["code"]) == (409, "version-mismatch")


@ENCODINGS
def test_an_unknown_type(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    _, alpha, beta = nodes
    document = request(type="burn")
    status, tree = refused(beta, lambda: send(alpha, beta, document, media_type=media_type))
    assert (status, tree["status"]) == (501, "not supported")
    assert tree["types"] == ["pull", "get", "put", "reconcile", "roster"]


@ENCODINGS
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"<request>",
        b"[]",
        b"null",
        b'{"type":"pull","type":"pull"}',
        b"<answer></answer>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><request/>',
        b"\xff\xfe",
    ],
)
def test_a_malformed_document(
    nodes: tuple[Pool, Member, Member], media_type: str, body: bytes
) -> None:
    _, alpha, beta = nodes
    status, tree = refused(beta, lambda: send(alpha, beta, body, media_type=media_type))
    assert (status, tree["code"]) == (400, "malformed")


@ENCODINGS
def test_arguments_that_contradict_each_other(
    nodes: tuple[Pool, Member, Member], media_type: str
) -> None:
    _, alpha, beta = nodes
    both = request(filter={"nodes": ["alpha"], "except_nodes": ["beta"]})
    status, tree = refused(beta, lambda: send(alpha, beta, both, media_type=media_type))
    assert (status, tree["code"]) == (400, "malformed")
    neither = request(type="put")
    status, tree = refused(beta, lambda: send(alpha, beta, neither, media_type=media_type))
    assert (status, tree["code"]) == (400, "malformed")


@ENCODINGS
def test_a_changed_key_of_a_pool_mate(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    pool, alpha, beta = nodes
    impostor = Pool()
    impostor.key = pool.key
    signer = impostor.add("alpha").node
    document = put_of(alpha)
    status, tree = refused(
        beta, lambda: send(alpha, beta, document, media_type=media_type, signer=signer)
    )
    assert (status, tree["code"]) == (403, "key-changed")


@ENCODINGS
def test_an_unknown_sender(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    pool, alpha, beta = nodes
    stranger = pool.add("stranger", pools=[PrivateKey.generate()])
    document = put_of(alpha)
    status, tree = refused(beta, lambda: send(stranger, beta, document, media_type=media_type))
    assert (status, tree["code"]) == (403, "unknown-sender")


@ENCODINGS
def test_a_stranger_where_reading_is_open_reads_and_leaves_no_trace(media_type: str) -> None:
    pool = Pool()
    beta = pool.add("beta", policy=Policy(pull="open", get="open"))
    stranger = pool.add("stranger", pools=[])
    beta.publish("for everybody")
    beta.doorbell.take()
    status, tree = refused(
        beta, lambda: send(stranger, beta, codec.request_tree(Pull()), media_type=media_type)
    )
    assert (status, len(tree["refs"])) == (200, 1)
    stranger.publish("spam")
    models = tuple(codec.model_tree(post) for post in stranger.posts())
    document = codec.request_tree(Put(models=models))
    status, tree = refused(beta, lambda: send(stranger, beta, document, media_type=media_type))
    assert (status, tree["code"]) == (403, "forbidden")


@ENCODINGS
def test_a_body_that_was_not_signed(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    _, alpha, beta = nodes
    signed_for = codec.encode(media_type, request())
    other = read(send(alpha, beta, signed_for, media_type=media_type))
    assert other["status"] == "success"
    wrong = {"content-digest": "sha-256=:" + "A" * 43 + "=:"}
    status, tree = refused(
        beta, lambda: send(alpha, beta, put_of(alpha), media_type=media_type, headers=wrong)
    )
    assert (status, tree["code"]) == (401, "bad-signature")


@ENCODINGS
@pytest.mark.parametrize(
    "headers",
    [
        {"signature": "sig1=:" + "A" * 86 + "==:"},
        {"signature": ""},
        {"replicator-sender": "beta"},
        {"replicator-sender": "gamma"},
        {"replicator-keys": ""},
        {"signature-input": "sig1=()"},
    ],
)
def test_an_envelope_that_was_changed(
    nodes: tuple[Pool, Member, Member], media_type: str, headers: dict[str, str]
) -> None:
    _, alpha, beta = nodes
    document = put_of(alpha)
    status, tree = refused(
        beta, lambda: send(alpha, beta, document, media_type=media_type, headers=headers)
    )
    assert (status, tree["code"]) == (401, "bad-signature")


@ENCODINGS
def test_a_request_for_another_node(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    pool, alpha, beta = nodes
    gamma = pool.add("gamma")

    def misdirected() -> WireAnswer:
        pool.nodes["http://detour"] = beta.node
        detour = Member(
            beta.node, beta.store, beta.work, beta.doorbell, beta.clock, "http://detour"
        )
        document = put_of(alpha)
        headers = {"replicator-recipient": gamma.id}
        return send(alpha, detour, document, media_type=media_type, headers=headers)

    status, tree = refused(beta, misdirected)
    assert (status, tree["code"]) == (403, "forbidden")


@ENCODINGS
@pytest.mark.parametrize("seconds", [-61, 61])
def test_a_clock_outside_the_window(
    nodes: tuple[Pool, Member, Member], media_type: str, seconds: int
) -> None:
    _, alpha, beta = nodes
    created = alpha.clock.now() // 1000 + seconds
    document = put_of(alpha)
    status, tree = refused(
        beta, lambda: send(alpha, beta, document, media_type=media_type, created=created)
    )
    assert (status, tree["code"], tree["time"]) == (401, "stale", beta.clock.now())


@ENCODINGS
def test_a_nonce_that_was_used(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    _, alpha, beta = nodes
    nonce = b"n" * 16
    send(alpha, beta, request(), media_type=media_type, nonce=nonce)
    document = put_of(alpha)
    status, tree = refused(
        beta, lambda: send(alpha, beta, document, media_type=media_type, nonce=nonce)
    )
    assert (status, tree["code"]) == (409, "replayed")


@ENCODINGS
def test_an_unknown_post_is_missing(nodes: tuple[Pool, Member, Member], media_type: str) -> None:
    _, alpha, beta = nodes
    asked = Get(ids=(GlobalId("alpha/nothing"),), digests=(Digest("0" * 64),))
    document = codec.request_tree(asked)
    status, tree = refused(beta, lambda: send(alpha, beta, document, media_type=media_type))
    assert (status, tree["status"]) == (200, "success")
    assert tree.get("models", []) == []
    assert {entry.get("id") or entry["digest"] for entry in tree["missing"]} == {
        "alpha/nothing",
        "0" * 64,
    }


@ENCODINGS
def test_a_node_does_not_talk_to_its_own_id(media_type: str) -> None:
    pool = Pool()
    alpha = pool.add("alpha")
    status, tree = refused(alpha, lambda: send(alpha, alpha, request(), media_type=media_type))
    assert (status, tree["code"]) == (403, "forbidden")


@ENCODINGS
def test_a_scope_that_did_not_sign_is_forbidden(
    nodes: tuple[Pool, Member, Member], media_type: str
) -> None:
    _, alpha, beta = nodes
    document = codec.request_tree(Pull(scope=PrivateKey.generate().public))
    status, tree = refused(beta, lambda: send(alpha, beta, document, media_type=media_type))
    assert (status, tree["code"]) == (403, "forbidden")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=latin-1", ""])
def test_another_media_type(nodes: tuple[Pool, Member, Member], content_type: str) -> None:
    _, alpha, beta = nodes
    document = put_of(alpha)
    status, tree = refused(
        beta, lambda: send(alpha, beta, document, headers={"content-type": content_type})
    )
    assert (status, tree["code"]) == (415, "unsupported-media-type")


def test_refusals_of_verified_senders_are_kept_for_the_operator(
    nodes: tuple[Pool, Member, Member],
) -> None:
    _, alpha, beta = nodes
    send(alpha, beta, request(protocol="1.1"))
    (record,) = beta.work.refusals(10)
    assert (record.sender, record.code) == ("alpha", "version-mismatch")


def test_a_node_of_a_pool_that_is_not_ours_proves_nothing() -> None:
    pool = Pool()
    beta = pool.add("beta")
    elsewhere: Node = pool.add("stranger", pools=[PrivateKey.generate()]).node
    stranger = pool.members[-1]
    answer = send(stranger, beta, codec.request_tree(Pull()), signer=elsewhere)
    assert (answer.status, read(answer)["code"]) == (403, "unknown-sender")
    assert beta.store.peers() == []
