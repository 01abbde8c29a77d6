"""One address takes its share of the gateway, and no more: whoever comes from another is served."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.gateway import call, limits_with, make_node, running
from tests.support.waiting import eventually

ATTACKER, MEMBER, PROXY = "127.0.0.2", "127.0.0.3", "127.0.0.1"
HEAD = b"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
CONNECTIONS, REQUESTS, BYTES = 120, 40, 4 * 1024 * 1024
SHARE = 4


@pytest.fixture
def narrow(tmp_path):
    """A gateway of which one address may have 30 connections, 10 requests and a mebibyte."""
    limits = limits_with(
        connections_max=CONNECTIONS,
        answers_in_flight_max=REQUESTS,
        in_flight_bytes_max=BYTES,
        peer_open_requests_max=REQUESTS,
        body_seconds=4.0,
    )
    with running(make_node(tmp_path, limits)) as it:
        yield it


def connect(it, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", it.sync_port), 10, source_address=(address, 0))


@contextmanager
def many(it, address: str, count: int, data: bytes) -> Iterator[list[socket.socket]]:
    """Hold so many connections of an address on which the same was sent."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(it, address)) for _ in range(count)]
        for client in clients:
            client.sendall(data)
        yield clients


def pull(it) -> bytes:
    """Return the bytes of a signed pull."""
    headers, body = it.signed()
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


def status(client: socket.socket) -> int:
    """Return the status of the next answer; 0 where the connection ended without one."""
    try:
        head = client.recv(65536)
    except ConnectionResetError:
        return 0
    return int(head.split(b" ")[1]) if head else 0


def is_served(it, address: str) -> bool:
    """Tell whether a member is answered at an address."""
    with it.worker(), connect(it, address) as client:
        try:
            client.sendall(pull(it))
        except ConnectionError:
            return False
        return status(client) == 200


def in_flight(it):
    return it.gateway._sync._in_flight


def test_silent_connections_of_one_address_leave_room_for_others(narrow):
    with many(narrow, ATTACKER, CONNECTIONS + 10, b"") as clients:
        assert is_served(narrow, MEMBER)
        assert not is_served(narrow, ATTACKER)
        assert [status(client) for client in clients[CONNECTIONS // SHARE :]] == [0] * 100
    eventually(lambda: is_served(narrow, ATTACKER), "its room is free again")
    eventually(lambda: len(narrow.gateway._sync_listener.config.connections) == 0, "none is known")


@pytest.mark.parametrize("address", [MEMBER, PROXY])
def test_half_bodies_of_one_address_leave_room_for_others(narrow, address):
    half = HEAD + b"content-length: 9\r\n\r\n1"
    with (
        many(narrow, ATTACKER, 25, half) as clients,
        many(narrow, "127.0.0.4", 25, half) as more,
        many(narrow, "127.0.0.5", 25, half),
        many(narrow, "127.0.0.6", 25, half),
        many(narrow, "127.0.0.7", 15, half),
    ):
        eventually(lambda: in_flight(narrow).arriving.total == 50, "they arrive")
        assert narrow.gateway._sync.in_flight[0] == 0
        assert is_served(narrow, address)
        heard = Counter(status(client) for client in clients + more)
        assert heard == {503: 30, 400: 20}, "no room for some, and the time of the others is over"
    eventually(lambda: in_flight(narrow).arriving.total == 0, "all is given back")
    assert len(in_flight(narrow).arriving) == len(in_flight(narrow).bytes) == 0


def test_half_bodies_behind_a_proxy_on_this_machine_take_no_place_of_complete_requests(narrow):
    with many(narrow, PROXY, REQUESTS + 20, HEAD + b"content-length: 9\r\n\r\n1"):
        eventually(lambda: in_flight(narrow).arriving.total == REQUESTS + 20, "they arrive")
        assert is_served(narrow, PROXY)


def test_bytes_of_one_address_leave_room_for_others(narrow):
    size = 1024 * 1024
    half = HEAD + b"content-length: %d\r\n\r\n" % size + b" " * (size - 1)
    with many(narrow, ATTACKER, SHARE, half):
        eventually(lambda: in_flight(narrow).bytes.total == size - 1, "one of them has room")
        assert is_served(narrow, MEMBER)
    eventually(lambda: in_flight(narrow).bytes.total == 0, "all is given back")


def test_open_requests_of_one_address_leave_room_for_others(narrow):
    share = REQUESTS // SHARE
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(narrow, ATTACKER)) for _ in range(share + 3)]
        for count, client in enumerate(clients):
            client.sendall(pull(narrow))
            if count < share:
                eventually(lambda held=count + 1: in_flight(narrow).open.total == held, "it is")
        assert [status(client) for client in clients[share:]] == [503] * 3
        with connect(narrow, MEMBER) as member:
            member.sendall(pull(narrow))
            eventually(lambda: in_flight(narrow).open.total == share + 1, "it is open")


def test_a_proxy_on_this_machine_may_have_everything(narrow):
    with many(narrow, PROXY, CONNECTIONS, HEALTH) as clients:
        assert [status(client) for client in clients] == [200] * CONNECTIONS


def test_another_proxy_may_have_everything_where_the_operator_says_so(tmp_path):
    limits = limits_with(connections_max=40, answers_in_flight_max=40, address_share=1.0)
    with (
        running(make_node(tmp_path, limits)) as it,
        many(it, ATTACKER, 40, HEALTH) as clients,
    ):
        assert [status(client) for client in clients] == [200] * 40


def test_the_board_application_has_no_share(tmp_path):
    """Its listener has one client, which may be on another machine."""
    limits = limits_with(connections_max=40, answers_in_flight_max=40)
    with running(make_node(tmp_path, limits)) as it, ExitStack() as stack:
        for _ in range(30):
            client = socket.create_connection(
                ("127.0.0.1", it.local_port), 10, source_address=(ATTACKER, 0)
            )
            stack.enter_context(client)
        client.sendall(b"GET /local/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert status(client) in {200, 401}
        assert call(it.local_port, "GET", "/local/v1/openapi.json").status in {200, 401}
