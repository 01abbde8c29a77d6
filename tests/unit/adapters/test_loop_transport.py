"""`LoopTransport`: what crosses between two nodes of one process is what would cross a wire."""

import pytest

from replicator.adapters.memory.transport import LoopTransport
from replicator.errors import BadAnswer, PeerUnavailable
from replicator.node.conversation import SYNC_PATH, prepare
from replicator.node.ports import Transport
from replicator.protocol.messages import Pull
from tests.support.pool import pair, read

HERE = "http://alpha" + SYNC_PATH


def test_it_is_a_transport() -> None:
    transport: Transport = LoopTransport({})
    with pytest.raises(PeerUnavailable):
        transport.post(HERE, {}, b"", seconds=1, bytes_max=1)


def test_a_request_is_answered_by_the_node_at_its_address() -> None:
    pool, alpha, beta = pair()
    sent = prepare(beta.node, beta.peer(alpha), Pull())
    answer = pool.transport.post(sent.url, sent.headers, sent.body, seconds=1, bytes_max=1 << 20)
    assert answer.status == 200
    assert answer.headers["replicator-sender"] == "alpha"
    assert read(answer)["status"] == "success"


def test_nothing_of_an_answered_request_stays_behind() -> None:
    pool, alpha, beta = pair()
    sent = prepare(beta.node, beta.peer(alpha), Pull())
    pool.transport.post(sent.url, sent.headers, sent.body, seconds=1, bytes_max=1 << 20)
    assert alpha.work.take_replies("loop") == []


@pytest.mark.parametrize(
    "url", ["http://nobody" + SYNC_PATH, "http://alpha/v1/other", "http://alpha"]
)
def test_nobody_answers_elsewhere(url: str) -> None:
    pool, _, _ = pair()
    with pytest.raises(PeerUnavailable):
        pool.transport.post(url, {}, b"", seconds=1, bytes_max=1 << 20)


def test_an_address_is_cut_off_and_mended() -> None:
    pool, alpha, beta = pair()
    sent = prepare(beta.node, beta.peer(alpha), Pull())
    pool.transport.cut(alpha.address)
    with pytest.raises(PeerUnavailable):
        pool.transport.post(sent.url, sent.headers, sent.body, seconds=1, bytes_max=1 << 20)
    pool.transport.mend(alpha.address)
    assert pool.transport.post(sent.url, sent.headers, sent.body, seconds=1, bytes_max=1 << 20)


def test_an_answer_above_its_bound_is_a_bad_answer() -> None:
    pool, alpha, beta = pair()
    alpha.publish_many(20)
    sent = prepare(beta.node, beta.peer(alpha), Pull())
    with pytest.raises(BadAnswer):
        pool.transport.post(sent.url, sent.headers, sent.body, seconds=1, bytes_max=1_000)


@pytest.mark.parametrize(
    ("encoding", "status", "code"),
    [("gzip", 400, "malformed"), ("br", 415, "unsupported-media-type")],
)
def test_a_body_in_another_encoding_is_refused(encoding: str, status: int, code: str) -> None:
    pool, alpha, beta = pair()
    sent = prepare(beta.node, beta.peer(alpha), Pull())
    headers = {**sent.headers, "content-encoding": encoding}
    answer = pool.transport.post(sent.url, headers, sent.body, seconds=1, bytes_max=1 << 20)
    assert answer.status in (status, 401)
    assert read(answer)["code"] in (code, "bad-signature")
