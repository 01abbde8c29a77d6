"""Who looks at which port call, and what a monitor says when a promise is broken."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

Watcher = Callable[..., None]
"""Called with (machine, fiber or None, result, *arguments of the call) after each call."""


class Violation(BaseException):
    """A promise is broken; no use case may catch it.

    Args:
        monitor: whose promise it is.
        message: what happened where.
    """

    def __init__(self, monitor: str, message: str) -> None:
        super().__init__(f"{monitor}: {message}")
        self.monitor = monitor
        self.message = message


class Watch:
    """Watchers by port and method."""

    def __init__(self) -> None:
        self._watchers: dict[tuple[str, str], list[Watcher]] = defaultdict(list)

    def of(self, port: str, method: str) -> list[Any]:
        """Return the list of watchers of a method; it may grow later."""
        return self._watchers[port, method]

    def on(self, port: str, method: str, watcher: Watcher) -> None:
        """Have ``watcher`` called after each call of a method that did not raise."""
        self._watchers[port, method].append(watcher)
