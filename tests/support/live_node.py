"""A node as its operator has it: a home, commands run in it, and `replicator up`.

`up` is a process, and so is what `LiveNode.run` runs; other commands are quicker by `CliHome`.
"""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any, Self

from replicator.adapters.loopback import free_ports
from replicator.cli import process_tree
from tests.support.cli_home import CliHome
from tests.support.waiting import eventually

CHILDREN = {"valkey", "gateway", "answers", "lanes", "beat"}
START_SECONDS = 120.0


class LiveNode:
    """A new home on free ports; as a context manager it ends `up` with SIGKILL."""

    def __init__(self, home: Path, node_id: str) -> None:
        ports = free_ports(2, Random())
        self.home = home
        self.node_id = node_id
        self.address = f"http://127.0.0.1:{ports[0]}"
        self.up: subprocess.Popen[bytes] | None = None
        listen = ["--gateway-listen", self.address.removeprefix("http://")]
        listen += ["--local-listen", f"127.0.0.1:{ports[1]}", "--address", self.address]
        CliHome(home)("init", node_id, *listen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.up is not None:
            self.up.kill()
            self.up.wait()

    def command(self, *arguments: str) -> list[str]:
        """Return the argument list of a command in this home."""
        return [sys.executable, "-m", "replicator.cli", "--home", str(self.home), *arguments]

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end; return its output, and check its exit code."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def start(self) -> None:
        """Run `up` until its workers have taken their queues."""
        with (self.home / "up.log").open("ab") as log:
            self.up = subprocess.Popen(
                self.command("up"), stdout=log, stderr=log, start_new_session=True
            )
        eventually(self.is_complete, "all children run", seconds=START_SECONDS)
        eventually(self.works, "workers have taken their queues", seconds=START_SECONDS)

    def pids(self) -> dict[str, int]:
        """Return the children that `up` says are running."""
        assert self.up is not None
        try:
            state: dict[str, Any] = json.loads((self.home / "run" / "up.json").read_text())
        except FileNotFoundError:
            return {}
        if state["pid"] != self.up.pid:
            return {}  # what an earlier one left behind
        return {name: one["pid"] for name, one in state["children"].items() if one["pid"]}

    def is_complete(self) -> bool:
        """Tell whether all children run."""
        assert self.up is not None
        assert self.up.poll() is None, (self.home / "up.log").read_text()
        return set(self.pids()) == CHILDREN

    def works(self) -> bool:
        """Tell whether the worker that answers has its pool, which is the last thing to start."""
        return len(process_tree.descendants(self.pids()["answers"])) >= 2

    def everything(self) -> list[process_tree.Process]:
        """Return every process below `up`."""
        assert self.up is not None
        return process_tree.descendants(self.up.pid)
