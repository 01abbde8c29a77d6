"""The sync listener over real sockets: what is held, what is refused, and what it costs."""

import asyncio
import gzip
import json
import socket
import threading
from contextlib import ExitStack

import pytest

from replicator.node.identity import Identity
from replicator.node.ports import RefusalRecord
from replicator.protocol import codec, envelope, node_document
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from tests.support.gateway import (
    PULL,
    SENDER,
    call,
    limits_with,
    make_node,
    running,
)
from tests.support.waiting import eventually

TYPES = (codec.JSON, codec.XML)
_GENEROUS = limits_with(peer_burst_requests_max=1000, peer_open_requests_max=1000)


@pytest.fixture
def gateway(tmp_path):
    with running(make_node(tmp_path)) as it:
        yield it


@pytest.fixture
def generous(tmp_path):
    """A gateway that lets one sender ask as much as it likes."""
    with running(make_node(tmp_path, _GENEROUS)) as it:
        yield it


@pytest.fixture
def impatient(tmp_path):
    """A gateway that holds a request for a moment only."""
    with running(make_node(tmp_path, limits_with(answer_seconds=0.3, body_seconds=0.5))) as it:
        yield it


def in_flight(it) -> tuple[int, int]:
    return it.gateway._sync.in_flight


def answer_envelope(it, got):
    """Check that an answer is signed by the node, for the request last made."""
    message = envelope.parse(got.headers, it.node.limits)
    envelope.check_digest(message, got.body)
    envelope.verify(message)
    assert message.sender == it.node.identity.node_id
    assert message.in_reply_to == it.sent.base_digest
    return message


@pytest.mark.parametrize("media_type", TYPES)
def test_a_signed_request_is_answered_by_a_worker_in_its_own_type(gateway, media_type):
    with gateway.worker():
        got = gateway.post(*gateway.signed(media_type=media_type))
    assert got.status == 200
    assert got.headers["content-type"] == media_type
    assert got.tree["status"] == "success"
    answer_envelope(gateway, got)
    assert in_flight(gateway) == (0, 0)


def test_the_worker_hears_who_asks_and_how_much_but_no_body(gateway):
    with socket.create_connection(("127.0.0.1", gateway.sync_port)) as client:
        headers, body = gateway.signed()
        client.sendall(raw_request(headers, body))
        (ring,) = eventually(gateway.node.doorbell.take, "a ring")
        assert (ring.task, ring.peer) == ("answer", "sender.example")
        assert str(len(body)) in ring.note


@pytest.mark.parametrize("media_type", TYPES)
def test_without_a_worker_a_request_is_busy_at_its_deadline_and_the_answer_is_signed(
    impatient, media_type
):
    got = impatient.post(*impatient.signed(media_type=media_type))
    assert got.status == 503
    assert got.tree["code"] == "busy"
    assert got.headers["retry-after"] == "1"
    answer_envelope(impatient, got)
    assert in_flight(impatient) == (0, 0)


def test_without_a_broker_a_request_is_busy_at_once(gateway):
    gateway.node.doorbell.fail()
    got = gateway.post(*gateway.signed())
    assert (got.status, got.tree["code"]) == (503, "busy")
    assert got.is_signed


@pytest.mark.parametrize("media_type", TYPES)
def test_a_nonce_is_taken_once(gateway, media_type):
    request = gateway.signed(media_type=media_type)
    with gateway.worker():
        assert gateway.post(*request).status == 200
        got = gateway.post(*request)
    assert (got.status, got.tree["code"]) == (409, "replayed")
    assert got.is_signed


@pytest.mark.parametrize("media_type", TYPES)
def test_a_stale_request_hears_the_time_signed(gateway, media_type):
    got = gateway.post(*gateway.signed(media_type=media_type, created=1_000_000_000))
    assert (got.status, got.tree["code"]) == (401, "stale")
    assert int(got.tree["time"]) > 1_600_000_000_000
    answer_envelope(gateway, got)


@pytest.mark.parametrize("media_type", TYPES)
def test_an_unsigned_request_is_refused_in_its_own_type_unsigned(gateway, media_type):
    body = codec.encode(media_type, PULL)
    got = gateway.post({"content-type": media_type}, body)
    assert (got.status, got.tree["code"]) == (401, "bad-signature")
    assert got.headers["content-type"] == media_type
    assert not got.is_signed
    assert gateway.node.doorbell.take() == []


def test_a_body_that_was_changed_on_the_way_is_refused(gateway):
    headers, body = gateway.signed()
    got = gateway.post(headers, body.replace(b"pull", b"PULL"))
    assert (got.status, got.tree["code"]) == (401, "bad-signature")
    assert gateway.node.doorbell.take() == []


def test_a_stranger_is_refused_signed_and_leaves_no_record(gateway):
    stranger = Identity(NodeId("stranger.example"), (PrivateKey.generate(),))
    got = gateway.post(*gateway.signed(sender=stranger))
    assert (got.status, got.tree["code"]) == (403, "unknown-sender")
    assert got.is_signed
    # nor who calls itself as this node is called
    impostor = Identity(gateway.node.identity.node_id, (PrivateKey.generate(),))
    assert gateway.post(*gateway.signed(sender=impostor)).status == 403
    assert gateway.node.work.refusals(10) == []


def test_who_signs_in_a_peers_name_pushes_no_other_record_out(gateway):
    gateway.node.work.note_refusal(RefusalRecord(1, NodeId("other.example"), "forbidden", "found"))
    impostor = Identity(SENDER.node_id, (PrivateKey.generate(),))
    gateway.node.store.pin(SENDER.node_id, SENDER.public_node_keys, "pool", 1)
    for _ in range(20):
        got = gateway.post(*gateway.signed(sender=impostor))
        assert got.tree["code"] == "key-changed"
    codes = [record.code for record in gateway.node.work.refusals(100)]
    assert codes == ["key-changed"] * 3 + ["forbidden"]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json; charset=latin-1"])
def test_an_unknown_media_type_is_answered_in_json(gateway, kind):
    headers = {} if kind is None else {"content-type": kind}
    got = gateway.post(headers, b"{}")
    assert (got.status, got.tree["code"]) == (415, "unsupported-media-type")
    assert got.headers["content-type"] == codec.JSON


def test_another_content_encoding_is_refused(gateway):
    got = gateway.post({"content-type": codec.JSON, "content-encoding": "br"}, b"{}")
    assert (got.status, got.tree["code"]) == (415, "unsupported-media-type")


def test_a_compressed_request_reaches_the_worker_inflated(gateway):
    body = gzip.compress(json.dumps(PULL).encode())
    with gateway.worker():
        got = gateway.post(*gateway.signed(body, content_encoding="gzip"))
    assert (got.status, got.tree["status"]) == (200, "success")


def test_a_bomb_of_a_known_sender_is_too_large_and_signed(gateway):
    bomb = gzip.compress(b" " * 20_000_000)
    got = gateway.post(*gateway.signed(bomb, content_encoding="gzip"))
    assert (got.status, got.tree["code"]) == (413, "too-large")
    assert got.is_signed


def test_a_body_past_the_bound_is_too_large_and_the_connection_is_still_good(gateway):
    size = gateway.node.limits.message_bytes_max + 1
    connection = socket.create_connection(("127.0.0.1", gateway.sync_port))
    with connection:
        head = f"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: {codec.JSON}\r\n"
        connection.sendall(f"{head}content-length: {size}\r\n\r\n".encode() + b"x" * size)
        assert read_status(connection) == 413
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert read_status(connection) == 200


def test_a_chunked_body_past_the_bound_is_too_large(gateway):
    size = gateway.node.limits.message_bytes_max
    with socket.create_connection(("127.0.0.1", gateway.sync_port)) as client:
        head = f"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: {codec.JSON}\r\n"
        client.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for _ in range(3):
            client.sendall(f"{size // 2:x}\r\n".encode() + b"x" * (size // 2) + b"\r\n")
        assert read_status(client) == 413


def test_a_body_that_is_late_is_refused_and_its_room_freed(impatient):
    with socket.create_connection(("127.0.0.1", impatient.sync_port)) as client:
        head = f"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: {codec.JSON}\r\n"
        client.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
        eventually(lambda: in_flight(impatient) == (0, 1), "it arrives, and is not open yet")
        assert read_status(client) == 400
    assert in_flight(impatient) == (0, 0)


def test_a_client_that_leaves_frees_what_it_held(gateway):
    headers, body = gateway.signed()
    with socket.create_connection(("127.0.0.1", gateway.sync_port)) as client:
        client.sendall(raw_request(headers, body))
        eventually(lambda: in_flight(gateway) == (1, len(body)), "it is in flight")
        eventually(lambda: len(gateway.gateway._waiting) == 1, "it waits")
    eventually(lambda: in_flight(gateway) == (0, 0), "all is given back")
    assert len(gateway.gateway._waiting) == 0
    (ring,) = gateway.node.doorbell.take()
    assert gateway.node.work.take_request(ring.token) is None, "its body is not kept either"
    with gateway.worker():  # a late answer is nobody's, and the next request is served
        assert gateway.post(*gateway.signed()).status == 200


def test_more_requests_than_may_be_open_are_busy(tmp_path):
    limits = limits_with(answers_in_flight_max=1)
    with running(make_node(tmp_path, limits)) as it:
        with socket.create_connection(("127.0.0.1", it.sync_port)) as client:
            client.sendall(raw_request(*it.signed()))
            eventually(lambda: in_flight(it)[0] == 1, "it is open")
            got = it.post(*it.signed())
        assert (got.status, got.tree["code"]) == (503, "busy")
        assert not got.is_signed


def test_of_one_sender_few_requests_are_under_way_and_others_are_served(tmp_path):
    limits = limits_with(peer_open_requests_max=2)
    other = Identity(NodeId("other.example"), (PrivateKey.generate(),), SENDER.pool_keys)
    with running(make_node(tmp_path, limits)) as it, ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", it.sync_port)))
            client.sendall(raw_request(*it.signed()))
        eventually(lambda: len(it.gateway._waiting) == 2, "both wait")
        got = it.post(*it.signed())
        assert (got.status, got.tree["code"]) == (503, "busy")
        assert got.is_signed
        tokens = [ring.token for ring in it.node.doorbell.take()]
        assert len(tokens) == 2, "no worker heard of the third"
        with it.worker():
            assert it.post(*it.signed(sender=other)).status == 200


def test_compressed_bodies_take_the_room_of_what_they_inflate_to(tmp_path):
    limits = limits_with(in_flight_bytes_max=1024 * 1024, address_share=1.0)
    body = gzip.compress(json.dumps({**PULL, "x": "y" * 900_000}).encode())
    with running(make_node(tmp_path, limits)) as it:
        with socket.create_connection(("127.0.0.1", it.sync_port)) as client:
            client.sendall(raw_request(*it.signed(body, content_encoding="gzip")))
            eventually(lambda: in_flight(it)[1] > 900_000, "its room is taken")
            got = it.post(*it.signed(body, content_encoding="gzip"))
        assert (got.status, got.tree["code"]) == (503, "busy")


def test_an_address_that_asks_too_often_is_busy(tmp_path):
    limits = limits_with(address_requests_per_second=0.001, address_burst_requests_max=2)
    with running(make_node(tmp_path, limits)) as it:
        statuses = [it.post({"content-type": codec.XML}, b"").status for _ in range(3)]
        assert statuses[2] == 503
        assert 503 not in statuses[:2]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [(None, codec.JSON), ("application/xml", codec.XML), ("text/html, */*;q=0.1", codec.JSON)],
)
def test_the_node_document_is_signed_in_the_type_that_is_preferred(gateway, accept, media_type):
    headers = {} if accept is None else {"accept": accept}
    got = call(gateway.sync_port, "GET", "/v1/node", headers)
    assert (got.status, got.headers["content-type"]) == (200, media_type)
    document = node_document.read(media_type, got.body, gateway.node.limits)
    assert document.id == gateway.node.identity.node_id


def test_the_node_document_is_made_once_a_second_for_all_readers(gateway):
    first = call(gateway.sync_port, "GET", "/v1/node").body
    assert call(gateway.sync_port, "GET", "/v1/node").body == first
    eventually(lambda: call(gateway.sync_port, "GET", "/v1/node").body != first, "it is made again")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/sync", 405),
        ("PUT", "/v1/sync", 405),
        ("POST", "/v1/node", 405),
        ("GET", "/", 404),
        ("GET", "/v1/sync/", 404),
        ("POST", "/local/v1/posts", 404),
        ("GET", "/healthz?x=1", 200),
        ("HEAD", "/healthz", 200),
    ],
)
def test_other_methods_and_paths_are_told_so(gateway, method, path, status):
    got = call(gateway.sync_port, method, path)
    assert got.status == status
    if status == 405:
        assert got.headers["allow"]
    if status >= 400:
        assert set(json.loads(got.body)["error"]) == {"code", "message"}


def raw_request(headers: dict[str, str], body: bytes) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


def read_status(client: socket.socket) -> int:
    """Read one whole answer and return its status."""
    client.settimeout(20)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        assert piece, "closed without an answer"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += client.recv(65536)
    return int(head.split(b" ")[1])


def test_200_requests_held_without_a_worker_cost_few_threads_and_are_all_answered(generous):
    """The in-process form of the promise; 500 are asked of a process in `test_process`."""
    gateway = generous
    requests = [raw_request(*gateway.signed()) for _ in range(200)]
    before = threading.active_count()
    most = 0

    async def ask(request: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.sync_port)
        try:
            writer.write(request)
            return int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
        finally:
            writer.close()

    async def main() -> list[int]:
        nonlocal most
        tasks = [asyncio.create_task(ask(request)) for request in requests]
        while len(gateway.gateway._waiting) < 200:
            most = max(most, threading.active_count())
            await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)
        with gateway.worker():
            return await asyncio.gather(*tasks)

    statuses = asyncio.run(asyncio.wait_for(main(), 60))
    assert statuses == [200] * 200
    assert most - before <= 20
    assert in_flight(gateway) == (0, 0)
