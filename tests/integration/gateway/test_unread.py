"""Clients that ask and do not listen: what is kept for them is bounded, and ends."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from replicator.gateway.asgi import send_bytes
from replicator.gateway.bounds import Room, shared_room
from replicator.gateway.connection import Config
from replicator.gateway.running import Listener
from tests.support.gateway import limits_with
from tests.support.waiting import eventually

ANSWER = b"a" * 1024 * 1024
ANSWERS = {"/large": ANSWER, "/medium": b"m" * 60_000}
REQUEST = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
MEDIUM = LAST.replace(b"large", b"medium")
"""Its answer is too short for the application to be told to pause."""
WAITS = b"GET /waits HTTP/1.1\r\nhost: x\r\n\r\n"
SMALL = b"GET /small HTTP/1.1\r\nhost: x\r\nx-padding: " + b"y" * 800 + b"\r\n\r\n"
KERNEL_BYTES = 8 * 1024
"""Of each socket's buffers: what is left waits in the gateway's process."""


@dataclass
class App:
    """Answers a mebibyte, a little, or nothing until it is told to or its client is gone."""

    free: asyncio.Event = field(default_factory=asyncio.Event)
    began: int = 0
    gone: int = 0

    async def __call__(self, scope, receive, send) -> None:
        self.began += 1
        if scope["path"] == "/waits":
            left = asyncio.ensure_future(self._left(receive))
            free = asyncio.ensure_future(self.free.wait())
            await asyncio.wait({left, free}, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                self.gone += 1
                return
            left.cancel()
        await send_bytes(send, 200, (), ANSWERS.get(scope["path"], b"s"))

    async def _left(self, receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@dataclass
class Served:
    """A listener of ours with an application of the test behind it."""

    app: App
    port: int
    kept: Room
    listener: Listener
    loop: asyncio.AbstractEventLoop

    @property
    def connections(self) -> set:
        """Its open connections."""
        return self.listener.server_state.connections

    def connect(self) -> socket.socket:
        """Return a client that takes little at a time."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        client.connect(("127.0.0.1", self.port))
        client.settimeout(10)
        return client

    def is_empty(self) -> bool:
        """Tell whether no connection is open and nothing is kept."""
        return not self.connections and self.kept.total == 0


@contextmanager
def serving(*, kept_bytes: int = 64 * 1024 * 1024, **changes) -> Iterator[Served]:
    limits = limits_with(**{"unread_seconds": 0.6, **changes})
    kept = shared_room(kept_bytes, 1.0)
    loop = uvloop.new_event_loop()
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
    app = App()
    listener = Listener(
        Config(
            app,
            limits,
            body_bytes_max=1024 * 1024,
            connections=shared_room(100, 1.0),
            kept_bytes=kept,
        )
    )
    thread = threading.Thread(target=loop.run_until_complete, args=(listener.serve([server]),))
    thread.start()
    try:
        eventually(lambda: listener.started, "it listens")
        yield Served(app, server.getsockname()[1], kept, listener, loop)
    finally:
        loop.call_soon_threadsafe(listener.stop)
        thread.join(15)
        loop.close()


def read_all(client: socket.socket, piece: int = 65536, pause: float = 0.0) -> bytes:
    """Read until the other side closes."""
    data = b""
    try:
        while more := client.recv(piece):
            data += more
            time.sleep(pause)
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("request_", [REQUEST, LAST, MEDIUM, REQUEST * 50])
def test_a_client_that_takes_no_answer_is_ended(request_):
    with serving() as it, it.connect() as client:
        client.sendall(request_)
        eventually(lambda: it.app.began, "it is asked")
        eventually(it.is_empty, "it is ended", seconds=8)


@pytest.mark.parametrize("request_", [REQUEST, LAST])
def test_a_client_that_takes_next_to_nothing_is_ended(request_):
    with serving(unread_bytes_per_second=50_000) as it, it.connect() as client:
        client.sendall(request_)
        assert len(read_all(client, 500, 0.05)) < len(ANSWER)
        eventually(it.is_empty, "it is ended")


def test_a_client_that_reads_slowly_but_steadily_has_its_whole_answer():
    with serving() as it, it.connect() as client:
        began = time.monotonic()
        client.sendall(LAST)
        data = read_all(client, 8192, 0.02)
        assert data.endswith(ANSWER)
        assert time.monotonic() - began > 2  # more than three times what nothing may take


def test_what_nobody_reads_is_counted_and_no_more_is_kept_than_there_is_room_for():
    with serving(unread_seconds=60.0, kept_bytes=1_500_000) as it:
        with it.connect() as first:
            first.sendall(REQUEST)
            eventually(lambda: it.kept.total > len(ANSWER) // 2, "it is counted")
            with it.connect() as second:
                second.sendall(REQUEST)
                eventually(lambda: it.app.began == 2, "it is asked")
                eventually(lambda: len(it.connections) == 1, "the second is ended", seconds=8)
            assert read_all_of_one(first).endswith(b"a")
        eventually(it.is_empty, "all is given back")


def read_all_of_one(client: socket.socket) -> bytes:
    data = b""
    while len(data) < len(ANSWER):
        data += client.recv(65536)
    return data


def test_requests_that_wait_for_an_answer_are_counted_and_given_back():
    with serving() as it:
        with it.connect() as client:
            client.sendall(WAITS + SMALL * 20)
            eventually(lambda: it.kept.total >= 20 * 4096 + 20 * len(SMALL), "they are counted")
            it.loop.call_soon_threadsafe(it.app.free.set)
            eventually(lambda: it.kept.total == 0, "they are answered")
            assert len(it.connections) == 1
        eventually(it.is_empty, "it is gone")


def test_requests_that_have_no_room_to_wait_end_the_connection():
    with serving(kept_bytes=50_000) as it, it.connect() as client:
        client.sendall(WAITS + SMALL * 20)
        assert read_all(client) == b""
        eventually(it.is_empty, "nothing is kept")
        eventually(lambda: it.app.gone == 1, "the one in hand is told")


def test_more_pipelined_requests_than_allowed_end_the_connection():
    with serving(pipelined_requests_max=20) as it, it.connect() as client:
        client.sendall(WAITS + SMALL * 10 + SMALL * 11)
        assert read_all(client) == b""
        eventually(it.is_empty, "nothing is kept")
        eventually(lambda: it.app.gone == 1, "the one in hand is told")


def test_a_pipeline_of_any_length_is_served_to_a_client_that_reads():
    """What comes while others wait is not read, so that few wait at any time."""
    count, most = 3_000, 0
    with serving() as it, it.connect() as client:
        sender = threading.Thread(target=client.sendall, args=(SMALL * count + LAST,))
        sender.start()
        data = b""
        while piece := client.recv(65536):
            data += piece
            most = max([most, *(len(one.pipeline) for one in it.connections)])
        sender.join(10)
    assert data.count(b"HTTP/1.1 200") == count + 1
    assert data.endswith(ANSWER)
    assert most <= 320


def test_nothing_more_is_read_while_requests_wait():
    with serving(pipelined_requests_max=50) as it, it.connect() as client:
        client.sendall(REQUEST + SMALL * 40)
        eventually(lambda: it.app.began, "it is asked")
        for _ in range(20):
            client.sendall(SMALL * 5)
        seen = [len(one.pipeline) for one in it.connections]
        assert seen
        assert max(seen) <= 40
        eventually(it.is_empty, "it is ended", seconds=8)


@pytest.mark.parametrize("more", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"y" * 40_000])
def test_what_is_no_request_is_not_answered_before_an_earlier_one(more):
    with serving() as it, it.connect() as client:
        client.sendall(WAITS)
        eventually(lambda: it.app.began == 1, "it is in hand")
        client.sendall(more)
        assert read_all(client) == b""
        eventually(lambda: it.app.gone == 1, "the one in hand is told")


def test_a_request_that_becomes_none_in_its_body_hears_so():
    with serving() as it, it.connect() as client:
        head = b"POST /waits HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        client.sendall(head)
        eventually(lambda: it.app.began == 1, "it is in hand")
        client.sendall(b"no size\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 400 ")
        eventually(lambda: it.app.gone == 1, "the one in hand is told")


def test_the_body_of_a_request_that_waited_has_its_whole_time():
    with serving(body_seconds=0.4, header_seconds=0.4) as it, it.connect() as client:
        head = b"POST /small HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\n"
        client.sendall(WAITS + SMALL + head + b"ab")
        eventually(lambda: it.app.began == 1, "it is in hand")
        time.sleep(1.0)  # longer than a body's time: nothing is read, so nobody is late
        assert len(it.connections) == 1
        it.loop.call_soon_threadsafe(it.app.free.set)
        client.sendall(b"cd")
        assert read_all(client).count(b"HTTP/1.1 200") == 3
