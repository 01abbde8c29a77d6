"""A TCP proxy that harms what goes through it: cut off, frozen, or by chance and seed.

It runs in a thread of its own. Faults by chance are drawn per connection from one seeded random
source, in the order in which connections come: dropped before a byte, delayed, truncated in the
middle of the answer, or one byte of either direction changed.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Self

Fault = Literal["none", "drop", "delay", "truncate answer", "corrupt request", "corrupt answer"]
FAULTS: tuple[Fault, ...] = (
    "drop",
    "delay",
    "truncate answer",
    "corrupt request",
    "corrupt answer",
)
CHUNK = 16 * 1024
DELAY_SECONDS = 1.0
IDLE_SECONDS = 0.1


@dataclass(frozen=True)
class Chance:
    """How often a connection is harmed, and the seed that says which and how."""

    share: float
    seed: int


class FaultyProxy:
    """Listens on a free loopback port in place of a server; as a context manager it ends itself.

    Args:
        port: of the server on loopback.
        chance: harm connections by chance; none of them then outlives an idle moment, so that
            clients which keep connections draw often enough.
    """

    def __init__(self, port: int, chance: Chance | None = None) -> None:
        self._target = port
        self._chance = chance
        self._random = random.Random(chance.seed if chance else 0)
        self._loop = asyncio.new_event_loop()
        self._made: list[asyncio.StreamWriter] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._targets: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._is_cut = False
        self.seen: Counter[Fault] = Counter()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Close all connections, and every new one at once, until `mend`."""
        self._call(self._cut())

    def mend(self) -> None:
        """Let new connections through again."""
        self._is_cut = False

    def deafen(self) -> None:
        """Let the server lose the connections there are, and clients not know it; new ones work."""
        self._call(self._deafen())

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._made:
            writer.transport.abort()
        # transports end in the next rounds of the loop
        for _ in range(3):
            await asyncio.sleep(0)

    async def _cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def _deafen(self) -> None:
        # whoever waits on the present event waits for ever; later connections get another
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()
        for target in self._targets:
            target.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # streams of Python 3.11 complain about a handler that was cancelled
        self._made.append(writer)
        with suppress(asyncio.CancelledError):
            await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._draw()
        self.seen[fault] += 1
        if self._is_cut or fault == "drop":
            writer.transport.abort()
            return
        if fault == "delay":
            await asyncio.sleep(DELAY_SECONDS)
        try:
            target = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._made.append(target[1])
        with _among(self._writers, writer), _among(self._targets, target[1]):
            exchange = _Exchange(self._flows, idle=IDLE_SECONDS if self._chance else None)
            damage = self._damage_of(fault)
            ways = [
                exchange.carry(reader, target[1], damage if fault == "corrupt request" else None),
                exchange.carry(target[0], writer, damage if "answer" in fault else None, back=True),
            ]
            pumps = [asyncio.ensure_future(way) for way in ways]
            # whichever end closes, the connection is over
            _, other = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await exchange.flows.wait()
            for pump in other:
                pump.cancel()
            if damage.cut:
                writer.transport.abort()

    def _draw(self) -> Fault:
        if self._chance is None or self._random.random() >= self._chance.share:
            return "none"
        return self._random.choice(FAULTS)

    def _damage_of(self, fault: Fault) -> "_Damage":
        return _Damage(self._random.randrange(1500), cut=fault == "truncate answer")


@contextmanager
def _among(open_ones: set[asyncio.StreamWriter], writer: asyncio.StreamWriter) -> Iterator[None]:
    open_ones.add(writer)
    try:
        yield
    finally:
        open_ones.discard(writer)
        writer.close()


class _Exchange:
    """The two ways of one connection."""

    def __init__(self, flows: asyncio.Event, idle: float | None) -> None:
        self.flows = flows
        self._idle = idle
        self._is_asked = True

    async def carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        damage: "_Damage | None",
        *,
        back: bool = False,
    ) -> None:
        """Carry bytes one way until an end closes, or answers have been given and all is quiet."""
        with suppress(OSError):
            while chunk := await self._read(reader, back=back):
                self._is_asked = not back
                await self.flows.wait()
                if damage is not None:
                    chunk = damage.done_to(chunk)  # the damaged one goes on
                    if not chunk:
                        return
                writer.write(chunk)
                await writer.drain()

    async def _read(self, reader: asyncio.StreamReader, *, back: bool) -> bytes:
        while True:
            try:
                return await asyncio.wait_for(reader.read(CHUNK), self._idle)
            except TimeoutError:
                if back and not self._is_asked:
                    return b""


class _Damage:
    """One changed byte at a place of the stream, or its end there."""

    def __init__(self, place: int, *, cut: bool) -> None:
        self._place = place
        self.cut = cut

    def done_to(self, chunk: bytes) -> bytes:
        """Return the chunk as it goes on; nothing: here the stream ends."""
        place, self._place = self._place, self._place - len(chunk)
        if not 0 <= place < len(chunk):
            return chunk if place >= 0 or not self.cut else b""
        if self.cut:
            return chunk[:place]
        return chunk[:place] + bytes([chunk[place] ^ 0x20]) + chunk[place + 1 :]
