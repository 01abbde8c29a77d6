"""Worker processes that kill themselves at a chosen call of a port method, once.

`arm` writes a file into the home of a node; the next worker of that node which comes to the place
removes the file and kills itself, with its main process. A node's processes must have been started
within `tests.support.harm.harmed`.
"""

import dataclasses
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from celery import current_task

FILE = "death.json"
PARTS = ("store", "work", "transport")


@dataclass(frozen=True)
class Death:
    """A place to die at.

    Args:
        task: the Celery task in which, without its prefix.
        call: ``part.method`` of the node.
        when: before the call, or after it has returned.
    """

    task: str
    call: str
    when: Literal["before", "after"]

    def __str__(self) -> str:
        return f"{self.task}: {self.when} {self.call}"


def arm(home: Path, death: Death) -> None:
    """Have the next worker of the node in ``home`` that comes to a place die there."""
    new = home / "run" / f"{FILE}.new"
    new.write_text(json.dumps(dataclasses.asdict(death)))
    new.rename(home / "run" / FILE)


def is_armed(home: Path) -> bool:
    """Tell whether the armed death has not happened yet."""
    return (home / "run" / FILE).exists()


def install(lifecycle: ModuleType) -> None:
    """Have the nodes that `workers.lifecycle` opens watch for their death."""
    open_node = lifecycle.open_node

    def open_mortal(settings: Any) -> Any:
        node = open_node(settings)
        path = settings.home / "run" / FILE
        parts = {part: _Mortal(part, getattr(node, part), path, lifecycle) for part in PARTS}
        return dataclasses.replace(node, **parts)

    lifecycle.open_node = open_mortal  # type: ignore[attr-defined]


class _Mortal:
    """A port whose methods may be the last that their process calls."""

    def __init__(self, part: str, inner: Any, path: Path, lifecycle: ModuleType) -> None:
        self._part = part
        self._inner = inner
        self._path = path
        self._lifecycle = lifecycle

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **options: Any) -> Any:
            self._meet(name, "before")
            result = attribute(*args, **options)
            self._meet(name, "after")
            return result

        return call

    def _meet(self, name: str, when: str) -> None:
        try:
            death = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return
        task = current_task.name if current_task else None
        here = (f"replicator.{death['task']}", death["call"], death["when"])
        if (task, f"{self._part}.{name}", when) == here:
            self._path.unlink()
            os.kill(self._lifecycle.parents[-1], signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
