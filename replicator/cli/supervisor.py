"""Keeps the processes of one node running: starts, restarts with back-off, stops in order.

One thread, one loop: signals are blocked and waited for, so no handler runs between two lines.
What it does is told in ``run/up.json``, replaced at once on every change; no secret stands there.
After its end, orderly or by SIGKILL, none of its children is left five seconds later.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from replicator.adapters.valkey import write_private
from replicator.cli.child import Child, Program, Restarts

STATE_FILE: Final = "up.json"
_STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WAITED: Final = (*_STOP, signal.SIGCHLD)
_LOOK_SECONDS: Final = 1.0
_STOP_LOOK_SECONDS: Final = 0.05


class Supervisor:
    """A node's children, in the order they are started; they are stopped the other way round.

    Args:
        home: the node's home; logs go to ``log/``, the state to ``run/up.json``.
        facts: what the state file tells besides the children (ports, addresses); no secrets.
        report: called with one line for a person on every change.
    """

    def __init__(
        self,
        home: Path,
        facts: dict[str, object],
        report: Callable[[str], None],
        restarts: Restarts | None = None,
    ) -> None:
        self._home = home
        self._facts = facts
        self._report = report
        self._restarts = restarts or Restarts()
        self._children: list[Child] = []
        self._stopped = False
        (home / "log").mkdir(parents=True, exist_ok=True, mode=0o700)
        # Blocked for good: `run` waits for them, children get an empty mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
        self._write_state()  # in place of what one that was killed left behind

    def start(self, program: Program) -> Child:
        """Start a child and keep it running from now on."""
        child = Child(program, self._home, self._restarts)
        child.start(time.monotonic())
        self._children.append(child)
        self._report(f"{program.name} started (pid {child.pid})")
        self._write_state()
        return child

    def run(self) -> None:
        """Keep all children running until SIGTERM, SIGINT or SIGHUP, then stop them."""
        while not self.stop_asked(self._pause()):
            self.keep()
        self.stop()

    def keep(self) -> None:
        """Look after every child once."""
        now = time.monotonic()
        changed = False
        for child in self._children:
            ran = child.pid
            if child.keep(now):
                changed = True
                self._report(_change(child, ran))
            child.bound_log()
        if changed:
            self._write_state()

    def stop_asked(self, seconds: float) -> bool:
        """Wait until something happens, ``seconds`` at most; tell whether to stop."""
        info = signal.sigtimedwait(_WAITED, max(0.0, seconds))
        return info is not None and info.si_signo in _STOP

    def stop(self) -> None:
        """Stop the children, the first started last, each within its grace; a signal hurries it.

        The first started is what the others work with (Valkey): it goes when they are gone.
        """
        if self._stopped:
            return
        self._stopped = True
        self._stop_all(self._children[1:])
        self._stop_all(self._children[:1])
        self._report("stopped")
        (self._home / "run" / STATE_FILE).unlink(missing_ok=True)

    def _stop_all(self, children: Sequence[Child]) -> None:
        for child in children:
            child.signal(signal.SIGTERM)
        grace = max((child.program.grace_seconds for child in children), default=0.0)
        deadline = time.monotonic() + grace
        while not all(child.ended() for child in children) and time.monotonic() < deadline:
            if self.stop_asked(_STOP_LOOK_SECONDS):
                break
        for child in children:
            child.kill()

    def _pause(self) -> float:
        now = time.monotonic()
        starts = [child.next_start() for child in self._children]
        return min([_LOOK_SECONDS, *(start - now for start in starts if start is not None)])

    def _write_state(self) -> None:
        state = {
            "pid": os.getpid(),
            **self._facts,
            "children": {
                child.program.name: {
                    "pid": child.pid,
                    "starts": child.starts,
                    "last_exit": child.last_exit,
                }
                for child in self._children
            },
        }
        write_private(self._home / "run" / STATE_FILE, json.dumps(state, indent=2) + "\n")


def _change(child: Child, ran: int | None) -> str:
    name = child.program.name
    if child.pid is not None:
        return f"{name} started again (pid {child.pid})"
    return f"{name} (pid {ran}) ended with {child.last_exit}; see {child.log}"
