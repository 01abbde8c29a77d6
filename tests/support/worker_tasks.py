"""Tasks that write down what happens to them, a line each, for tests to read."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from celery import shared_task

from replicator.errors import CursorConflict, Malformed, PeerUnavailable
from workers.base import NodeTask

ERRORS = {
    "unavailable": PeerUnavailable("beta.example does not answer"),
    "invalid": Malformed("not a post"),
    "conflict": CursorConflict("overtaken"),
    "bug": ZeroDivisionError("a bug"),
}


class LooseTask(NodeTask):
    """A task of the tests, which takes what the tests give it."""

    abstract = True

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return all arguments as they are."""
        return list(args)


@shared_task(name="test.note", base=LooseTask, bind=True)
def note(task: NodeTask, path: str, seconds: float = 0.0) -> dict[str, Any]:
    """Write ``start``, work for a while, write ``end``."""
    _write(path, f"start {task.request.id} {os.getpid()}")
    time.sleep(seconds)
    _write(path, f"end {task.request.id} {os.getpid()}")
    return {"seconds": seconds}


@shared_task(name="test.die", base=LooseTask, bind=True)
def die(task: NodeTask, path: str, times: int) -> None:
    """Kill the own process until it has been started ``times`` times."""
    _write(path, f"start {task.request.id} {os.getpid()}")
    if len(Path(path).read_text().splitlines()) < times:
        os.kill(os.getpid(), signal.SIGKILL)
    _write(path, f"end {task.request.id} {os.getpid()}")


@shared_task(name="test.fail", base=LooseTask)
def fail(error: str) -> None:
    """Raise one of `ERRORS`."""
    raise ERRORS[error]


@shared_task(name="test.nothing", base=LooseTask)
def nothing() -> None:
    """Do nothing, to be counted."""


def _write(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(line + "\n")
