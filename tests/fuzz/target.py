"""What a target is, and what holds for every input of every target."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SECONDS_MAX: Final = 2.0
"""CPU time of one input; inputs here have at most 64 kB, and the slowest take milliseconds."""
GROWTH_KB_MAX: Final = 96 * 1024
"""What the process may grow while one input is judged, in units of 1,024 bytes."""


class Broken(AssertionError):
    """An input for which a promise does not hold."""


@dataclass(frozen=True)
class Target:
    """One thing that is fuzzed.

    Args:
        name: as it stands on the command line, and the folder of its corpus.
        check: judges one input; returns whether the product took it, and raises where anything
            but an error meant for it left the product, or a property does not hold.
        seeds: makes inputs to begin with.
        tokens: pieces that inputs are made of, for mutation.
        bytes_max: of one input.
    """

    name: str
    check: Callable[[bytes], bool]
    seeds: Callable[[], list[bytes]]
    tokens: tuple[bytes, ...] = ()
    bytes_max: int = 8192

    def judge(self, data: bytes) -> bool:
        """Check one input, and what it costs; return whether the product took it."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.thread_time()
        taken = self.check(data)
        seconds = time.thread_time() - begin
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        require(seconds < SECONDS_MAX, f"one input took {seconds:.1f} s")
        require(grown < GROWTH_KB_MAX, f"one input took {grown} kB")
        return taken


def require(holds: object, promise: str) -> None:
    """Raise `Broken` where a promise does not hold."""
    if not holds:
        raise Broken(promise)


class Bytes:
    """Values drawn from an input, so that a target can be of more than text; ends in zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Return the next byte, 0 past the end."""
        taken = self.take(1)
        return taken[0] if taken else 0

    def number(self, size: int) -> int:
        """Return the next ``size`` bytes as a number."""
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data))
