"""Taking posts out: with their tags, pools, announcements and log entries.

Runs inside a transaction that is alone. A sequence is never drawn twice: where the last entry of
the log goes, the log's own row remembers how far it had come.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import (
    delete_among,
    execute,
    insert_rows,
    put_rows,
    rows_among,
    rows_of,
)
from replicator.adapters.sql.packing import packed_signers
from replicator.adapters.sql.schema import (
    announcement,
    change,
    decision,
    origin,
    post,
    post_pool,
    post_tag,
)
from replicator.adapters.sql.summary import leave_sets

_COUNTS_SQL: Final = "SELECT node, posts, size, floor FROM origin"


DOOMED_SQL: Final = "SELECT id, digest, published, node, size, global_id, signatures FROM post"
"""What `Doomed` is made of."""


class Doomed(NamedTuple):
    """A post that is to go."""

    id: int
    digest: bytes
    published: int
    node: str
    size: int
    global_id: str
    signatures: bytes


class LogState(NamedTuple):
    """What a write has to know first: the last sequence drawn, and the floor (ms)."""

    last: int
    floor: int


def log_state(connection: Connection) -> LogState:
    """Return the state of the log."""
    rows = rows_of(connection, "SELECT last, floor, (SELECT max(sequence) FROM change) FROM log")
    if not rows:
        return LogState(0, 0)
    kept, floor, newest = rows[0]
    return LogState(max(kept, newest or 0), floor)


def last_sequence(connection: Connection) -> int:
    """Return the last sequence drawn, 0 where there is none."""
    return log_state(connection).last


def take_out(connection: Connection, doomed: Sequence[Doomed], reason: str, now: int) -> None:
    """Remove posts and their counts; from the floor on they are decided against for ``reason``."""
    if not doomed:
        return
    floor = log_state(connection).floor
    remove_posts(connection, [row.id for row in doomed])
    count_posts(connection, (), [(row.node, row.size) for row in doomed])
    remembered = [
        (row.digest, reason, now, row.published, row.global_id, packed_signers(row.signatures))
        for row in doomed
        if row.published >= floor
    ]
    insert_rows(connection, decision, remembered)


def let_go(connection: Connection, doomed: Sequence[Doomed]) -> None:
    """Remove posts as if they had never been seen: they leave the reconciled sets as well."""
    remove_posts(connection, [row.id for row in doomed])
    count_posts(connection, (), [(row.node, row.size) for row in doomed])
    leave_sets(connection, [(row.published, row.digest) for row in doomed])


def remove_posts(connection: Connection, ids: Collection[int]) -> None:
    """Remove posts by surrogate id, with all that hangs on them but what `reconciled` tells."""
    if not ids:
        return
    shown = rows_among(connection, "SELECT sequence FROM post_pool", "post", "bigint", ids)
    # the entry that added a post has its id; one for each further pool stands with the pool
    entries = {*ids, *(row[0] for row in shown)}
    last = last_sequence(connection)
    if last in entries:
        execute(connection, "UPDATE log SET last = ?", last)
    delete_among(connection, change, "sequence", "bigint", entries)
    for table in (announcement, post_pool, post_tag):
        delete_among(connection, table, "post", "bigint", ids)
    delete_among(connection, post, "id", "bigint", ids)


def count_posts(
    connection: Connection, added: Iterable[tuple[str, int]], removed: Iterable[tuple[str, int]]
) -> None:
    """Keep the counts of origins; both lists name the (origin, size) of posts."""
    deltas: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for sign, entries in ((1, added), (-1, removed)):
        for node, size in entries:
            delta = deltas[node]
            delta[0] += sign
            delta[1] += sign * size
    before = {row[0]: row for row in rows_among(connection, _COUNTS_SQL, "node", "text", deltas)}
    put_rows(connection, origin, [_counted(node, before, deltas[node]) for node in sorted(deltas)])


def _counted(
    node: str, before: dict[str, Sequence[Any]], delta: Sequence[int]
) -> tuple[str, int, int, int]:
    _, posts, size, floor = before.get(node, (node, 0, 0, 0))
    return node, posts + delta[0], size + delta[1], floor
