"""The command lines that start Celery's processes of one node, as lists of arguments.

Pure text: `replicator` starts Celery as child processes and never imports it. No secret stands on
a command line: the children read URLs and passwords from the settings of ``REPLICATOR_HOME``.

Two kinds of worker keep promise 3: ``answers`` consumes `requests` and `ticks` and never waits for
a peer, so that two nodes that wait for each other's answers cannot lock up, and no stalled peer
delays a tick; ``lanes`` consumes all other queues in threads, because it mostly waits.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from replicator.adapters.queue_names import LANES, Lane, queue_name
from replicator.protocol.ids import NodeId

APP: Final = "workers.app"
NAMES: Final = "workers.app:names"
"""The application without the bodies of tasks, for processes that run none."""
WITHOUT_PEERS: Final[tuple[Lane, ...]] = ("requests", "ticks")
"""What calls no peer and takes milliseconds."""
LANES_OF_PEERS: Final[tuple[Lane, ...]] = tuple(lane for lane in LANES if lane not in WITHOUT_PEERS)


@dataclass(frozen=True, slots=True)
class CeleryCommands:
    """Build command lines for one node.

    Args:
        home: the node's home folder.
        node_id: names the workers (``answers@node``) and queues.
        log_level: of all processes.
        events: whether workers report every task from their start, which doubles what a task
            costs them; a running Flower asks for it by itself.
    """

    home: Path
    node_id: NodeId
    log_level: str = "info"
    events: bool = False

    def environment(self) -> dict[str, str]:
        """Return the variables that the processes need besides those of their parent."""
        return {"REPLICATOR_HOME": str(self.home)}

    def answers(self, processes: int) -> list[str]:
        """Return the command of the worker of requests and ticks, in ``processes`` children."""
        return self._worker("answers", WITHOUT_PEERS, ["--pool", "prefork", "-c", str(processes)])

    def lanes(self, threads: int) -> list[str]:
        """Return the command of the worker that speaks to peers, in ``threads`` threads."""
        return self._worker("lanes", LANES_OF_PEERS, ["--pool", "threads", "-c", str(threads)])

    def beat(self) -> list[str]:
        """Return the command of the beat, which rings the reconciler."""
        run = self.home / "run"
        return [
            *self._celery("beat", NAMES),
            *("--schedule", str(run / "beat-schedule")),
            # No pid file: a killed beat would leave one behind and never start again.
            *("--pidfile", ""),
        ]

    def flower(self, host: str, port: int) -> list[str]:
        """Return the command of the dashboard; `flower_environment` holds its password."""
        return [
            *(sys.executable, "-m", "celery", "--app", NAMES, "--quiet", "flower"),
            *(f"--address={host}", f"--port={port}", f"--logging={self.log_level}"),
            # Nobody pickles or purges from here; people look. Tasks are kept in memory, bounded.
            *("--purge_offline_workers=300", "--max_tasks=10000", "--enable_events=true"),
            # Arguments are peers and counts, so they are shown in full.
            "--natural_time=false",
        ]

    def flower_environment(self, user: str, password: str) -> dict[str, str]:
        """Return `environment` and the dashboard's password, which ``ps`` must not show."""
        return self.environment() | {"FLOWER_BASIC_AUTH": f"{user}:{password}"}

    def _worker(self, kind: str, lanes: Sequence[Lane], pool: Sequence[str]) -> list[str]:
        queues = ",".join(queue_name(self.node_id, lane) for lane in lanes)
        return [
            *self._celery("worker"),
            *("--hostname", f"{kind}@{self.node_id}"),
            *("--queues", queues),
            *pool,
            # Workers need not know of each other; this saves a second of start and the chatter.
            "--without-mingle",
            "--without-gossip",
            *(["--task-events"] if self.events else []),
        ]

    def _celery(self, command: str, app: str = APP) -> list[str]:
        return [
            *(sys.executable, "-m", "celery", "--app", app, "--quiet", command),
            *("--loglevel", self.log_level),
        ]
