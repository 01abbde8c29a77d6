"""The SQLAlchemy engine of a SQLite file: a write-ahead log, and transactions begun on our word.

What ``synchronous`` promises is written in `engine`.
"""

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from replicator.adapters.sql.bounds import BUSY_SECONDS, CONNECTIONS_MAX, WRITES

_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    "PRAGMA cache_size = -4096",  # 4 MiB per connection, of which a process may have many
    "PRAGMA wal_autocheckpoint = 4000",  # 16 MiB: random index pages are written once, not often
    "PRAGMA journal_size_limit = 67108864",  # a log that grew under a long reader shrinks again
    "PRAGMA temp_store = MEMORY",
)


def make_engine(url: URL, *, read_only: bool, create: bool) -> Engine:
    """Return an engine of the file that a parsed URL names; nothing is opened yet."""
    synchronous = url.query.get("synchronous", "normal")
    file = Path(url.database or "").absolute().as_uri()
    uri = f"{file}?mode={'rwc' if create else 'rw'}"
    pragmas = [*_PRAGMAS, f"PRAGMA synchronous = {synchronous}"]
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
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
