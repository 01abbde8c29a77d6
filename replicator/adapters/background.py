"""The `Background` port over a small pool of threads; its twin is `memory.background`.

For work that waits (a peer's next page) or that releases the interpreter lock (libsodium). No
thread is started before the first `submit`, so an instance made before a fork serves after it.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ThreadBackground:
    """Run work beside the caller in at most ``threads`` threads.

    More than that waits its turn: callers bound what they submit (`Limits.pages_ahead`). Work
    that itself waits for other submitted work may wait for ever.
    """

    def __init__(self, threads: int = 2) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="background")

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Start ``work``; its value or error is in the returned `Pending`."""
        return self._executor.submit(work)

    def close(self) -> None:
        """Drop what has not started, wait for what has."""
        self._executor.shutdown(wait=True, cancel_futures=True)
