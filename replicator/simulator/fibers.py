"""Tasks that take turns: each runs in a thread of its own, and exactly one runs at a time.

The baton is handed over explicitly (`Fiber.suspend`, `Fibers.resume`), so the order of events
depends on the scheduler alone, never on the operating system. Threads are kept for the next task:
a simulation has thousands of tasks and few at a time.
"""

import threading
from collections.abc import Callable
from typing import Any


class Fiber:
    """One task; ``notes`` is what monitors and mutants remember of it."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.notes: dict[str, Any] = {}
        self.done = False
        self.error: BaseException | None = None
        self.value: Any = None
        self.thread: _Thread | None = None


class _Thread:
    """A thread that runs one fiber after the other."""

    def __init__(self, fibers: "Fibers") -> None:
        self._fibers = fibers
        self.wake = threading.Lock()
        self.wake.acquire()
        self.fiber: Fiber | None = None
        threading.Thread(target=self._run, daemon=True, name="simulator").start()

    def _run(self) -> None:
        while True:
            self.wake.acquire()
            fiber = self.fiber
            if fiber is None:
                return
            try:
                fiber.work()
            except BaseException as error:  # handed to the scheduler, which raises it
                fiber.error = error
            fiber.done = True
            self._fibers.give_back()


class Fibers:
    """The baton, and the threads that may get it."""

    def __init__(self) -> None:
        self._idle: list[_Thread] = []
        self._back = threading.Lock()
        self._back.acquire()
        self._waiting: dict[Fiber, None] = {}
        self.current: Fiber | None = None

    def start(self, fiber: Fiber) -> None:
        """Run a fiber until it suspends or ends; raise what it raised."""
        fiber.thread = self._idle.pop() if self._idle else _Thread(self)
        fiber.thread.fiber = fiber
        self._switch_to(fiber)

    def resume(self, fiber: Fiber, value: Any = None) -> None:
        """Let a suspended fiber go on with ``value`` until it suspends again or ends."""
        del self._waiting[fiber]
        fiber.value = value
        self._switch_to(fiber)

    def suspend(self) -> Any:
        """Give the baton back from within a fiber; return what it is resumed with."""
        fiber = self.current
        if fiber is None or fiber.thread is None:
            raise RuntimeError("only a fiber can be suspended")
        self._waiting[fiber] = None
        self._back.release()
        fiber.thread.wake.acquire()
        return fiber.value

    def unwind(self) -> None:
        """Resume every suspended fiber until none is left: their processes are dead by now."""
        while self._waiting:
            self.resume(next(iter(self._waiting)))

    def close(self) -> None:
        """End all idle threads."""
        for thread in self._idle:
            thread.fiber = None
            thread.wake.release()
        self._idle.clear()

    def give_back(self) -> None:
        """Return the baton to the scheduler (the thread of a fiber that has ended)."""
        self._back.release()

    def _switch_to(self, fiber: Fiber) -> None:
        thread = fiber.thread
        if thread is None:
            raise RuntimeError("a fiber is started before it is resumed")
        before, self.current = self.current, fiber
        thread.wake.release()
        self._back.acquire()
        self.current = before
        if fiber.done:
            self._idle.append(thread)
            if fiber.error is not None:
                raise fiber.error
