"""Blocks: what is blocked, and the bounded steps by which posts go and decisions are forgotten.

Runs inside a transaction that the caller opened. A row counts unless it ends (`BLOCK_ENDS`); a row
that begins or ends has work left, and whoever calls `apply` next goes on with it.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import (
    delete_among,
    execute,
    put_rows,
    rows_among,
    rows_of,
)
from replicator.adapters.sql.forgetting import forget_decisions, have_rivals_judged
from replicator.adapters.sql.pins import have_judged
from replicator.adapters.sql.removing import DOOMED_SQL, Doomed, take_out
from replicator.adapters.sql.schema import (
    BLOCK_BEGINS,
    BLOCK_ENDS,
    BLOCK_STANDS,
    block,
    gap,
    quarantine,
)
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.ports import Block, BlockName, Covered
from replicator.node.ports.moderation_store import blocked_ids
from replicator.protocol.ids import Digest, GlobalId, NodeId, origin_of
from replicator.protocol.post import Ref

BLOCKED: Final = "blocked"
_ROW_SQL: Final = "SELECT value, kind, blocked_at, reason, state FROM block"
_AT_WORK_SQL: Final = f"{_ROW_SQL} WHERE state = ? ORDER BY kind, value LIMIT ?"
_DECIDED_SQL: Final = "SELECT published, digest, global_id, reason FROM decision"
_HEX: Final = {"sqlite": "lower(hex(decision.digest))", "postgresql": "encode(digest, 'hex')"}

_Row = tuple[str, str, int, str, int]


def blocked_among(connection: Connection, refs: Collection[Ref]) -> set[Digest]:
    """Return the digests of refs whose digest, id or origin is blocked; one look where none is."""
    if not rows_of(connection, "SELECT 1 FROM block LIMIT 1"):
        return set()
    values = {value for ref in refs for value in (ref.digest, ref.id, origin_of(ref.id))}
    standing = _standing(connection, values)
    return {
        ref.digest
        for ref in refs
        if ("digest", ref.digest) in standing
        or ("id", ref.id) in standing
        or ("node", origin_of(ref.id)) in standing
    }


def _standing(connection: Connection, values: Collection[str]) -> set[tuple[str, str]]:
    rows = rows_among(connection, _ROW_SQL, "value", "text", values)
    return {(kind, value) for value, kind, _, _, state in rows if state != BLOCK_ENDS}


def add_rows(
    connection: Connection, names: Collection[BlockName], reason: str, now: int, limits: Limits
) -> int:
    """Block; return how many were not blocked before."""
    standing = _standing(connection, {name.value for name in names})
    new = sorted({name for name in names if (name.kind, name.value) not in standing})
    put_rows(connection, block, [(n.value, n.kind, now, reason, BLOCK_BEGINS) for n in new])
    ((count,),) = rows_of(connection, "SELECT count(*) FROM block")
    if new and count > limits.blocks_max:
        raise ConfigurationError(
            f"{count:,} blocks would stand, more than limits.blocks_max ({limits.blocks_max:,})"
        )
    return len(new)


def lift_rows(connection: Connection, names: Collection[BlockName]) -> int:
    """Let blocks count no more; return how many stood."""
    wanted = {(name.kind, name.value) for name in names}
    rows = rows_among(connection, _ROW_SQL, "value", "text", {value for _, value in wanted})
    ending = [row for row in rows if (row[1], row[0]) in wanted and row[4] != BLOCK_ENDS]
    _set_state(connection, ending, BLOCK_ENDS)
    return len(ending)


def _set_state(connection: Connection, rows: Sequence[_Row], state: int) -> None:
    put_rows(connection, block, [(*row[:4], state) for row in rows])


def read_blocks(connection: Connection) -> list[Block]:
    """Return all blocks that count, by kind and value."""
    rows = rows_of(connection, f"{_ROW_SQL} WHERE state <> ? ORDER BY kind, value", BLOCK_ENDS)
    return [
        Block(BlockName(kind, value), reason, at, state == BLOCK_STANDS)
        for value, kind, at, reason, state in rows
    ]


def apply(connection: Connection, now: int, limits: Limits) -> int:
    """Do one step (see `ModerationStore.apply_blocks`)."""
    most = limits.expire_items_max
    rows = rows_of(connection, _AT_WORK_SQL, BLOCK_BEGINS, most)
    if rows:
        return _begin(connection, rows, now, most)
    rows = rows_of(connection, _AT_WORK_SQL, BLOCK_ENDS, most)
    return _end(connection, rows, most) if rows else 0


def _named(rows: Sequence[_Row]) -> list[BlockName]:
    return [BlockName(kind, value) for value, kind, *_ in rows]  # type: ignore[arg-type]  # of ours


def _begin(connection: Connection, rows: Sequence[_Row], now: int, most: int) -> int:
    exact = [row for row in rows if row[1] != "node"]
    if exact:
        names = _named(exact)
        doomed = _held(connection, names)
        take_out(connection, doomed, BLOCKED, now)
        _drop_work(connection, names)
        _set_state(connection, exact, BLOCK_STANDS)
        return len(exact) + len(doomed)
    node = rows[0][0]
    statement = " ".join((DOOMED_SQL, "WHERE node = ? ORDER BY published LIMIT ?"))
    doomed = [Doomed(*row) for row in rows_of(connection, statement, node, most)]
    take_out(connection, doomed, BLOCKED, now)
    left = len(doomed) == most or _drop_of_node(connection, node, most)
    if not left:
        _set_state(connection, rows[:1], BLOCK_STANDS)
    return len(doomed) + 1


def _held(connection: Connection, names: Collection[BlockName]) -> list[Doomed]:
    """Return held posts by digests and ids, each once."""
    raw = list(map(bytes.fromhex, blocked_ids(names, "digest")))
    found = rows_among(connection, DOOMED_SQL, "digest", "bytea", raw)
    found += rows_among(connection, DOOMED_SQL, "global_id", "text", blocked_ids(names, "id"))
    return sorted({Doomed(*row) for row in found})


def _drop_work(connection: Connection, names: Collection[BlockName]) -> None:
    """Forget copies in quarantine and gaps of digests and ids."""
    raw = list(map(bytes.fromhex, blocked_ids(names, "digest")))
    ids = blocked_ids(names, "id")
    origins = {origin_of(GlobalId(post_id)) for post_id in ids}
    copies = rows_among(
        connection, "SELECT id, global_id FROM quarantine", "origin", "text", origins
    )
    wanted = set(ids)
    numbers = [number for number, post_id in copies if post_id in wanted]
    delete_among(connection, quarantine, "id", "bigint", numbers)
    delete_among(connection, quarantine, "digest", "bytea", raw)
    delete_among(connection, gap, "digest", "bytea", raw)
    if ids and rows_of(connection, "SELECT 1 FROM gap LIMIT 1"):
        delete_among(connection, gap, "global_id", "text", ids)


def _drop_of_node(connection: Connection, node: str, most: int) -> bool:
    """Forget copies in quarantine and gaps of an origin; tell whether some are left."""
    some = "SELECT id FROM quarantine WHERE origin = ? LIMIT ?"
    copies = [row[0] for row in rows_of(connection, some, node, most)]
    delete_among(connection, quarantine, "id", "bigint", copies)
    of_node = "DELETE FROM gap WHERE global_id > ? AND global_id < ?"
    execute(connection, of_node, *_span(node))
    return len(copies) == most


def _span(node: str) -> tuple[str, str]:
    # ids of an origin's posts begin with its id and a slash, which the character 0 follows
    return f"{node}/", f"{node}0"


def _end(connection: Connection, rows: Sequence[_Row], most: int) -> int:
    """Forget what blocks decided; posts of these origins are judged anew, and looked for."""
    exact = [row for row in rows if row[1] != "node"]
    if exact:
        names = _named(exact)
        decided = _decided(connection, names)
        refs = [Ref(row[2], Digest(row[1].hex()), row[0], 0) for row in decided]
        covered = blocked_among(connection, refs)
        free = [row for row, ref in zip(decided, refs, strict=True) if ref.digest not in covered]
        ended: Sequence[_Row] = exact
        origins = {origin_of(GlobalId(row[2])) for row in free}
        origins |= {origin_of(GlobalId(post_id)) for post_id in blocked_ids(names, "id")}
    else:
        free = _free_of_node(connection, rows[0][0], most)
        ended = rows[:1] if len(free) < most else []
        origins = {NodeId(value) for value, *_ in ended}
    forget_decisions(connection, [(row[0], row[1]) for row in free])
    have_rivals_judged(connection, {row[2] for row in free})
    for origin in sorted(origins):
        have_judged(connection, origin, found=True)
    _drop_rows(connection, ended)
    return len(exact or rows[:1]) + len(free)


def _drop_rows(connection: Connection, rows: Sequence[_Row]) -> None:
    for value, kind, *_ in rows:
        execute(connection, "DELETE FROM block WHERE value = ? AND kind = ?", value, kind)


def _decided(connection: Connection, names: Collection[BlockName]) -> list[Any]:
    """Return what blocks of digests and ids decided, each once."""
    raw = list(map(bytes.fromhex, blocked_ids(names, "digest")))
    rows = rows_among(connection, _DECIDED_SQL, "digest", "bytea", raw)
    rows += rows_among(connection, _DECIDED_SQL, "global_id", "text", blocked_ids(names, "id"))
    return sorted({tuple(row) for row in rows if row[3] == BLOCKED})


def _free_of_node(connection: Connection, node: str, most: int) -> list[Any]:
    """Return some of what the block of a node decided, and no other block that counts."""
    digest = _HEX[connection.dialect.name]
    statement = (
        f"{_DECIDED_SQL} WHERE global_id > ? AND global_id < ? AND reason = ? AND NOT EXISTS"  # noqa: S608  # constants
        f" (SELECT 1 FROM block WHERE state <> ? AND"
        f" (value = decision.global_id OR value = {digest}) AND kind <> 'node')"
        " ORDER BY global_id LIMIT ?"
    )
    return list(rows_of(connection, statement, *_span(node), BLOCKED, BLOCK_ENDS, most))


def count_covered(connection: Connection, names: Collection[BlockName]) -> Covered:
    """Return what names stand for (see `ModerationStore.covered`)."""
    nodes = blocked_ids(names, "node")
    among = set(nodes)
    posts = sum(row.node not in among for row in _held(connection, names))
    of_nodes = rows_among(connection, "SELECT posts FROM origin", "node", "text", nodes)
    posts += sum(count for (count,) in of_nodes)
    number = sum(origin_of(row[2]) not in among for row in _decided(connection, names))
    for node in nodes:
        statement = (
            "SELECT count(*) FROM decision WHERE global_id > ? AND global_id < ? AND reason = ?"
        )
        ((count,),) = rows_of(connection, statement, *_span(node), BLOCKED)
        number += count
    return Covered(posts, number)
