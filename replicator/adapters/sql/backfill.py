"""Ways through logs, and what they were started for: small tables, plain statements.

Runs inside a transaction that the caller opened. A way moves by compare-and-set on its cursor.
"""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import execute, insert_rows, rows_of
from replicator.adapters.sql.schema import backfill, filled
from replicator.errors import CursorConflict
from replicator.node.ports import Backfill
from replicator.protocol.ids import Cursor, NodeId

_SQL: Final = "SELECT id, peer, query, cursor, reason, created_at, posts, remaining FROM backfill"
_ANEW_SQL: Final = (
    "UPDATE backfill SET cursor = NULL, posts = 0, remaining = NULL, created_at = ?, reason = ? "
    "WHERE peer = ? AND query = ?"
)


def put_backfills(
    connection: Connection,
    peers: Collection[NodeId],
    query: str,
    started: tuple[str, int],
    backfills_max: int,
) -> list[NodeId]:
    """Note ways with one query; return the peers for which one is noted.

    Args:
        started: the reason, and when (ms).
    """
    reason, now = started
    ((count, last),) = rows_of(connection, "SELECT count(*), max(id) FROM backfill")
    noted: list[NodeId] = []
    for peer in sorted(set(peers)):
        if not execute(connection, _ANEW_SQL, now, reason, peer, query):
            if count >= backfills_max:
                continue
            count, last = count + 1, (last or 0) + 1
            row = (last, peer, query, None, now, reason, 0, None)
            insert_rows(connection, backfill, [row])
        noted.append(peer)
    return noted


def read_backfills(connection: Connection, peer: NodeId | None) -> list[Backfill]:
    """Return ways (of one peer), the oldest first."""
    if peer is None:
        rows = rows_of(connection, f"{_SQL} ORDER BY id")
    else:
        rows = rows_of(connection, f"{_SQL} WHERE peer = ? ORDER BY id", peer)
    return [_backfill(*row) for row in rows]


def _backfill(
    row_id: int, peer: str, query: str, cursor: str | None, reason: str, *numbers: Any
) -> Backfill:
    after = None if cursor is None else Cursor(cursor)
    return Backfill(row_id, NodeId(peer), query, after, reason, *numbers)


def move_cursor(
    connection: Connection, job: Backfill, after: Cursor | None, posts: int, remaining: int | None
) -> None:
    """Move a way by compare-and-set; back at the epoch its counts start anew."""
    total = 0 if after is None else job.posts + posts
    _check_at(connection, job)
    statement = "UPDATE backfill SET cursor = ?, posts = ?, remaining = ? WHERE id = ?"
    execute(connection, statement, after, total, remaining, job.id)


def remove_backfill(connection: Connection, job: Backfill) -> None:
    """Forget a way by compare-and-set."""
    _check_at(connection, job)
    execute(connection, "DELETE FROM backfill WHERE id = ?", job.id)


def _check_at(connection: Connection, job: Backfill) -> None:
    # writers are alone, so that what is read here stays true
    statement = "SELECT cursor FROM backfill WHERE id = ? AND peer = ? AND query = ?"
    rows = rows_of(connection, statement, job.id, job.peer, job.query)
    if not rows or rows[0][0] != job.cursor:
        raise CursorConflict(f"the backfill from {job.peer} is not where it was any more")


def read_filled(connection: Connection) -> set[str]:
    """Return for what ways were started."""
    return {row[0] for row in rows_of(connection, "SELECT name FROM filled")}


def put_filled(connection: Connection, names: Collection[str], now: int) -> None:
    """Note for what ways were started, and nothing else."""
    before = read_filled(connection)
    for name in sorted(before - set(names)):
        execute(connection, "DELETE FROM filled WHERE name = ?", name)
    insert_rows(connection, filled, [(name, now) for name in sorted(set(names) - before)])
