"""Connections to the database: one SQLAlchemy engine per store, its transactions, its errors.

Invariants: a connection is used by one thread at a time and never across a fork; every
transaction that writes is alone (SQLite: ``BEGIN IMMEDIATE``; PostgreSQL: an advisory lock per
schema that is taken before anything is read), so that a sequence drawn in it is visible to others
before any later one; statements that fail never show their parameters (posts) in a message.

SQLite runs with a write-ahead log and ``synchronous=NORMAL``: a commit survives the death of any
process by any signal, because its bytes are with the operating system by then. A power failure
may take the last commits, never the database's consistency; peers notice by the cursor's digest
and send again what they have. Who cannot lose a publish to a power failure before a peer has it
writes ``sqlite:///path?synchronous=full`` and pays one disk flush per transaction.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.pq import Format
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from replicator.errors import ConfigurationError, StoreUnavailable

BUSY_SECONDS: Final = 15
"""How long a writer waits for another one: many batches long, below a request's deadline."""
CONNECTIONS_MAX: Final = 32
"""Connections of one process: more than its threads; a bound, not a size."""
_SQLITE_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    "PRAGMA cache_size = -16384",  # 16 MiB per connection: the upper levels of every index
    "PRAGMA wal_autocheckpoint = 4000",  # 16 MiB: random index pages are written once, not often
    "PRAGMA journal_size_limit = 67108864",  # a log that grew under a long reader shrinks again
    "PRAGMA temp_store = MEMORY",
)
_SYNCHRONOUS: Final = ("normal", "full")
_POSTGRES_OPTIONS: Final = (
    f"-c lock_timeout={BUSY_SECONDS}s",
    f"-c idle_in_transaction_session_timeout={4 * BUSY_SECONDS}s",
    "-c jit=off",  # statements last milliseconds; compiling one lasts longer
    # Every query of ours walks an index and stops early. These keep plans so while a table has no
    # statistics yet: sorting or hashing a whole table for one page costs a hundred times as much.
    "-c enable_seqscan=off",
    "-c enable_bitmapscan=off",
    "-c enable_hashjoin=off",
    "-c enable_mergejoin=off",
)
_LOCK: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('replicator:' || current_schema(), 0))"
)
_WRITES: Final = "replicator_writes"


class _BinaryCursor(psycopg.Cursor[Any]):
    """Asks for results in binary: content would otherwise travel in hexadecimal."""

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = Format.BINARY


def parse_url(url: str) -> URL:
    """Return a database URL.

    Raises:
        ConfigurationError: it is neither ``sqlite:///path`` nor ``postgresql+psycopg://…``.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ConfigurationError(
            "database_url must be sqlite:///path or postgresql+psycopg://user:password@host/name"
        )
    if parsed.drivername == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise ConfigurationError("database_url names no file: write sqlite:////path/to/file.db")
        if dict(parsed.query) not in ({}, *({"synchronous": mode} for mode in _SYNCHRONOUS)):
            raise ConfigurationError("database_url: only ?synchronous=normal or full may follow")
    return parsed


class Database:
    """A database and the transactions in it; threads may share one, and so may forked processes.

    Args:
        url: ``sqlite:///path[?synchronous=full]`` or ``postgresql+psycopg://…``. Nothing is
            opened before the first transaction.
        read_only: refuse every write.
        migrates: make the SQLite file where it is missing, and let the tables be inspected.

    Raises:
        ConfigurationError: the URL is of another kind.
    """

    def __init__(self, url: str, *, read_only: bool = False, migrates: bool = False) -> None:
        parsed = parse_url(url)
        if parsed.drivername == "sqlite":
            self._engine = _sqlite_engine(parsed, read_only=read_only, create=migrates)
        else:
            self._engine = _postgres_engine(parsed, read_only=read_only, binary=not migrates)
        self._url = parsed
        self._process = os.getpid()
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)})"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that reads.

        Raises:
            StoreUnavailable, ConfigurationError: see `translated`.
        """
        with translated(), self._connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes: alone, committed at the end, undone by an error.

        Every write of the store goes through here; see the module's invariants.

        Raises:
            StoreUnavailable, ConfigurationError: see `translated`.
        """
        with self._take_turn(), translated(), self._connect() as connection:
            chosen = connection.execution_options(**{_WRITES: True})
            with chosen.begin():
                yield chosen

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        self._engine.dispose(close=False)
        self._process = os.getpid()
        self._turn = threading.Lock()

    def _connect(self) -> Connection:
        self._notice_fork()
        return self._engine.connect()

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            self.after_fork()

    @contextmanager
    def _take_turn(self) -> Iterator[None]:
        """Let the writers of this process take turns, before they ask the database for the lock.

        SQLite has those who wait for its lock look again every few milliseconds, so that a thread
        which writes batch after batch could keep others out for long.
        """
        self._notice_fork()
        turn = self._turn
        if not turn.acquire(timeout=BUSY_SECONDS):
            raise StoreUnavailable(f"no turn to write within {BUSY_SECONDS} seconds")
        try:
            yield
        finally:
            turn.release()


def _sqlite_engine(url: URL, *, read_only: bool, create: bool) -> Engine:
    synchronous = url.query.get("synchronous", "normal")
    file = Path(url.database or "").absolute().as_uri()
    uri = f"{file}?mode={'rwc' if create else 'rw'}"
    pragmas = [*_SQLITE_PRAGMAS, f"PRAGMA synchronous = {synchronous}"]
    pragmas.append("PRAGMA query_only = ON" if read_only else "PRAGMA journal_mode = WAL")
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False
        ),
        poolclass=QueuePool,
        hide_parameters=True,
        pool_size=8,
        max_overflow=CONNECTIONS_MAX - 8,
        pool_timeout=BUSY_SECONDS,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where we say so, below
        for pragma in pragmas:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres_engine(url: URL, *, read_only: bool, binary: bool) -> Engine:
    options = (
        [*_POSTGRES_OPTIONS, "-c default_transaction_read_only=on"]
        if read_only
        else [*_POSTGRES_OPTIONS]
    )
    given = url.query.get("options")
    if given:
        options.append(given if isinstance(given, str) else " ".join(given))
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=8,
        max_overflow=CONNECTIONS_MAX - 8,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "options": " ".join(options),
            "application_name": "replicator",
            "cursor_factory": _BinaryCursor if binary else psycopg.Cursor,
        },
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES, False):
            connection.exec_driver_sql(_LOCK)

    return engine


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours, at the edge.

    Raises:
        StoreUnavailable: no connection, no lock in time, the disk is full, the server went away.
        ConfigurationError: the tables are not there, or the file is no database.
    """
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        if "no such table" in reason or "unable to open database file" in reason:
            raise ConfigurationError(
                f"the database is not set up ({reason}): run `replicator migrate`"
            ) from error
        raise StoreUnavailable(f"the database does not answer: {reason}") from error
    except exc.ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise ConfigurationError(
                "the database is not set up: run `replicator migrate`"
            ) from error
        raise
    except exc.DBAPIError as error:
        if "file is not a database" in str(error.orig):
            raise ConfigurationError(
                "the file of database_url is not a database: name another one"
            ) from error
        if error.connection_invalidated:
            raise StoreUnavailable("the connection to the database broke") from error
        raise
