"""A local process in the place of a Docker container, for pytest-celery's classes.

Those classes only ask one object: its id, name, status, attributes, logs, and to be killed or
restarted. Here it is a child process in a session of its own, its output in a file per life.
SIGKILL takes the whole session's group, as it would a container; other signals go to the process.
"""

import os
import signal as signals
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

STOP_SECONDS = 10.0


class LocalProcess:
    """Starts at once; `remove` leaves nothing of it behind."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.id = uuid.uuid4().hex
        self.name = f"{name}-{self.id[:8]}"
        self.command = list(command)
        self.env = dict(env or {})
        self.folder = folder
        self.lives = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._process = self._start()

    # what pytest-docker-tools and pytest-celery ask

    @property
    def status(self) -> str:
        """``running`` or ``exited``, in Docker's words."""
        return "running" if self._process.poll() is None else "exited"

    @property
    def attrs(self) -> dict[str, Any]:
        """No networks and no port maps: readiness is a line of the log."""
        return {
            "Config": {"Hostname": "127.0.0.1", "Env": [f"{k}={v}" for k, v in self.env.items()]},
            "NetworkSettings": {"Networks": {}, "Ports": {}},
            "HostConfig": {"PortBindings": {}},
        }

    def reload(self) -> None:
        """Reap it if it has ended."""
        self._process.poll()

    def logs(self, **_: Any) -> bytes:
        """Return what the present life has written."""
        return self._log.read_bytes()

    def kill(self, signal: str | int | None = None) -> None:
        """Send a signal; SIGKILL (the default) to the whole group, and wait for its end."""
        number = _number(signal)
        if self.status == "running":
            if number == signals.SIGKILL:
                self._kill_group()
                self._process.wait(STOP_SECONDS)
            else:
                os.kill(self._process.pid, number)

    def restart(self, timeout: float = STOP_SECONDS) -> None:
        """Stop it if it runs, then start a new life with an empty log."""
        self.stop(timeout)
        self._process = self._start()

    def exec_run(self, command: str | Sequence[str], **_: Any) -> tuple[int, bytes]:
        """Refuse: a test that needs this wants a container."""
        raise NotImplementedError(command)

    # what the tests ask besides

    @property
    def pid(self) -> int:
        """The process id of the present life."""
        return self._process.pid

    def all_logs(self) -> str:
        """Return what all lives have written."""
        files = sorted(self.folder.glob(f"{self.name}.*.log"))
        return "".join(file.read_text(errors="replace") for file in files)

    def kill_alone(self) -> None:
        """SIGKILL the process but none of its children."""
        os.kill(self._process.pid, signals.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """SIGTERM and wait, then SIGKILL; return the exit status."""
        if self.status == "running":
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()

    def remove(self, **_: Any) -> None:
        """End it and everything in its group."""
        self.kill()
        self._kill_group()

    def _start(self) -> subprocess.Popen[bytes]:
        self.lives += 1
        self._log = self.folder / f"{self.name}.{self.lives:02}.log"
        with self._log.open("wb") as output:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                start_new_session=True,
            )

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signals.SIGKILL)


def _number(signal: str | int | None) -> int:
    if signal is None:
        return signals.SIGKILL
    return signals.Signals[signal] if isinstance(signal, str) else signal
