"""Private Valkey and Redis servers for tests, on free loopback ports, ended by process id."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from random import Random

import redis

from replicator.adapters.loopback import LOOPBACK, free_ports
from replicator.adapters.memory.work import MemoryWorkState
from replicator.adapters.redis.work import RedisWorkState
from replicator.limits import Limits
from tests.support.waiting import eventually

PASSWORD = "not-a-secret"
START_TRIES = 5

_prefixes = itertools.count(1)


def new_prefix() -> str:
    """Return a key prefix that no other test of this process has."""
    return f"replicator:test-{os.getpid()}-{next(_prefixes)}:"


class PrivateServer:
    """A server process without persistence; it can be stopped, frozen, killed, started again.

    Args:
        binary: of valkey-server or redis-server.
        options: more of its command line.
    """

    def __init__(self, binary: Path, *options: str) -> None:
        self._binary = binary
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="replicator-valkey-"))
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(START_TRIES):
            (self.port,) = free_ports(1, Random())
            self.start()
            if self._process is not None:
                return
        raise RuntimeError(f"{binary} did not start; see {self._folder}")

    @property
    def url(self) -> str:
        """The URL clients use."""
        return f"redis://:{PASSWORD}@{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Start it on its port and wait until it answers; on a taken port it stays stopped."""
        command = [str(self._binary), "--bind", LOOPBACK, "--port", str(self.port)]
        command += ["--requirepass", PASSWORD, "--dir", str(self._folder), "--save", ""]
        command += ["--appendonly", "no", "--daemonize", "no", *self._options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(lambda: self._answers() or self._ended(), f"{self._binary} answers")
        if self._ended():
            self._process = None

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def client(self) -> redis.Redis:
        """Return a plain client, for looking at what is stored."""
        return redis.Redis.from_url(self.url, protocol=2)

    def flush(self) -> None:
        """Lose all data and all scripts."""
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL it; `start` starts it again, empty, on the same port."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def remove(self) -> None:
        """Leave nothing of it behind."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class WorkBackend:
    """One kind of work state in a contract test.

    Args:
        server: where it is kept, or None for the twin in memory.
    """

    def __init__(self, server: PrivateServer | None) -> None:
        self.server = server
        self.prefix = new_prefix()
        self._made: list[MemoryWorkState | RedisWorkState] = []

    def make(self, limits: Limits) -> MemoryWorkState | RedisWorkState:
        """Return an empty work state."""
        if self.server is None:
            self._made.append(MemoryWorkState(limits))
        else:
            self.prefix = new_prefix()
            self._made.append(RedisWorkState(self.server.url, self.prefix, limits))
        return self._made[-1]

    def flush(self) -> None:
        """Lose everything, under the feet of the work states made."""
        if self.server is not None:
            self.server.flush()
        for work in self._made:
            if isinstance(work, MemoryWorkState):
                work.flush()

    def close(self) -> None:
        """Close connections."""
        for work in self._made:
            if isinstance(work, RedisWorkState):
                work.close()
