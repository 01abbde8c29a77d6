"""A process of a node: its ports behind guards, so that it can die at every one of their calls.

A guard is what use cases get in place of a port. Before and after each call it may kill the process
(the effect of the call has then happened or not), let other fibers in, or raise what an outage
raises. Once a process is dead, every further call of its tasks raises `Died`, also those in
``finally``: nothing of it has an effect any more. What a call returned is shown to the monitors.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from replicator.errors import ReplicatorError
from replicator.node.context import Node

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine


_UNORDERED: Final = ("get", "refs")
"""Of the store: they give posts in no set order; here it must not depend on the process."""


def _digest_of(item: Any) -> str:
    return str(item.digest)


class Died(BaseException):
    """The process of this task is dead; no use case may catch it."""


class Process:
    """One incarnation of a process of a machine.

    Args:
        machine: where it runs.
        name: ``gateway``, ``answers`` or ``lanes``.
        slots: tasks it works on at a time.
    """

    def __init__(self, machine: "Machine", name: str, slots: int) -> None:
        self.machine = machine
        self.name = name
        self.slots = slots
        self.busy = 0
        self.alive = True
        self.steps_left: int | None = None
        """It dies at the end of these; None: it is not doomed."""
        self.away_ms = 0
        self.flush = False
        self.node: Node

    def kill(self) -> None:
        """Let nothing of this process have an effect any more."""
        self.alive = False

    def step(self) -> None:
        """Pass one point at which a process may die."""
        if self.steps_left is not None and self.alive:
            self.steps_left -= 1
            if self.steps_left <= 0:
                self.machine.died(self)
        if not self.alive:
            raise Died


class Guard:
    """A port as the tasks of one process see it."""

    def __init__(self, process: Process, port: str, inner: object) -> None:
        self._process = process
        self._port = port
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        guarded = self._guarded(name, method)
        setattr(self, name, guarded)
        return guarded

    def _guarded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        process, port = self._process, self._port
        world = process.machine.world
        watchers = world.watch.of(port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            process.step()
            process.machine.pause(port)
            if not process.alive:
                raise Died
            outage: ReplicatorError | None = process.machine.outage(port)
            if outage is not None:
                raise outage
            result = method(*args, **kwargs)
            if name in _UNORDERED:
                result.sort(key=_digest_of)
            for watcher in watchers:
                watcher(process.machine, world.fibers.current, result, *args, **kwargs)
            process.step()
            return result

        return call
