"""Requests that wait for their worker: futures by token, and the one publisher of doorbells.

Everything here lives in one event loop. A request costs a future and a dictionary entry while it
waits, never a thread. A token that nobody waits for any more (deadline, client gone) is forgotten;
its late reply is dropped.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from replicator.errors import BrokerUnavailable, ErrorCode, Refusal
from replicator.gateway.bounds import RETRY_SECONDS
from replicator.node.ports import Doorbell, Reply, Ring

RINGS_MAX: Final = 100
"""Doorbells sent in one go: the broker's round trip is shared, the last still waits little."""

Answer = asyncio.Future[Reply]


class Waiting:
    """The futures of requests in hand, by token."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    @contextmanager
    def expect(self, token: str) -> Iterator[Answer]:
        """Wait for a reply to ``token`` for as long as the context lasts."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self._answers[token] = answer
        try:
            yield answer
        finally:
            del self._answers[token]
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # looked at, so that an answer nobody reads is not reported

    def resolve(self, reply: Reply) -> None:
        """Hand a reply to its request; does nothing where nobody waits (also on a second one)."""
        answer = self._answers.get(reply.token)
        if answer is not None and not answer.done():
            answer.set_result(reply)

    def fail_all(self, error: Exception) -> None:
        """End all waiting with ``error`` (the gateway stops)."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)


class Turns:
    """A queue per name for what few may do at a time: nobody fills all threads with its own.

    Args:
        each_max: how many of one name are let through at a time; more wait in their order.
    """

    def __init__(self, each_max: int) -> None:
        self._each_max = each_max
        self._gates: dict[str, tuple[asyncio.Semaphore, int]] = {}

    def __len__(self) -> int:
        return len(self._gates)

    @asynccontextmanager
    async def take(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn and have it for as long as the context lasts."""
        gate, users = self._gates.get(name, (asyncio.Semaphore(self._each_max), 0))
        self._gates[name] = gate, users + 1
        try:
            async with gate:
                yield
        finally:
            users = self._gates[name][1] - 1
            if users:
                self._gates[name] = gate, users
            else:
                del self._gates[name]


class Places:
    """Counts what is under way by name; of one name there may be so many, and no more wait.

    Args:
        each_max: of one name.
    """

    def __init__(self, each_max: int) -> None:
        self._each_max = each_max
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._taken)

    @contextmanager
    def take(self, name: str) -> Iterator[None]:
        """Have a place for as long as the context lasts.

        Raises:
            Refusal: ``busy`` where all of this name are taken.
        """
        if self._taken[name] >= self._each_max:
            raise Refusal(
                ErrorCode.BUSY,
                "too many requests of this sender are under way",
                retry_after=RETRY_SECONDS,
            )
        self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]


class Publisher:
    """Sends doorbells for many requests in one call.

    While one call to the broker is under way, further rings gather and go with the next: a lone
    request waits for nothing, a burst costs few calls.
    """

    def __init__(self, doorbell: Doorbell, executor: Executor) -> None:
        self._doorbell = doorbell
        self._executor = executor
        self._queue: deque[tuple[Ring, Answer]] = deque()
        self._rung = asyncio.Event()

    def ring(self, ring: Ring, answer: Answer) -> None:
        """Send ``ring`` soon; where the broker does not take it, ``answer`` fails with that."""
        self._queue.append((ring, answer))
        self._rung.set()

    async def run(self) -> None:
        """Send what is rung, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._rung.wait()
            batch = self._next()
            if not batch:
                self._rung.clear()
                continue
            rings = [ring for ring, _ in batch]
            try:
                await loop.run_in_executor(self._executor, self._doorbell.ring, rings)
            except BrokerUnavailable as error:
                _fail(batch, error)

    def _next(self) -> list[tuple[Ring, Answer]]:
        """Take the next batch, leaving out requests that ended meanwhile."""
        batch: list[tuple[Ring, Answer]] = []
        while self._queue and len(batch) < RINGS_MAX:
            ring, answer = self._queue.popleft()
            if not answer.done():
                batch.append((ring, answer))
        return batch


def _fail(batch: list[tuple[Ring, Answer]], error: BrokerUnavailable) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)
