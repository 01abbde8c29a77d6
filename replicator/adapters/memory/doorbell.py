"""A doorbell that keeps its rings in memory: the twin of `KombuDoorbell` for tests and simulation.

Rings are taken out in order with `take`; `fail` makes it unavailable, as a broker can be.
"""

import threading
from collections.abc import Sequence

from replicator.errors import BrokerUnavailable
from replicator.node.ports import Ring


class MemoryDoorbell:
    """Records what was rung; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings: list[Ring] = []
        self._available = True

    def ring(self, rings: Sequence[Ring]) -> None:
        """Keep ``rings``; raise `BrokerUnavailable`, and keep none, while made to fail."""
        with self._lock:
            if not rings:
                return
            if not self._available:
                raise BrokerUnavailable("the broker was made unavailable")
            self._rings.extend(rings)

    def close(self) -> None:
        """Do nothing: there is no connection. Rings stay to be taken."""

    def take(self) -> list[Ring]:
        """Return the rings since the last call, oldest first, and forget them."""
        with self._lock:
            rings, self._rings = self._rings, []
        return rings

    def fail(self, *, available: bool = False) -> None:
        """Be unavailable from now on, or available again."""
        with self._lock:
            self._available = available
