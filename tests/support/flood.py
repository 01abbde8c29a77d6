"""A flood of prepared requests, and a server that does nothing: each a process of its own.

``python -m tests.support.flood send PORT FILE RATE CONNECTIONS`` sends the requests of a file, one
per line of hexadecimal, at a rate (0: each connection as fast as it is answered) and prints what
was answered. ``python -m tests.support.flood null`` prints its port and answers every request with
the same bytes, unread. Neither imports the project: they shall cost as little as they can.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

import uvloop

TICK_SECONDS = 0.02
DRAIN_SECONDS = 10.0
NULL_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"content-length: 2\r\n\r\n{}"
)
_START = b"HTTP/1.1 "
_LINE = len(_START) + 3
_REQUEST = b"POST /v1/sync "


class Sending(asyncio.Protocol):
    """One connection: what is sent on it, and the statuses that come back."""

    def __init__(self, statuses: Counter[str]) -> None:
        self._statuses = statuses
        self._tail = b""
        self.sent = self.answered = 0
        self.lost = False
        self.heard = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.heard.set()

    def send(self, requests: list[bytes]) -> None:
        """Send requests one behind the other."""
        assert self.transport is not None
        self.sent += len(requests)
        self.transport.write(b"".join(requests))

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        done = 0
        while (start := data.find(_START, done)) >= 0 and start + _LINE <= len(data):
            self._statuses[data[start + len(_START) : start + _LINE].decode()] += 1
            self.answered += 1
            done = start + _LINE
        # a start that is not complete yet is looked at with what follows
        self._tail = data[max(done, len(data) - _LINE + 1) :]
        self.heard.set()


async def _send(port: int, requests: list[bytes], rate: float, count: int) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    statuses: Counter[str] = Counter()
    connections = [
        (await loop.create_connection(lambda: Sending(statuses), "127.0.0.1", port))[1]
        for _ in range(count)
    ]
    start = time.perf_counter()
    if rate:
        await _steadily(connections, requests, rate, start)
    else:
        await asyncio.gather(
            *(_in_turn(one, requests[number::count]) for number, one in enumerate(connections))
        )
    seconds = time.perf_counter() - start
    end = time.perf_counter() + DRAIN_SECONDS
    while any(not one.lost and one.answered < one.sent for one in connections):
        if time.perf_counter() > end:
            break
        await asyncio.sleep(0.01)
    for one in connections:
        if one.transport is not None:
            one.transport.close()
    return {"sent": len(requests), "seconds": seconds, "statuses": statuses}


async def _steadily(
    connections: list[Sending], requests: list[bytes], rate: float, start: float
) -> None:
    done = tick = 0
    while done < len(requests):
        due = min(len(requests), int((time.perf_counter() - start) * rate) + 1)
        connections[tick % len(connections)].send(requests[done:due])
        done, tick = due, tick + 1
        await asyncio.sleep(TICK_SECONDS / len(connections))


async def _in_turn(connection: Sending, requests: list[bytes]) -> None:
    for request in requests:
        connection.send([request])
        while connection.answered < connection.sent and not connection.lost:
            connection.heard.clear()
            await asyncio.wait_for(connection.heard.wait(), 30)


class Null(asyncio.Protocol):
    """Answers each request with the same bytes."""

    def __init__(self) -> None:
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        whole = self._tail + data
        self._transport.write(NULL_ANSWER * whole.count(_REQUEST))
        self._tail = whole[max(whole.rfind(_REQUEST) + 1, len(whole) - len(_REQUEST) + 1) :]


async def _null() -> None:
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main(arguments: list[str]) -> None:
    """Run one of the two."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if arguments[0] == "null":
            runner.run(_null())
            return
        port, path, rate, count = arguments[1:]
        lines = Path(path).read_text("ascii").split()
        requests = [bytes.fromhex(line) for line in lines]
        report = runner.run(_send(int(port), requests, float(rate), int(count)))
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
