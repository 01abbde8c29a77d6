"""Introductions of pool members: a small table, plain statements.

Runs inside a transaction that the caller opened. Documents are read of those members alone that
are given.
"""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import delete_among, execute, put_rows, rows_among, rows_of
from replicator.adapters.sql.schema import member
from replicator.node.ports import Member
from replicator.protocol.ids import KeyText, NodeId

_MEMBER_SQL: Final = "SELECT node, pools, document, time, offered FROM member"


def note_member(connection: Connection, given: Member, now: int, entries_max: int) -> bool:
    """Keep an introduction; False where a newer or equal one is kept already."""
    kept = rows_of(connection, "SELECT time FROM member WHERE node = ?", given.node)
    if kept and kept[0][0] >= given.time:
        return False
    pools = " ".join(sorted(given.pools))
    row = (given.node, pools, given.time, now, given.offered, given.document)
    put_rows(connection, member, [row])
    if not kept:
        _drop_surplus(connection, given.node, entries_max)
    return True


def _drop_surplus(connection: Connection, newest: NodeId, entries_max: int) -> None:
    ((count,),) = rows_of(connection, "SELECT count(*) FROM member")
    if count > entries_max:
        oldest = "SELECT node FROM member WHERE node <> ? ORDER BY noted_at, node LIMIT ?"
        gone = [row[0] for row in rows_of(connection, oldest, newest, count - entries_max)]
        delete_among(connection, member, "node", "text", gone)


def read_members(
    connection: Connection, pool: KeyText | None, after: NodeId | None, limit: int
) -> list[Member]:
    """Return introductions (of one pool), by node id after ``after``."""
    names = "SELECT node, pools FROM member WHERE node > ? ORDER BY node"
    rows = rows_of(connection, names, after or "")
    chosen = [node for node, pools in rows if pool is None or pool in pools.split()][:limit]
    found = read_introductions(connection, chosen)
    return [found[node] for node in chosen]


def read_introductions(connection: Connection, nodes: Collection[NodeId]) -> dict[NodeId, Member]:
    """Return the kept introductions of ``nodes``."""
    found = map(_member, rows_among(connection, _MEMBER_SQL, "node", "text", nodes))
    return {one.node: one for one in found}


def _member(row: Any) -> Member:
    node, pools, document, time, offered = row
    return Member(
        node=NodeId(node),
        pools=frozenset(map(KeyText, pools.split())),
        document=document,
        time=time,
        offered=bool(offered),
    )


def drop_members(connection: Connection, before: int) -> int:
    """Forget introductions not renewed since ``before``; return how many."""
    return execute(connection, "DELETE FROM member WHERE noted_at < ?", before)
