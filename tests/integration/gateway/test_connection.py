"""Raw bytes on a socket: whatever a client does to HTTP, it costs little and ends soon."""

import socket
import time

import pytest

from tests.support.gateway import call, limits_with, make_node, running
from tests.support.waiting import eventually

SYNC = b"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture
def strict(tmp_path):
    """A gateway with little patience and few connections."""
    limits = limits_with(
        header_seconds=0.3,
        body_seconds=0.4,
        answer_seconds=1.0,
        connections_max=20,
        answers_in_flight_max=20,
        keep_alive_seconds=1,
    )
    with running(make_node(tmp_path, limits)) as it:
        yield it


def connect(it) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", it.sync_port))
    client.settimeout(10)
    return client


def everything(client: socket.socket) -> bytes:
    """Read until the other side closes."""
    data = b""
    while True:
        try:
            piece = client.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


def still_serves(it) -> None:
    assert call(it.sync_port, "GET", "/healthz").status == 200
    assert it.gateway._sync.in_flight == (0, 0)


@pytest.mark.parametrize("start", [b"", b"POST /v1/sy", SYNC, SYNC + b"x: " + b"y" * 100])
def test_a_header_that_is_never_complete_ends_the_connection(strict, start):
    with connect(strict) as client:
        client.sendall(start)
        began = time.monotonic()
        assert b"200" not in everything(client)
        assert time.monotonic() - began < 5
    still_serves(strict)


@pytest.mark.parametrize(
    "start",
    [b"GET /" + b"a" * 40_000, SYNC + b"x: " + b"y" * 40_000, SYNC + b"x: y\r\n" * 8_000],
)
def test_a_header_that_is_too_large_is_refused_while_it_comes(strict, start):
    with connect(strict) as client:
        client.sendall(start)
        assert everything(client).startswith(b"HTTP/1.1 431 ")
    still_serves(strict)


def test_a_complete_header_that_is_too_large_is_refused(strict):
    with connect(strict) as client:
        client.sendall(SYNC + b"x: " + b"y" * 20_000 + b"\r\ncontent-length: 0\r\n\r\n")
        answer = client.recv(65536)
        assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 431 "))
    still_serves(strict)


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET http://[bad/ HTTP/1.1\r\nhost: x\r\n\r\n",
        SYNC + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        SYNC + b"content-length: -1\r\n\r\n{}",
        SYNC + b"content-length: 99999999999999999999999\r\n\r\n{}",
        SYNC + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        SYNC + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        SYNC + b"transfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
        SYNC + b"x : y\r\ncontent-length: 0\r\n\r\n",
        SYNC + b" folded: y\r\ncontent-length: 0\r\n\r\n",
        SYNC + b"x: a\0b\r\ncontent-length: 0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/node HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_odd_requests_are_never_enqueued_and_harm_nobody(strict, request_):
    with connect(strict) as client:
        client.sendall(request_)
        answer = everything(client)
        assert not answer.startswith(b"HTTP/1.1 500")
    assert strict.node.doorbell.take() == []
    still_serves(strict)


def test_a_body_that_drips_after_its_answer_ends_the_connection(strict):
    with connect(strict) as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        assert b" 404 " in client.recv(65536)
        eventually(lambda: not _takes(client, b"x"), "it is closed", seconds=5)
    still_serves(strict)


def _takes(client: socket.socket, data: bytes) -> bool:
    try:
        client.sendall(data)
    except OSError:
        return False
    return True


def test_trailers_end_the_connection(strict):
    with connect(strict) as client:
        client.sendall(SYNC + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        client.sendall(b"x-trailer: y\r\n\r\n")
        assert b" 200 " not in everything(client)
    still_serves(strict)


def test_more_connections_than_allowed_are_turned_away(strict):
    with connect(strict) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in client.recv(65536)
        others = [connect(strict) for _ in range(25)]
        try:
            others[-1].sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert everything(others[-1]) == b""
        finally:
            for other in others:
                other.close()
    eventually(lambda: _serves(strict), "there is room again")


def _serves(it) -> bool:
    try:
        return call(it.sync_port, "GET", "/healthz").status == 200
    except OSError:
        return False


def test_an_idle_connection_is_closed_after_its_time(strict):
    with connect(strict) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in client.recv(65536)
        assert everything(client) == b""


def test_pipelined_requests_are_answered_in_order(strict):
    with connect(strict) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        client.sendall(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answers = everything(client)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]


def test_a_client_that_asks_to_continue_is_refused_before_it_sends_too_much(strict):
    with connect(strict) as client:
        client.sendall(SYNC + b"content-length: 9000000\r\nexpect: 100-continue\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
    still_serves(strict)


@pytest.mark.parametrize("method", [b"GET /healthz", b"POST /v1/sync"])
@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
def test_what_follows_a_request_for_an_upgrade_is_no_second_request(strict, method, upgrade):
    head = b"%b HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: %b\r\n"
    head += b"content-length: 35\r\n\r\n"
    with connect(strict) as client:
        client.sendall(head % (method, upgrade) + b"GET /v1/node HTTP/1.1\r\nhost: x\r\n\r\n")
        assert everything(client).count(b"HTTP/1.1 ") == 1
    still_serves(strict)
