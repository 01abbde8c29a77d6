"""Wait for something to become true, with a deadline instead of a sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], what: str, *, seconds: float = 20.0) -> T:
    """Return the first true value of ``probe``; fail, naming ``what``, after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {value!r}")
        time.sleep(0.02)


def holds(probe: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Fail, naming ``what``, where ``probe`` is false at any time during ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert probe(), what
        time.sleep(0.05)


def wait_for(probe: Callable[[], bool], *, seconds: float) -> bool:
    """Wait until ``probe`` is true; return whether it became so within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
