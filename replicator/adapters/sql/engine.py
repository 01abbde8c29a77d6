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
from importlib import import_module
from typing import Final

from sqlalchemy import Connection, Engine, exc
from sqlalchemy.engine import URL, make_url

from replicator.adapters.sql import sqlite
from replicator.adapters.sql.bounds import BUSY_SECONDS, WRITES
from replicator.errors import ConfigurationError, StoreFull, StoreUnavailable

_SYNCHRONOUS: Final = ("normal", "full")
_UNDEFINED_TABLE: Final = "42P01"
"""SQLSTATE of a table that is not there (PostgreSQL, appendix A)."""
_DISK_FULL: Final = "53100"
"""SQLSTATE of a disk without room."""
_PRIMARY_CODE: Final = 0xFF
"""The part of an SQLite result code that names the error; the rest says more about it."""
_POSTGRES: Final = "replicator.adapters.sql.postgres"
"""Loaded where a URL asks for it: what it needs would be a burden to those who use SQLite."""


def parse_url(url: str) -> URL:
    """Return a database URL.

    Raises:
        ConfigurationError: it is neither ``sqlite:///path`` nor ``postgresql+psycopg://…``.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # the latter: a port that is no number
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
            self._engine: Engine = sqlite.make_engine(parsed, read_only=read_only, create=migrates)
        else:
            postgres = import_module(_POSTGRES)
            self._engine = postgres.make_engine(parsed, read_only=read_only, binary=not migrates)
        self.url = parsed
        self._process = os.getpid()
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)})"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that reads.

        Raises:
            StoreUnavailable, ConfigurationError: see `translated`.
        """
        with translated(), self._connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def viewing(self) -> Iterator[Connection]:
        """Open a transaction that reads, all of whose statements see the same moment.

        Raises:
            StoreUnavailable, ConfigurationError: see `translated`.
        """
        with translated(), self._connect() as connection:
            if connection.dialect.name != "sqlite":  # which does so anyway
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes: alone, committed at the end, undone by an error.

        Every write of the store goes through here; see the module's invariants.

        Raises:
            StoreUnavailable, ConfigurationError: see `translated`.
        """
        with self._take_turn(), translated(), self._connect() as connection:
            chosen = connection.execution_options(**{WRITES: True})
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


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours, at the edge.

    Raises:
        StoreFull: the disk, or what the database may use of it, is full.
        StoreUnavailable: no connection, no lock in time, the server went away.
        ConfigurationError: the tables are not there, or the file is no database.
    """
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        if _is_full(error):
            raise StoreFull(f"the database has no room: {reason}") from error
        if "no such table" in reason or "unable to open database file" in reason:
            raise ConfigurationError(
                f"the database is not set up ({reason}): run `replicator migrate`"
            ) from error
        raise StoreUnavailable(f"the database does not answer: {reason}") from error
    except exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
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


def _is_full(error: Exception) -> bool:
    cause = getattr(error, "orig", None)
    code = getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return code == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == _DISK_FULL
