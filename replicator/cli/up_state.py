"""Reads what `replicator up` tells of itself (``run/up.json``), checked against /proc."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicator.cli import process_tree
from replicator.cli.supervisor import STATE_FILE


@dataclass(frozen=True, slots=True)
class UpState:
    """Whether `up` runs, and which of its children do (name → pid, None: being restarted)."""

    pid: int | None
    children: dict[str, int | None]
    starts: dict[str, int]


def up_state(home: Path) -> UpState:
    """Return the state of a home; one that was left behind by a killed `up` is no state."""
    try:
        told: dict[str, Any] = json.loads((home / "run" / STATE_FILE).read_text(encoding="utf-8"))
        pid, children = int(told["pid"]), dict(told["children"])
    except (OSError, ValueError, KeyError, TypeError):
        return UpState(None, {}, {})
    supervisor = process_tree.look(pid)
    if supervisor is None or not process_tree.is_alive(supervisor):
        return UpState(None, {}, {})
    mine = {process.pid for process in process_tree.descendants(pid)}
    pids = {
        name: child["pid"] if child["pid"] in mine else None for name, child in children.items()
    }
    return UpState(pid, pids, {name: child["starts"] for name, child in children.items()})
