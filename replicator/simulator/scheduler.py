"""Virtual time: what happens next is what is due first; ties are broken by the seed."""

import heapq
import random
from collections.abc import Callable

from replicator.simulator.fibers import Fibers

Action = Callable[[], None]

EPOCH_MS = 1_700_000_000_000
"""The wall clock at the begin of every simulation."""


class Scheduler:
    """Events in the order of virtual time.

    Args:
        chance: breaks ties; nothing else draws from it.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._events: list[tuple[int, float, int, Action]] = []
        self._count = 0
        self.fibers = Fibers()
        self.now = 0
        """Milliseconds since the simulation began."""

    def after(self, delay_ms: float, action: Action) -> None:
        """Have ``action`` run in ``delay_ms``; cut to whole milliseconds."""
        self._count += 1
        at = self.now + max(0, int(delay_ms))
        heapq.heappush(self._events, (at, self._chance.random(), self._count, action))

    def sleep(self, delay_ms: float) -> None:
        """Suspend the current fiber for a time."""
        fiber = self.fibers.current
        if fiber is None:
            raise RuntimeError("only a fiber can sleep")
        self.after(delay_ms, lambda: self.fibers.resume(fiber))
        self.fibers.suspend()

    def run(self, until_ms: int) -> None:
        """Let everything happen that is due up to ``until_ms``."""
        while self._events and self._events[0][0] <= until_ms:
            self.now, _, _, action = heapq.heappop(self._events)
            action()
        self.now = max(self.now, until_ms)


class NodeClock:
    """One machine's clock: the virtual time, and how wrong it is.

    Args:
        scheduler: the virtual time.
        skew_ms: the wall clock minus the true time.
    """

    def __init__(self, scheduler: Scheduler, skew_ms: int = 0) -> None:
        self._scheduler = scheduler
        self.skew_ms = skew_ms

    def now(self) -> int:
        """Return ms since the Unix epoch as this machine believes."""
        return EPOCH_MS + self._scheduler.now + self.skew_ms

    def monotonic(self) -> float:
        """Return seconds since the simulation began."""
        return self._scheduler.now / 1000
