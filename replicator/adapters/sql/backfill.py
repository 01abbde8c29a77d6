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


def put_backfills(
    connection: Connection,
    peers: Collection[NodeId],
    query: str,
    started: tuple[str, int],
    widened: tuple[int, tuple[str, str]] | None,
) -> None:
    """Note ways with one query.

    Args:
        started: the reason, and when (ms).
        widened: how many ways one peer may have, and two queries for everything; None: any number.
    """
    reason, now = started
    ((last,),) = rows_of(connection, "SELECT max(id) FROM backfill")
    for row_id, peer in enumerate(sorted(set(peers)), (last or 0) + 1):
        # a new number each time: whoever is under way with the one before saves nothing more
        noted = _make_place(connection, peer, query, widened)
        insert_rows(connection, backfill, [(row_id, peer, noted, None, now, reason, 0, None)])


def _make_place(
    connection: Connection,
    peer: NodeId,
    query: str,
    widened: tuple[int, tuple[str, str]] | None,
) -> str:
    """Remove what a new way takes the place of; return what that is to look for."""
    statement = "SELECT query FROM backfill WHERE peer = ? ORDER BY id"
    queries = [row[0] for row in rows_of(connection, statement, peer)]
    if query in queries:
        execute(connection, "DELETE FROM backfill WHERE peer = ? AND query = ?", peer, query)
    elif widened is not None and len(queries) >= widened[0]:
        oldest = queries[0]
        execute(connection, "DELETE FROM backfill WHERE peer = ? AND query <> ?", peer, oldest)
        first, second = widened[1]
        return second if oldest == first else first
    return query


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
