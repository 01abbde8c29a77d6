"""One call at a time: what makes a twin's methods as atomic as a script or a transaction."""

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, TypeVar


class Exclusive:
    """Something whose `exclusive` methods share one re-entrant lock."""

    def __init__(self) -> None:
        self._lock = RLock()


S = TypeVar("S", bound=Exclusive)
P = ParamSpec("P")
R = TypeVar("R")


def exclusive(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Run a method while holding the lock of its object."""

    @wraps(method)
    def alone(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return alone
