"""Reading the change log in its order: pages for askers, lanes for peers.

Runs inside a transaction that the caller opened; writes nothing. A page reads refs first, cuts
them by number and bytes, and only then the content of those that are left. Its query walks the
log by its key and stops at the limit, or at `Limits.scan_rows_max` sequences from the next entry
on, whichever is first: any number of removed entries are passed at once. A reader of everything
sees each post once; a reader of one pool likewise; of several pools, a post that joined them at
different times may come once more (readers know it by its digest).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, exists, false, select, union

from replicator.adapters.sql.bulk import rows_among, rows_of
from replicator.adapters.sql.lookups import pool_ids
from replicator.adapters.sql.removing import last_sequence
from replicator.adapters.sql.schema import KIND_ADD, announcement, change, post, post_pool, post_tag
from replicator.limits import Limits
from replicator.node.ports import LanePage, Peer, Query
from replicator.protocol.cursor import Position, check_position, encode_cursor
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText
from replicator.protocol.messages import Filter
from replicator.protocol.post import Ref


class Found(NamedTuple):
    """What a page found: rows of (sequence, surrogate id, ref), and how far it looked."""

    rows: list[tuple[int, int, Ref]]
    upto: int
    remaining: int


def start_of(connection: Connection, log_id: bytes, after: Position | None) -> int:
    """Return the sequence after which to read; raise ``bad-cursor`` where it is not of this log."""
    if after is None:
        return 0
    entry = digest_at(connection, after.sequence)
    check_position(after, log_id, entry, last_sequence(connection))
    return after.sequence


def digest_at(connection: Connection, sequence: int) -> Digest | None:
    """Return the digest of the entry at ``sequence``, or None."""
    head = "SELECT digest FROM change"
    found = rows_among(connection, head, "sequence", "bigint", [sequence])
    return Digest(found[0][0].hex()) if found else None


def cursor_at(connection: Connection, log_id: bytes, sequence: int) -> Cursor:
    """Return the cursor after the entry at ``sequence`` (0: the epoch)."""
    return encode_cursor(log_id, sequence, digest_at(connection, sequence))


def read_page(connection: Connection, query: Query, after: int, limits: Limits) -> Found:
    """Return the next refs of the log after ``after`` that ``query`` asks for."""
    # Read before the rows: all entries up to the last one are committed and stay
    last = last_sequence(connection)
    upto = min(last, _next_entry(connection, after, last) - 1 + limits.scan_rows_max)
    statement = _rows(query, after, upto)
    if query.scopes is not None:
        pools = sorted(pool_ids(connection, query.scopes).values())
        statement = statement.where(_in_pools(pools, after, upto))
    rows = [
        (row[0], row[1], Ref(GlobalId(row[2]), Digest(row[3].hex()), row[4], row[5]))
        for row in connection.execute(statement.limit(query.limit))
    ]
    kept = _cut(rows, [row[2].size for row in rows], query.bytes_max)
    if kept and (len(kept) < len(rows) or len(rows) == query.limit):
        upto = kept[-1][0]
    return Found(kept, upto, last - upto)


def _next_entry(connection: Connection, after: int, last: int) -> int:
    """Return the sequence of the first entry after ``after``, or one beyond the last."""
    statement = "SELECT min(sequence) FROM change WHERE sequence > ?"
    found: int | None = rows_of(connection, statement, after)[0][0]
    return last + 1 if found is None else found


def _rows(query: Query, after: int, upto: int) -> Select[Any]:
    columns = (change.c.sequence, post.c.id, post.c.global_id, post.c.digest)
    statement = (
        select(*columns, post.c.published, post.c.size)
        .join_from(change, post, post.c.id == change.c.post)
        .where(change.c.sequence > after, change.c.sequence <= upto)
        .order_by(change.c.sequence)
    )
    if query.filter is not None:
        statement = statement.where(*_conditions(query.filter))
    if query.scopes is None:
        statement = statement.where(change.c.kind == KIND_ADD)
    return statement


def _in_pools(pools: Sequence[int], after: int, upto: int) -> ColumnElement[bool]:
    if not pools:
        return false()
    # The bounds say nothing new; they keep every plan of the database within the page
    return exists().where(
        post_pool.c.pool.in_(pools),
        post_pool.c.sequence == change.c.sequence,
        post_pool.c.sequence > after,
        post_pool.c.sequence <= upto,
    )


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """The rule of `rules.filters.matches`, in SQL."""
    found: list[ColumnElement[bool]] = []
    if wanted.nodes:
        found.append(post.c.node.in_(wanted.nodes))
    if wanted.except_nodes:
        found.append(post.c.node.not_in(wanted.except_nodes))
    if wanted.since is not None:
        found.append(post.c.published >= wanted.since)
    if wanted.until is not None:
        found.append(post.c.published < wanted.until)
    if wanted.threads:
        found.append(post.c.thread.in_(wanted.threads))
    if wanted.tags:
        tags = [tag for tag in wanted.tags if _may_be_a_tag(tag)]
        found.append(exists().where(post_tag.c.post == post.c.id, post_tag.c.tag.in_(tags)))
    return found


def _may_be_a_tag(tag: str) -> bool:
    """Tell whether a database takes the text at all; no post has a tag that none takes."""
    return "\0" not in tag and not any("\ud800" <= char <= "\udfff" for char in tag)


def read_lane(
    connection: Connection, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int
) -> LanePage:
    """Return what the lane to ``peer`` has to announce (see `Store.lane`).

    Reads ``limit`` rows of a table that has announced posts only: received posts cost nothing.
    """
    last = last_sequence(connection)
    ids = sorted(pool_ids(connection, pools).values())
    rows = _lane_rows(connection, ids, (peer.pushed, last), limit) if ids else []
    due = [row for row in rows if row.received_from != peer.id]
    kept = _cut(due, [row.size for row in due], bytes_max)
    if len(kept) < len(due):
        upto = kept[-1].sequence
    elif len(rows) == limit:
        upto = rows[-1].sequence
    else:
        upto = max(last, peer.pushed)
    refs = tuple(
        Ref(GlobalId(row.global_id), Digest(row.digest.hex()), row.published, row.size)
        for row in kept
    )
    return LanePage(refs, tuple(row.sequence for row in kept), upto)


def _lane_rows(
    connection: Connection, pools: list[int], span: tuple[int, int], limit: int
) -> list[Any]:
    after, upto = span
    branches = [
        select(
            select(announcement.c.sequence, announcement.c.post)
            .where(announcement.c.pool == pool_id)
            .where(announcement.c.sequence > after, announcement.c.sequence <= upto)
            .order_by(announcement.c.sequence)
            .limit(limit)
            .subquery()
        )
        for pool_id in pools
    ]
    entries = union(*branches).subquery() if len(branches) > 1 else branches[0].subquery()
    columns = (post.c.global_id, post.c.digest, post.c.published, post.c.size)
    statement = (
        select(entries.c.sequence, *columns, post.c.received_from)
        .join_from(entries, post, post.c.id == entries.c.post)
        .order_by(entries.c.sequence)
        .limit(limit)
    )
    return list(connection.execute(statement))


RowT = TypeVar("RowT")


def _cut(rows: list[RowT], sizes: Sequence[int], bytes_max: int) -> list[RowT]:
    """Return the first rows that fit ``bytes_max`` together; the first one in any case."""
    total = 0
    for index, size in enumerate(sizes):
        total += size
        if total > bytes_max and index > 0:
            return rows[:index]
    return rows


def last_cursor(connection: Connection, log_id: bytes) -> Cursor:
    """Return the cursor after the last entry."""
    return cursor_at(connection, log_id, last_sequence(connection))
