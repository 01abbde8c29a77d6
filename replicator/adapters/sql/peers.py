"""Peers, their cursors and gaps: small tables, plain statements.

Runs inside a transaction that the caller opened. Cursors move by compare-and-set: whoever comes
second changes nothing and is told so.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from replicator.adapters.sql.bulk import delete_among, rows_among
from replicator.adapters.sql.lookups import known_digests
from replicator.adapters.sql.schema import (
    backfill,
    gap,
    key_serial,
    member,
    node_key,
    peer,
    peer_pool,
    quarantine,
)
from replicator.errors import CursorConflict
from replicator.node.ports import Peer
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Ref

_PEER_SQL: Final = (
    "SELECT node, address, pushed, pulled, clock_offset_ms, paused, added_at FROM peer"
)
_POOL_SQL: Final = "SELECT node, key FROM peer_pool"


def read_peers(connection: Connection) -> list[Peer]:
    """Return all peers, ordered by id."""
    rows = connection.exec_driver_sql(_PEER_SQL).fetchall()
    return _with_pools(rows, connection.exec_driver_sql(_POOL_SQL).fetchall())


def read_peer(connection: Connection, node: NodeId) -> Peer | None:
    """Return one peer, or None; every request that a node answers comes by here."""
    rows = rows_among(connection, _PEER_SQL, "node", "text", [node])
    found = _with_pools(rows, rows_among(connection, _POOL_SQL, "node", "text", [node]))
    return found[0] if found else None


def _with_pools(rows: Sequence[Any], memberships: Sequence[Any]) -> list[Peer]:
    pools: dict[str, set[KeyText]] = defaultdict(set)
    for node, key in memberships:
        pools[node].add(KeyText(key))
    return [
        Peer(
            id=NodeId(node),
            address=address,
            pools=frozenset(pools[node]),
            pushed=pushed,
            pulled=None if pulled is None else Cursor(pulled),
            clock_offset_ms=clock_offset_ms,
            paused=bool(paused),
            added_at=added_at,
        )
        for node, address, pushed, pulled, clock_offset_ms, paused, added_at in sorted(
            map(tuple, rows), key=lambda row: row[0]
        )
    ]


def put_peer(
    connection: Connection,
    node: NodeId,
    address: str | None,
    now: int,
    peers_max: int | None = None,
) -> bool:
    """Add a peer, or give a known one another address; False where there is no place."""
    known = connection.scalar(select(func.count()).where(peer.c.node == node))
    if not known:
        if peers_max is not None and _count_peers(connection) >= peers_max:
            return False
        connection.execute(
            insert(peer).values(
                node=node, address=address, pushed=0, clock_offset_ms=0, paused=False, added_at=now
            )
        )
    elif address is not None:
        connection.execute(update(peer).where(peer.c.node == node).values(address=address))
    return True


def _count_peers(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(peer)) or 0


def put_memberships(connection: Connection, node: NodeId, pools: Collection[KeyText]) -> bool:
    """Note memberships of a peer; where one is new its cursors start again (True)."""
    held = set(connection.scalars(select(peer_pool.c.key).where(peer_pool.c.node == node)))
    new = sorted(set(pools) - held)
    if not new:
        return False
    put_peer(connection, node, None, 0)
    connection.execute(insert(peer_pool), [{"node": node, "key": key} for key in new])
    connection.execute(update(peer).where(peer.c.node == node).values(pushed=0, pulled=None))
    return True


def set_peer(connection: Connection, node: NodeId, **values: Any) -> None:
    """Change columns of a peer; a node that is no peer stays none."""
    connection.execute(update(peer).where(peer.c.node == node).values(**values))


def remove_peer(connection: Connection, node: NodeId) -> bool:
    """Remove a peer with all that is kept of it but posts and revoked keys; False: it was none."""
    pins = delete(node_key).where(node_key.c.node == node, node_key.c.state != "revoked")
    removed = connection.execute(pins).rowcount
    removed += connection.execute(delete(peer).where(peer.c.node == node)).rowcount
    for table in (key_serial, peer_pool, gap, member):
        connection.execute(delete(table).where(table.c.node == node))
    connection.execute(delete(quarantine).where(quarantine.c.deliverer == node))
    connection.execute(delete(backfill).where(backfill.c.peer == node))
    return removed > 0


def move_pushed(connection: Connection, node: NodeId, before: int, after: int) -> None:
    """Move a lane's cursor by compare-and-set."""
    at = update(peer).where(peer.c.node == node, peer.c.pushed == before)
    if connection.execute(at.values(pushed=after)).rowcount != 1:
        raise CursorConflict(f"the lane to {node} is not at {before} any more")


def move_pulled(
    connection: Connection, node: NodeId, before: Cursor | None, after: Cursor | None
) -> None:
    """Move a pull cursor by compare-and-set."""
    at = update(peer).where(peer.c.node == node, peer.c.pulled.is_not_distinct_from(before))
    if connection.execute(at.values(pulled=after)).rowcount != 1:
        raise CursorConflict(f"the pull from {node} is not where it began any more")


def put_gaps(connection: Connection, node: NodeId, refs: Sequence[Ref], gaps_max: int) -> None:
    """Note refs of a holder that are still missing; those that are decided are not kept."""
    by_digest = {ref.digest: ref for ref in refs}
    noted = connection.execute(
        select(gap.c.digest).where(
            gap.c.node == node, gap.c.digest.in_([bytes.fromhex(ref) for ref in by_digest])
        )
    )
    skip = known_digests(connection, by_digest) | {Digest(row.digest.hex()) for row in noted}
    rows = [
        {
            "node": node,
            "digest": bytes.fromhex(ref.digest),
            "global_id": ref.id,
            "published": ref.published,
            "size": ref.size,
        }
        for ref in by_digest.values()
        if ref.digest not in skip
    ]
    if rows:
        connection.execute(insert(gap), rows)
        _drop_oldest_gaps(connection, node, gaps_max)


def _drop_oldest_gaps(connection: Connection, node: NodeId, gaps_max: int) -> None:
    surplus = select(gap.c.id).where(gap.c.node == node).order_by(gap.c.id.desc())
    oldest_dropped = connection.scalar(surplus.offset(gaps_max).limit(1))
    if oldest_dropped is not None:
        connection.execute(delete(gap).where(gap.c.node == node, gap.c.id <= oldest_dropped))


def read_gaps(connection: Connection, node: NodeId, limit: int) -> list[Ref]:
    """Return missing refs of a holder, oldest first."""
    rows = connection.execute(select(gap).where(gap.c.node == node).order_by(gap.c.id).limit(limit))
    return [
        Ref(GlobalId(row.global_id), Digest(row.digest.hex()), row.published, row.size)
        for row in rows
    ]


def remove_gaps(connection: Connection, node: NodeId, digests: Collection[Digest]) -> None:
    """Forget gaps of one holder."""
    raw = list(map(bytes.fromhex, digests))
    head = "SELECT id, node FROM gap"
    ids = [row[0] for row in rows_among(connection, head, "digest", "bytea", raw) if row[1] == node]
    delete_among(connection, gap, "id", "bigint", ids)
