"""Looks at processes through /proc: who descends from whom, how much memory they hold, ends them.

Linux only. Processes come and go while one looks: everything here takes a vanished process as gone
and goes on. Processes are named by pid and start time where they are to be ended, so that a pid the
kernel gave to somebody else in between is left alone.
"""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_AFTER_NAME_PARENT: Final = 1
_AFTER_NAME_STARTED: Final = 19


@dataclass(frozen=True, slots=True)
class Process:
    """A live process; ``started`` (clock ticks since boot) tells it from a later one."""

    pid: int
    parent: int
    started: int
    state: str


def look(pid: int) -> Process | None:
    """Return the process, or None where there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, so count from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    parent, started = int(fields[_AFTER_NAME_PARENT]), int(fields[_AFTER_NAME_STARTED])
    return Process(pid, parent, started, fields[0])


def is_alive(process: Process) -> bool:
    """Tell whether this very process still runs (a zombie does not)."""
    now = look(process.pid)
    return now is not None and now.started == process.started and now.state not in "ZX"


def started_at(process: Process) -> float:
    """Return when a process was started, in seconds since the epoch; at most a second too late."""
    for line in (_PROC / "stat").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" ")
        if name == "btime":
            return int(value) + 1 + process.started / os.sysconf("SC_CLK_TCK")
    raise OSError("/proc/stat does not say when the machine was started")


def descendants(root: int) -> list[Process]:
    """Return every process below ``root``, parents before children, without ``root`` itself."""
    children: dict[int, list[Process]] = {}
    for entry in _PROC.iterdir():
        process = look(int(entry.name)) if entry.name.isdigit() else None
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += [process.pid for process in below]
    return found


def kill(processes: Iterable[Process]) -> None:
    """Send SIGKILL to each process that is still the one that was looked at."""
    for process in processes:
        if is_alive(process):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def proportional_bytes(pids: Iterable[int]) -> int:
    """Return the memory of processes (PSS): shared pages are counted once in all."""
    return sum(_proportional_bytes(pid) for pid in pids)


def _proportional_bytes(pid: int) -> int:
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
