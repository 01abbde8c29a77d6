"""A gateway on free loopback ports in a thread of the test, with in-memory work and doorbells.

The worker is part of the harness, so that a test says when it runs.
"""

import asyncio
import http.client
import json
import random
import secrets
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import uvloop

from replicator.adapters.clock import SystemClock
from replicator.adapters.memory.background import InlineBackground
from replicator.adapters.memory.doorbell import MemoryDoorbell
from replicator.adapters.memory.transport import LoopTransport
from replicator.adapters.memory.work import MemoryWorkState
from replicator.adapters.sql.migrate import migrate
from replicator.adapters.sql.store import SqlStore
from replicator.gateway.local_guard import Guard
from replicator.gateway.running import Gateway
from replicator.limits import Limits
from replicator.node.answer import answer
from replicator.node.context import Node
from replicator.node.identity import Identity
from replicator.node.ports import Reply
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from replicator.rules.policy import Policy
from tests.support.waiting import eventually

TOKEN = "the-token-of-this-test"
NAME = "gateway-of-this-test"
POOL_KEY = PrivateKey.from_seed(b"the pool of the gateway's tests.")
SENDER = Identity(NodeId("sender.example"), (PrivateKey.generate(),), (POOL_KEY,))
PULL = {"type": "pull", "protocol": "1.0", "model": {"name": "post", "version": "1.0"}}


@cache
def _empty_database() -> bytes:
    """Return a migrated SQLite file: migrating is most of what a short test would cost."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "empty.db"
        migrate(f"sqlite:///{database}")
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return database.read_bytes()


def make_node(folder: Path, limits: Limits | None = None) -> Node:
    """Return a node of SQLite and in-memory parts."""
    limits = limits or Limits()
    database = folder / "gateway.db"
    if not database.exists():
        database.write_bytes(_empty_database())
    url = f"sqlite:///{database}"
    return Node(
        identity=Identity(NodeId("here.example"), (PrivateKey.generate(),), (POOL_KEY,)),
        limits=limits,
        policy=Policy("pool", "pool", "pool"),
        store=SqlStore(url, limits),
        work=MemoryWorkState(limits),
        doorbell=MemoryDoorbell(),
        transport=LoopTransport({}),
        clock=SystemClock(),
        random=random.Random(1),
        background=InlineBackground(),
        address=None,
    )


class PolledReplies:
    """The twin of `ReplyReader` over in-memory work."""

    def __init__(self, work: MemoryWorkState) -> None:
        self._work = work

    async def run(self, on_reply: Callable[[Reply], None]) -> None:
        """Call ``on_reply`` for every reply, until cancelled."""
        while True:
            for reply in self._work.take_replies(NAME):
                on_reply(reply)
            await asyncio.sleep(0.001)


@dataclass
class Running:
    """A running gateway and the ways to speak with it."""

    node: Node
    sync_port: int
    local_port: int
    gateway: Gateway | None = None
    loop: asyncio.AbstractEventLoop | None = None
    stopping: asyncio.Event | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    failure: list[BaseException] = field(default_factory=list)
    sent: Any = None

    def stop(self) -> None:
        """Tell it to stop, as SIGTERM does."""
        assert self.loop is not None
        assert self.stopping is not None
        self.loop.call_soon_threadsafe(self.stopping.set)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Answer what is rung for as long as the context lasts."""
        halt = threading.Event()

        def work() -> None:
            while not halt.is_set():
                for ring in self.node.doorbell.take():  # type: ignore[attr-defined]
                    answer(self.node, ring.token)
                halt.wait(0.001)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            halt.set()
            thread.join()

    def signed(
        self,
        tree: dict[str, Any] | bytes = b"",
        media_type: str = codec.JSON,
        *,
        sender: Identity = SENDER,
        created: int | None = None,
        content_encoding: str | None = None,
        nonce: bytes | None = None,
    ) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a signed request to this node; the default is a pull."""
        body = tree if isinstance(tree, bytes) and tree else codec.encode(media_type, tree or PULL)
        signed = envelope.sign_request(
            sender.credentials(0),
            self.node.identity.node_id,
            body,
            media_type,
            created=created if created is not None else int(time.time()),
            nonce=nonce or secrets.token_bytes(16),
            content_encoding=content_encoding,
        )
        headers = {"content-type": media_type, **signed.headers}
        if content_encoding is not None:
            headers["content-encoding"] = content_encoding
        self.sent = signed
        return headers, body

    def post(self, headers: dict[str, str], body: bytes) -> "Got":
        """POST to /v1/sync."""
        return call(self.sync_port, "POST", "/v1/sync", headers, body)

    def local(
        self, method: str, path: str, tree: Any = None, headers: dict[str, str] | None = None
    ) -> "Got":
        """Call the local API with its token."""
        sent = {"authorization": f"Bearer {TOKEN}", **(headers or {})}
        body = None
        if tree is not None:
            sent.setdefault("content-type", codec.JSON)
            body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
        return call(self.local_port, method, path, sent, body)


@dataclass
class Got:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def tree(self) -> Any:
        """The body as JSON or XML tells."""
        kind = self.headers["content-type"]
        if kind == codec.XML:
            return codec.decode(codec.XML, self.body, Limits())
        return json.loads(self.body)

    @property
    def is_signed(self) -> bool:
        """Whether it carries a signature."""
        return "signature" in self.headers


def call(
    port: int,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Got:
    """Make one HTTP call to loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        got = connection.getresponse()
        fields = {name.lower(): value for name, value in got.getheaders()}
        return Got(got.status, fields, got.read())
    finally:
        connection.close()


@contextmanager
def running(node: Node) -> Iterator[Running]:
    """Run a gateway for ``node`` in a thread until the context ends."""
    with _listening() as sync_socket, _listening() as local_socket:
        it = Running(node, sync_socket.getsockname()[1], local_socket.getsockname()[1])
        thread = threading.Thread(target=_run, args=(it, sync_socket, local_socket))
        thread.start()
        eventually(lambda: it.gateway is not None or it.failure, "the gateway is made")
        try:
            yield it
        finally:
            if not it.ended.is_set():
                it.stop()
            thread.join(20)
            node.store.close()  # type: ignore[attr-defined]
        assert not thread.is_alive()
        assert it.failure == []


def _listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


def _run(it: Running, sync_socket: socket.socket, local_socket: socket.socket) -> None:
    async def main() -> None:
        it.loop = asyncio.get_running_loop()
        it.stopping = asyncio.Event()
        work = it.node.work
        assert isinstance(work, MemoryWorkState)
        guard = Guard(TOKEN, "127.0.0.1")
        it.gateway = Gateway(it.node, PolledReplies(work), guard, NAME)
        await it.gateway.run(sync_socket, local_socket, it.stopping)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except BaseException as error:
        it.failure.append(error)
    finally:
        it.ended.set()


def limits_with(**changes: Any) -> Limits:
    """Return the default limits with some changed."""
    return replace(Limits(), **changes)
