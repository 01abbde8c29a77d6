"""A crowd of peers in this process, each speaking the protocol over HTTP, some of them unwell.

Every peer is a node of twins behind a small threaded server of its own port; what it answers is
made by the real admission and answer use cases, over `LoopTransport`. It notes when posts arrive.
"""

import random
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

from replicator.adapters.clock import SystemClock
from replicator.adapters.memory.background import InlineBackground
from replicator.adapters.memory.doorbell import MemoryDoorbell
from replicator.adapters.memory.store import MemoryStore
from replicator.adapters.memory.transport import LoopTransport
from replicator.adapters.memory.work import MemoryWorkState
from replicator.cli.demo_node import Site
from replicator.errors import ReplicatorError
from replicator.limits import Limits
from replicator.node.context import Node
from replicator.node.identity import Identity
from replicator.node.ports import Added, Incoming, WireAnswer
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.signing import PrivateKey
from replicator.rules.policy import Policy

Condition = Literal["well", "slow", "refusing", "stalled"]
REQUEST_BYTES_MAX = 2 << 20


class _NotingStore(MemoryStore):
    """A store that remembers when each post came (monotonic seconds)."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.arrived: dict[Digest, float] = {}

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """As `MemoryStore.add`."""
        outcomes = super().add(items, now)
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome is Added.STORED:
                self.arrived[item.post.digest] = time.monotonic()
        return outcomes


class CrowdPeer:
    """One peer: a node of twins, its server, and how it is."""

    def __init__(self, name: str, pool_key: PrivateKey, slow_seconds: float) -> None:
        self.id = NodeId(name)
        self.condition: Condition = "well"
        self.store = _NotingStore(Limits())
        self.calls = 0
        self._slow_seconds = slow_seconds
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.node = self._make_node(pool_key)
        self._transport = LoopTransport({self.address: self.node})
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, headers: dict[str, str], body: bytes, path: str) -> WireAnswer | None:
        """Return the answer to one request, or None where there will be none."""
        self.calls += 1
        match self.condition:
            case "refusing":
                return None
            case "stalled":
                while self.condition == "stalled" and not self._ended.wait(0.1):
                    pass
                return None
            case "slow":
                self._ended.wait(self._slow_seconds)
        with self._lock:
            url = self.address + path
            if not body:
                return self._transport.get(url, seconds=1, bytes_max=REQUEST_BYTES_MAX)
            return self._transport.post(url, headers, body, seconds=1, bytes_max=REQUEST_BYTES_MAX)

    def _make_node(self, pool_key: PrivateKey) -> Node:
        limits = Limits()
        return Node(
            identity=Identity(self.id, (PrivateKey.generate(),), (pool_key,)),
            limits=limits,
            policy=Policy(),
            store=self.store,
            work=MemoryWorkState(limits),
            doorbell=MemoryDoorbell(),
            transport=LoopTransport({}),
            clock=SystemClock(),
            random=random.Random(7),
            background=InlineBackground(),
            address=self.address,
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        peer = self

        class Handler(_Handler):
            def reply(self, body: bytes) -> WireAnswer | None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                with suppress(ReplicatorError):
                    return peer.answer(headers, body, self.path)
                return None

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Say nothing of callers that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def reply(self, body: bytes) -> WireAnswer | None:
        raise NotImplementedError

    def do_GET(self) -> None:
        """Serve the node document."""
        self._serve(b"")

    def do_POST(self) -> None:
        """Serve one request."""
        self._serve(self.rfile.read(int(self.headers["content-length"])))

    def _serve(self, body: bytes) -> None:
        answer = self.reply(body)
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.wire_body)))
        self.end_headers()
        self.wfile.write(answer.wire_body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Crowd:
    """Peers that share a pool with one real node; as a context manager it ends them.

    Args:
        count: of peers.
        pool_key: of the pool.
        slow_seconds: that a slow one lets its callers wait.
    """

    def __init__(self, count: int, pool_key: PrivateKey, slow_seconds: float) -> None:
        self.peers = [
            CrowdPeer(f"peer{number}.crowd", pool_key, slow_seconds) for number in range(count)
        ]

    def __enter__(self) -> Self:
        for peer in self.peers:
            peer.start()
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as ends:
            for peer in self.peers:
                ends.callback(peer.close)

    def meet(self, site: Site, identity: Identity, store: Any) -> None:
        """Have the real node and the crowd know each other: addresses, pins and the pool.

        Args:
            site: of the real node.
            identity: its keys.
            store: its database.
        """
        now = time.time_ns() // 1_000_000
        for peer in self.peers:
            mine = sorted(peer.node.identity.public_node_keys)
            store.add_peer(peer.id, peer.address, now)
            store.pin(peer.id, mine, "operator", now)
            store.join_pools(peer.id, peer.node.identity.pools)
            peer.store.add_peer(site.node_id, site.address, now)
            peer.store.pin(site.node_id, sorted(identity.public_node_keys), "operator", now)
            peer.store.join_pools(site.node_id, peer.node.identity.pools)

    def ail(self, conditions: Sequence[Condition]) -> None:
        """Give the last peers these conditions; the others are well."""
        well = len(self.peers) - len(conditions)
        for peer, condition in zip(self.peers, ["well"] * well + list(conditions), strict=True):
            peer.condition = condition  # type: ignore[assignment]
