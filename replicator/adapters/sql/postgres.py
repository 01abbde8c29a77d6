"""The SQLAlchemy engine of a PostgreSQL database, through psycopg 3.

Loaded only where a URL asks for it: the driver costs each process of a node some 8 MB.
"""

from typing import Any, Final

import psycopg
from psycopg.pq import Format
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from replicator.adapters.sql.bounds import BUSY_SECONDS, CONNECTIONS_MAX, WRITES

_OPTIONS: Final = (
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


class _BinaryCursor(psycopg.Cursor[Any]):
    """Asks for results in binary: content would otherwise travel in hexadecimal."""

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = Format.BINARY


def make_engine(url: URL, *, read_only: bool, binary: bool) -> Engine:
    """Return an engine of the database that a parsed URL names; nothing is opened yet."""
    options = [*_OPTIONS, "-c default_transaction_read_only=on"] if read_only else [*_OPTIONS]
    given = url.query.get("options")
    if given:
        options.append(given if isinstance(given, str) else " ".join(given))
    engine = create_engine(
        url,
        hide_parameters=True,
        # whatever the server's default is: a writer must see what was committed before its turn
        isolation_level="READ COMMITTED",
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
        if connection.get_execution_options().get(WRITES, False):
            connection.exec_driver_sql(_LOCK)

    return engine
