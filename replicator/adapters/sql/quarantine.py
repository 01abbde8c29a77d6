"""Copies of posts of unknown origin: one row per digest and deliverer, plain statements.

Runs inside a transaction that the caller opened. What is counted stands in covering indexes.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import (
    delete_among,
    execute,
    insert_rows,
    rows_among,
    rows_of,
)
from replicator.adapters.sql.lookups import known_digests
from replicator.adapters.sql.packing import pack_signatures, packed_keys, unpack_signatures
from replicator.adapters.sql.schema import quarantine
from replicator.limits import Limits
from replicator.node.ports import Waiting, WaitingEntry, WaitingOrigin
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId, origin_of
from replicator.protocol.post import Post, PostSignature, Ref
from replicator.rules.merging import merged_signatures
from replicator.rules.quarantine import Room

_SEEN_SQL: Final = "SELECT id, digest, deliverer, pools, signatures FROM quarantine"
_ENTRY_SQL: Final = (
    "SELECT id, global_id, digest, published, size, signatures FROM quarantine "
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_COPY_SQL: Final = (
    "SELECT id, global_id, digest, published, deliverer, pools, signatures, content FROM quarantine"
)
_COUNT_SQL: Final = "SELECT deliverer, count(*), sum(size) FROM quarantine GROUP BY deliverer"
_ORIGINS_SQL: Final = (
    "SELECT origin, deliverer, count(*), sum(size), min(noted_at) FROM quarantine "
    "GROUP BY origin, deliverer ORDER BY origin, deliverer"
)
_DECIDED_SQL: Final = (
    "DELETE FROM quarantine WHERE noted_at < ? "
    "OR digest IN (SELECT digest FROM post) OR digest IN (SELECT digest FROM decision)"
)


def put_copies(
    connection: Connection, items: Sequence[Waiting], now: int, limits: Limits
) -> set[Digest]:
    """Keep copies as far as there is room; return the digests that wait (see the port)."""
    known = known_digests(connection, {item.post.digest for item in items})
    seen = _seen(connection, {item.post.digest for item in items})
    new: dict[tuple[Digest, NodeId], Waiting] = {}
    kept: set[Digest] = set()
    room = Room(limits, _counts(connection))
    for item in items:
        place = item.post.digest, item.deliverer
        if item.post.digest in known:
            continue
        if place in seen:
            _merge(connection, seen[place], item, limits.post_signatures_max)
        elif place in new:
            new[place] = _together(new[place], item, limits.post_signatures_max)
        elif room.take(item):
            new[place] = item
        else:
            continue
        kept.add(item.post.digest)
    _insert(connection, list(new.values()), now)
    return kept


def _seen(
    connection: Connection, digests: Collection[Digest]
) -> dict[tuple[Digest, NodeId], tuple[int, str, bytes]]:
    raw = list(map(bytes.fromhex, digests))
    return {
        (Digest(digest.hex()), NodeId(deliverer)): (row_id, pools, signatures)
        for row_id, digest, deliverer, pools, signatures in rows_among(
            connection, _SEEN_SQL, "digest", "bytea", raw
        )
    }


def _counts(connection: Connection) -> dict[NodeId, tuple[int, int]]:
    return {
        NodeId(node): (int(count), int(size))
        for node, count, size in rows_of(connection, _COUNT_SQL)
    }


def _merge(
    connection: Connection, seen: tuple[int, str, bytes], item: Waiting, signatures_max: int
) -> None:
    row_id, pools, packed = seen
    before = replace(item, pools=_pools(pools), post=_with(item.post, unpack_signatures(packed)))
    merged = _together(before, item, signatures_max)
    values = _joined(merged.pools), pack_signatures(merged.post.signatures)
    if values != (pools, packed):
        statement = "UPDATE quarantine SET pools = ?, signatures = ? WHERE id = ?"
        execute(connection, statement, *values, row_id)


def _together(before: Waiting, now: Waiting, signatures_max: int) -> Waiting:
    signatures = merged_signatures(
        now.post.signatures, before.post.signatures, frozenset(), signatures_max
    )
    return replace(now, pools=now.pools | before.pools, post=_with(now.post, signatures))


def _with(post: Post, signatures: tuple[PostSignature, ...]) -> Post:
    return replace(post, signatures=signatures)


def _insert(connection: Connection, items: Sequence[Waiting], now: int) -> None:
    if not items:
        return
    ((last,),) = rows_of(connection, "SELECT max(id) FROM quarantine")
    rows = [
        (
            number,
            bytes.fromhex(item.post.digest),
            item.post.id,
            origin_of(item.post.id),
            item.deliverer,
            item.post.published,
            item.post.size,
            now,
            _joined(item.pools),
            pack_signatures(item.post.signatures),
            item.post.canonical,
        )
        for number, item in enumerate(items, (last or 0) + 1)
    ]
    insert_rows(connection, quarantine, rows)


def _joined(pools: Collection[KeyText]) -> str:
    return " ".join(sorted(pools))


def _pools(joined: str) -> frozenset[KeyText]:
    return frozenset(map(KeyText, joined.split()))


def is_empty(connection: Connection) -> bool:
    """Tell whether nothing waits, in one step."""
    return not rows_of(connection, "SELECT 1 FROM quarantine LIMIT 1")


def among_quarantined(
    connection: Connection, deliverer: NodeId, digests: Collection[Digest]
) -> set[Digest]:
    """Return which of ``digests`` wait as ``deliverer`` gave them."""
    if is_empty(connection):
        return set()
    raw = list(map(bytes.fromhex, digests))
    head = "SELECT digest, deliverer FROM quarantine"
    rows = rows_among(connection, head, "digest", "bytea", raw)
    return {Digest(digest.hex()) for digest, node in rows if node == deliverer}


def read_entries(connection: Connection, after: int, limit: int) -> list[WaitingEntry]:
    """Return copies by number after ``after``; reads no content."""
    return [
        WaitingEntry(
            row_id,
            Ref(GlobalId(post_id), Digest(digest.hex()), published, size),
            packed_keys(signatures),
        )
        for row_id, post_id, digest, published, size, signatures in rows_of(
            connection, _ENTRY_SQL, after, limit
        )
    ]


def read_copies(connection: Connection, ids: Collection[int]) -> dict[int, Waiting]:
    """Return copies by number."""
    return {row[0]: _copy(row) for row in rows_among(connection, _COPY_SQL, "id", "bigint", ids)}


def _copy(row: Any) -> Waiting:
    _, post_id, digest, published, deliverer, pools, signatures, content = row
    name = Digest(digest.hex())
    post = Post(GlobalId(post_id), name, published, content, unpack_signatures(signatures))
    return Waiting(post, NodeId(deliverer), _pools(pools))


def remove_copies(connection: Connection, ids: Collection[int]) -> None:
    """Forget copies by number."""
    delete_among(connection, quarantine, "id", "bigint", ids)


def remove_old(connection: Connection, before: int) -> int:
    """Forget copies noted before ``before``, or decided meanwhile; return how many."""
    return execute(connection, _DECIDED_SQL, before)


def read_origins(connection: Connection) -> list[WaitingOrigin]:
    """Return what waits, by origin."""
    found: dict[str, list[Any]] = defaultdict(list)
    for origin, *counted in rows_of(connection, _ORIGINS_SQL):
        found[origin].append(counted)
    return [
        WaitingOrigin(
            origin=NodeId(origin),
            copies=sum(int(copies) for _, copies, _, _ in rows),
            size=sum(int(size) for _, _, size, _ in rows),
            deliverers=tuple(sorted(NodeId(node) for node, _, _, _ in rows)),
            oldest=min(at for _, _, _, at in rows),
        )
        for origin, rows in sorted(found.items())
    ]
