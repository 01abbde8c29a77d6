"""One node of the demo, seen from outside: started, published at, counted, killed.

It is a real node in a home of its own, started with the same command an operator uses. Posts go in
through its local HTTP API; what it holds is read from its database by a reader of our own, so that
a node cannot report more than it has.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from replicator.adapters.loopback import LOOPBACK
from replicator.adapters.sql.store import SqlStore
from replicator.cli import process_tree
from replicator.cli.child import dies_with
from replicator.cli.demo_posts import Draft
from replicator.cli.founding import TOKEN_FILE
from replicator.errors import ReplicatorError, StoreUnavailable, Unavailable
from replicator.protocol.ids import Digest, NodeId

_CALL_SECONDS: Final = 20.0


class DemoFailed(ReplicatorError):
    """The demo did not show what it is there to show."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where one node of the demo lives: its home and its two ports on loopback."""

    node_id: NodeId
    home: Path
    gateway_port: int
    local_port: int

    @property
    def address(self) -> str:
        """Where peers reach it."""
        return f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def database_url(self) -> str:
        """Its database."""
        return f"sqlite:///{self.home / 'replicator.db'}"


class DemoNode:
    """A node of the demo. ``published`` holds the digests it acknowledged."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.published: set[Digest] = set()
        self._store = SqlStore(site.database_url, read_only=True)
        self._token = (site.home / TOKEN_FILE).read_text(encoding="ascii").strip()
        self._up: subprocess.Popen[bytes] | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._count = 0

    @property
    def is_up(self) -> bool:
        """Whether its supervisor runs."""
        return self._up is not None and self._up.poll() is None

    def start(self) -> None:
        """Run `replicator up` for it; it dies with us. Call from the main thread only."""
        log_folder = self.site.home / "log"
        log_folder.mkdir(mode=0o700, exist_ok=True)
        command = (sys.executable, "-m", "replicator.cli", "--home", str(self.site.home), "up")
        with (log_folder / "up.log").open("ab") as log:
            self._up = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
                preexec_fn=dies_with(os.getpid()),
            )

    def is_ready(self) -> bool:
        """Tell whether its local API answers.

        Raises:
            DemoFailed: its supervisor has ended.
        """
        if not self.is_up:
            raise DemoFailed(f"{self.site.node_id} did not start; see {self.site.home}/log/up.log")
        try:
            return self._call("GET", "/local/v1/status")[0] == 200
        except Unavailable:
            return False

    def publish(self, drafts: Sequence[Draft]) -> None:
        """Publish drafts; they are committed when this returns.

        Raises:
            DemoFailed: not every one was taken.
        """
        status, answer = self._call(
            "POST", "/local/v1/posts", b'{"posts":[%b]}' % b",".join(drafts)
        )
        if status != 200:
            raise DemoFailed(f"{self.site.node_id} answered {status}: {answer.get('message')}")
        for result in answer["results"]:
            if result["status"] not in ("stored", "known"):
                raise DemoFailed(f"{self.site.node_id}: {result['status']}: {result.get('reason')}")
            self.published.add(Digest(result["digest"]))

    def count(self) -> int:
        """Return how many posts its database holds, or held when it was last readable."""
        with suppress(StoreUnavailable):
            self._count = self._store.totals().posts
        return self._count

    def digests(self) -> list[Digest]:
        """Return the digests of all posts in its database, in order."""
        return [digest for digest, _ in self._store.digests()]

    def processes(self) -> list[process_tree.Process]:
        """Return its supervisor and everything below it."""
        if self._up is None:
            return []
        supervisor = process_tree.look(self._up.pid)
        return [*([supervisor] if supervisor else []), *process_tree.descendants(self._up.pid)]

    def kill(self) -> int:
        """Kill every process of it with SIGKILL; return how many there were."""
        doomed = self.processes()
        process_tree.kill(doomed)
        self._gone()
        return len(doomed)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to its supervisor, if it runs."""
        if self._up is not None and self.is_up:
            self._up.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Kill what is left of it and close the reader."""
        self.kill()
        self._store.close()

    def _gone(self) -> None:
        self._disconnect()
        if self._up is not None:
            self._up.wait()
            self._up = None

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, dict[str, Any]]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                LOOPBACK, self.site.local_port, timeout=_CALL_SECONDS
            )
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._disconnect()
            raise Unavailable(f"{self.site.node_id} does not answer: {error}") from error


def _environment() -> dict[str, str]:
    """Return our variables without ours: a demo is not the node of this shell."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REPLICATOR_")}
