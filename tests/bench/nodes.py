"""Real nodes of one pool: homes, `replicator up` as an operator runs it, looked at from outside."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import Final

import redis

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.loopback import LOOPBACK, free_ports
from replicator.adapters.sql.store import SqlStore
from replicator.bootstrap import close_node, open_node
from replicator.cli import process_tree
from replicator.cli.child import dies_with
from replicator.cli.founding import found
from replicator.cli.up_state import up_state
from replicator.node.context import Node
from replicator.node.ports import DoorbellKind, Ring
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from replicator.settings import Settings, load_settings
from tests.bench.servers import Servers
from tests.support.waiting import eventually

READY_SECONDS: Final = 60.0
WORKERS: Final = ("answers", "lanes")


@dataclass(frozen=True)
class BenchNode:
    """One node: its home, its database, and how to look at it."""

    node_id: NodeId
    home: Path
    port: int
    local_port: int
    database_url: str

    @property
    def address(self) -> str:
        """Where peers reach it."""
        return f"http://{LOOPBACK}:{self.port}"

    def settings(self) -> Settings:
        """Return its settings; with the work URL while it is up."""
        return load_settings(self.home, {})

    def knows(self, *others: "BenchNode") -> None:
        """Add peers by id and address, as `peers add` does."""
        store = SqlStore(self.database_url)
        for other in others:
            store.add_peer(other.node_id, other.address, int(time.time() * 1000))
        store.close()

    def reader(self) -> SqlStore:
        """Return a reader of its store; to be closed."""
        return SqlStore(self.database_url, read_only=True)

    def ring(self, kind: DoorbellKind, peer: NodeId) -> None:
        """Ring for work at once, instead of waiting for the next tick."""
        doorbell = KombuDoorbell(self.settings().broker, self.node_id)
        doorbell.ring([Ring(kind, peer, note="bench")])
        doorbell.close()

    def messages(self) -> int:
        """Return how many Celery messages its broker has taken since it started."""
        with redis.Redis.from_url(self.settings().broker) as client:
            stats = client.info("commandstats")
        return int(stats.get("cmdstat_lpush", {}).get("calls", 0))

    def peak_bytes(self) -> int:
        """Return the highest resident memory that any process of a worker has had."""
        children = up_state(self.home).children
        pids = [pid for name, pid in children.items() if name in WORKERS and pid is not None]
        family = [child.pid for pid in pids for child in process_tree.descendants(pid)]
        return max(_peak(pid) for pid in [*pids, *family])

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time that each of its processes has used, with that of its children."""
        times = {}
        for name, pid in up_state(self.home).children.items():
            if pid is not None:
                family = [pid, *(child.pid for child in process_tree.descendants(pid))]
                times[name] = sum(map(_cpu, family))
        return times


class Pool:
    """Makes nodes that share a pool key."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._key = PrivateKey.generate().to_pem()
        self._count = 0

    @contextmanager
    def node(self, database: str) -> Iterator[BenchNode]:
        """Found a node on a new database; its home and database go afterwards."""
        self._count += 1
        node_id = NodeId(f"bench{self._count}")
        port, local_port = free_ports(2, SystemRandom())
        home = self._servers.folder() / node_id
        with self._servers.database(database) as url:
            given: dict[str, str | int] = {
                "database_url": url,
                "address": f"http://{LOOPBACK}:{port}",
                "gateway_listen": f"{LOOPBACK}:{port}",
                "local_listen": f"{LOOPBACK}:{local_port}",
                "answers_processes": 1,
            }
            found(home, node_id, given, {})
            KeyFiles(home / "keys").import_pool_key(self._key)
            yield BenchNode(node_id, home, port, local_port, url)

    @contextmanager
    def asker(self, target: BenchNode, database: str = "sqlite") -> Iterator[Node]:
        """Yield a member in this process that only asks; its work state is the target's."""
        with self.node(database) as made:
            made.knows(target)
            node = open_node(replace(made.settings(), work_url=target.settings().work))
            try:
                yield node
            finally:
                close_node(node)


@contextmanager
def up(node: BenchNode) -> Iterator[None]:
    """Run all processes of a node, until the end of the block."""
    log_folder = node.home / "log"
    log_folder.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "replicator.cli", "--home", str(node.home), "up"]
    with (log_folder / "up.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if not k.startswith("REPLICATOR_")},
            start_new_session=True,
            preexec_fn=dies_with(os.getpid()),
        )
    try:
        eventually(lambda: _ready(node, process), f"{node.node_id} is up", seconds=READY_SECONDS)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def all_up(*nodes: BenchNode) -> Iterator[None]:
    """Run several nodes."""
    with ExitStack() as stack:
        for node in nodes:
            stack.enter_context(up(node))
        yield


def _ready(node: BenchNode, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError((node.home / "log" / "up.log").read_text())
    try:
        with urllib.request.urlopen(node.address + "/healthz", timeout=1) as answer:  # noqa: S310  # loopback
            healthy = answer.status == 200
    except OSError:
        return False
    return healthy and all(_consumes(node, worker) for worker in WORKERS)


def _consumes(node: BenchNode, worker: str) -> bool:
    """Tell whether a worker has said that it is ready."""
    log = node.home / "log" / f"{worker}.log"
    return log.exists() and "ready" in log.read_text(errors="replace")


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM")), "0")
    return int(kilobytes) * 1024


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
