"""One shared look at the end of the change log, for all long polls of the process.

Workers in other processes append to the log, so the gateway has to look. It looks only while
somebody waits: often just after a change, then ever more seldom; a publish through this process is
told at once. Nothing is remembered for a follower: its cursor is all there is, so that a follower
survives any restart of either side and sees each post exactly once.
"""

import asyncio
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final

from replicator.errors import StoreUnavailable
from replicator.node.ports import Store

_SHORTEST_SECONDS: Final = 0.02
_LONGEST_SECONDS: Final = 0.25
"""What a post may be late in an idle pool; four looks a second cost no CPU worth naming."""


class EndWatch:
    """Wakes waiters when the end of the change log moves; `run` must run beside it."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor
        self._waiters: set[asyncio.Future[int]] = set()
        self._wanted = asyncio.Event()
        self._look_now = asyncio.Event()
        self._end = 0
        self._closed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiters)

    def hurry(self) -> None:
        """Look at once: something was just written by this process."""
        self._look_now.set()

    async def moved(self, seen: int | None) -> int | None:
        """Wait until the log's last sequence is another than ``seen``; return it.

        None: the gateway stops. Whoever has not seen any sequence gives one that none can be.
        """
        while not self._closed.is_set():
            found = await self._next_look()
            if found != seen and not self._closed.is_set():
                return found
        return None

    def close(self) -> None:
        """End all waiting: long polls are answered with what there is."""
        self._closed.set()
        self._wake(self._end)

    async def run(self) -> None:
        """Look at the log while somebody waits, until cancelled."""
        loop = asyncio.get_running_loop()
        pause = _SHORTEST_SECONDS
        while True:
            await self._wanted.wait()
            self._look_now.clear()
            with suppress(StoreUnavailable):
                end = await loop.run_in_executor(self._executor, self._store.last_change)
                pause = _SHORTEST_SECONDS if end != self._end else pause
                self._end = end
                self._wake(end)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), pause)
            pause = min(pause * 2, _LONGEST_SECONDS)

    async def _next_look(self) -> int:
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        self._wanted.set()
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if not self._waiters:
                self._wanted.clear()

    def _wake(self, end: int) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(end)
