"""The gateway of one node in one event loop: two listeners and their helpers.

A stop is graceful: listeners close, long polls are answered with what there is, requests in hand
get a few seconds for their workers and are then answered ``busy``. A helper that fails ends the
gateway: it is a bug, and a supervisor starts the process again.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final, Protocol

import structlog
import uvicorn

from replicator.errors import PeerUnavailable
from replicator.gateway.bounds import InFlight, shared_room
from replicator.gateway.changes import EndWatch
from replicator.gateway.connection import Config
from replicator.gateway.local import LocalApp
from replicator.gateway.local_guard import Guard
from replicator.gateway.sync import SyncApp
from replicator.gateway.waiting import Waiting
from replicator.node.context import Node
from replicator.node.ports import Reply

log = structlog.get_logger(__name__)

_LOCAL_THREADS: Final = 4
"""The board application's: apart from the peers', so that neither waits for the other."""
_DRAIN_SECONDS: Final = 3.0
"""What workers get to answer requests in hand when the gateway stops."""


class Listener(uvicorn.Server):
    """Uvicorn's server without its signal handlers, sleeping until it is told to stop."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._stop = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`, which has two servers to stop."""
        yield

    async def main_loop(self) -> None:
        """Renew the date field once a second; wake for nothing else."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)

    def stop(self) -> None:
        """Stop accepting, and end when what is in hand has ended."""
        self.should_exit = True
        self._stop.set()


class Replies(Protocol):
    """Where workers' answers come from: `ReplyReader`, and a twin in tests."""

    async def run(self, on_reply: Callable[[Reply], None]) -> None:
        """Call ``on_reply`` for every reply, until cancelled."""


class Gateway:
    """The gateway of one node; made inside the event loop it runs in."""

    def __init__(self, node: Node, reader: Replies, guard: Guard, name: str) -> None:
        limits = node.limits
        self._reader = reader
        self._sync_threads = ThreadPoolExecutor(limits.gateway_threads, "gateway-sync")
        self._local_threads = ThreadPoolExecutor(_LOCAL_THREADS, "gateway-local")
        self._waiting = Waiting()
        self._watch = EndWatch(node.store, self._local_threads)
        in_flight = InFlight(
            limits.answers_in_flight_max, limits.in_flight_bytes_max, limits.address_share
        )
        self._sync = SyncApp(node, self._waiting, name, self._sync_threads, in_flight)
        self._local = LocalApp(node, guard, self._watch, self._local_threads)
        self._sync_listener = Listener(
            Config(
                self._sync,
                limits,
                body_bytes_max=limits.message_bytes_max,
                connections=shared_room(limits.connections_max, limits.address_share),
                kept_bytes=in_flight.bytes,
            )
        )
        self._local_listener = Listener(
            Config(
                self._local,
                limits,
                body_bytes_max=limits.local_body_bytes_max,
                # the board application is one address, and nobody else is there
                connections=shared_room(limits.connections_max, 1.0),
                kept_bytes=shared_room(limits.in_flight_bytes_max, 1.0),
            )
        )

    async def run(
        self, sync_socket: socket.socket, local_socket: socket.socket, stopping: asyncio.Event
    ) -> None:
        """Serve on two listening sockets until ``stopping`` is set.

        Raises:
            ExceptionGroup: a helper failed, which is a bug.
        """
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(self._reader.run(self._waiting.resolve)),
                    group.create_task(self._sync.run()),
                    group.create_task(self._watch.run()),
                ]
                servers = [
                    group.create_task(self._sync_listener.serve([sync_socket])),
                    group.create_task(self._local_listener.serve([local_socket])),
                ]
                await stopping.wait()
                await self._drain(servers)
                for helper in helpers:
                    helper.cancel()
        finally:
            self._sync_threads.shutdown(wait=False, cancel_futures=True)
            self._local_threads.shutdown(wait=False, cancel_futures=True)

    async def _drain(self, servers: list[asyncio.Task[None]]) -> None:
        log.info("gateway.stopping", waiting=len(self._waiting))
        self._watch.close()
        self._sync_listener.stop()
        self._local_listener.stop()
        await asyncio.wait(servers, timeout=_DRAIN_SECONDS)
        self._waiting.fail_all(PeerUnavailable("the gateway stops"))
        await asyncio.wait(servers)
