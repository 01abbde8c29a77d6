"""One child process of a supervisor: started, watched, started again, stopped; its log bounded.

Invariants: a child dies with its supervisor, however that ends (the kernel sends it SIGKILL); a
child leads its own session, so that a terminal's Ctrl-C reaches only the supervisor and the whole
group can be ended at once. `Child.start` must be called from the main thread of a process that has
no other: the kernel's promise is bound to the thread that starts the child, and the code between
fork and exec is Python.
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
LOG_BYTES_MAX: Final = 8 * 1024 * 1024
"""A log of this size becomes ``NAME.log.1``, replacing the one before."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    Args:
        name: of the child; names its log.
        command: argument list; no secrets, every user of the machine can read it.
        environment: variables set on top of the supervisor's own.
        grace_seconds: how long an orderly stop may take before SIGKILL.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace_seconds: float = 2.5


@dataclass(frozen=True, slots=True)
class Restarts:
    """When a dead child is started again: pauses double, a stable run starts over.

    Args:
        base_seconds: the first pause.
        cap_seconds: the longest.
        stable_seconds: a child that ran this long was well.
    """

    base_seconds: float = 0.25
    cap_seconds: float = 15.0
    stable_seconds: float = 10.0

    def pause(self, failures: int) -> float:
        """Return the pause before the next start after ``failures`` short runs in a row."""
        return float(min(self.cap_seconds, self.base_seconds * 2 ** min(failures, 30)))


def dies_with(parent: int) -> Callable[[], None]:
    """Return what a child runs between fork and exec so that it never outlives ``parent``.

    It also gives the child an empty signal mask: the supervisor waits with signals blocked.
    """
    prctl = ctypes.CDLL(None).prctl  # loaded here: after the fork nothing may be loaded

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the promise was made
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return prepare


def become(home: Path, command: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program of the node.

    It runs in the node's home, as all of them: Python and Celery load code from the folder they
    are started in, and nobody else writes there.
    """
    os.chdir(home)
    os.execve(command[0], list(command), {**os.environ, **variables})  # noqa: S606  # no shell


class Child:
    """A program that is kept running, in the node's home like `become`."""

    def __init__(self, program: Program, home: Path, restarts: Restarts) -> None:
        self.program = program
        self.starts = 0
        self.last_exit: int | None = None
        self._restarts = restarts
        self.log = home / "log" / f"{program.name}.log"
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._failures = 0
        self._due_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self, now: float) -> None:
        """Start the program; its output is appended to its log."""
        with self._open_log() as log:
            self._process = subprocess.Popen(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.program.environment},
                cwd=self._home,
                start_new_session=True,
                # The supervisor has one thread: see the module's first lines.
                preexec_fn=dies_with(os.getpid()),
            )
        self.starts += 1
        self._started_at = now

    def keep(self, now: float) -> bool:
        """Note a death, start again when it is time; return whether anything changed."""
        if self._process is None:
            if now < self._due_at:
                return False
            self.start(now)
            return True
        if not _has_ended(self._process.pid):
            return False
        self._bury(self._process, now)
        return True

    def next_start(self) -> float | None:
        """Return when `keep` will start it again, or None while it runs."""
        return self._due_at if self._process is None else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child alone, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def has_ended(self) -> bool:
        """Tell whether it has ended since it was last looked after."""
        return self._process is None or _has_ended(self._process.pid)

    def ended(self) -> bool:
        """Tell whether it does not run (after a stop); collects its exit status."""
        if self._process is not None and _has_ended(self._process.pid):
            self._bury(self._process, 0.0)
        return self._process is None

    def kill(self) -> None:
        """End the child and everything in its group, at once."""
        if self._process is not None:
            self._bury(self._process, 0.0)

    def bound_log(self) -> None:
        """Keep the log within `LOG_BYTES_MAX`: copied aside and emptied, as it stays open."""
        with suppress(OSError):
            if self.log.stat().st_size > LOG_BYTES_MAX:
                shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
                os.truncate(self.log, 0)

    def _bury(self, process: subprocess.Popen[bytes], now: float) -> None:
        # The whole group, before the leader is reaped: until then its number is nobody else's.
        # A worker killed from outside may leave processes of its group for a moment.
        _kill_group(process.pid)
        self.last_exit = process.wait()
        stable = now - self._started_at >= self._restarts.stable_seconds
        self._failures = 0 if stable else self._failures + 1
        self._due_at = now + self._restarts.pause(max(0, self._failures - 1))
        self._process = None

    def _open_log(self) -> IO[bytes]:
        handle = os.open(
            self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, mode=0o600
        )
        return os.fdopen(handle, "ab", buffering=0)


def _has_ended(pid: int) -> bool:
    """Tell whether a child of ours has ended, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
