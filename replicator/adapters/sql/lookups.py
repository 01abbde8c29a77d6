"""Reading posts by name: which digests are known, posts by id or digest, counts.

Runs inside a transaction that the caller opened; writes nothing but numbers of pools.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, func, insert, select

from replicator.adapters.sql.bulk import rows_among, rows_of
from replicator.adapters.sql.packing import unpack_signatures
from replicator.adapters.sql.removing import log_state
from replicator.adapters.sql.schema import decision, gap, peer, pool
from replicator.node.ports import Totals
from replicator.protocol.ids import Digest, GlobalId, KeyText
from replicator.protocol.post import Post, Ref

_POST_SQL: Final = "SELECT id, global_id, digest, published, content, signatures FROM post"
_REF_SQL: Final = "SELECT global_id, digest, published, size FROM post"


def held_digests(connection: Connection, digests: Collection[Digest]) -> set[Digest]:
    """Return which of ``digests`` are held."""
    return _among(connection, "SELECT digest FROM post", digests)


def known_digests(connection: Connection, digests: Collection[Digest]) -> set[Digest]:
    """Return which of ``digests`` are held or decided against."""
    held = held_digests(connection, digests)
    return held | _among(connection, "SELECT digest FROM decision", set(digests) - held)


def _among(connection: Connection, head: str, digests: Collection[Digest]) -> set[Digest]:
    raw = list(map(bytes.fromhex, digests))
    return {Digest(row[0].hex()) for row in rows_among(connection, head, "digest", "bytea", raw)}


def find_posts(
    connection: Connection,
    ids: Collection[GlobalId],
    digests: Collection[Digest],
    scopes: frozenset[KeyText] | None,
) -> list[Post]:
    """Return held posts by id or digest within ``scopes``, each once."""
    return list(read_posts(connection, _find(connection, ids, digests, scopes)).values())


def find_refs(
    connection: Connection,
    ids: Collection[GlobalId],
    digests: Collection[Digest],
    scopes: frozenset[KeyText] | None,
) -> list[Ref]:
    """As `find_posts`, with refs; reads no content."""
    found = _find(connection, ids, digests, scopes)
    rows = rows_among(connection, _REF_SQL, "id", "bigint", found)
    return [
        Ref(global_id, Digest(digest.hex()), published, size)
        for global_id, digest, published, size in rows
    ]


def _find(
    connection: Connection,
    ids: Collection[GlobalId],
    digests: Collection[Digest],
    scopes: frozenset[KeyText] | None,
) -> set[int]:
    """Return the surrogate ids of held posts by id or digest within ``scopes``."""
    raw = list(map(bytes.fromhex, digests))
    head = "SELECT id FROM post"
    found = {row[0] for row in rows_among(connection, head, "digest", "bytea", raw)}
    found |= {row[0] for row in rows_among(connection, head, "global_id", "text", ids)}
    if scopes is not None:
        wanted = set(pool_ids(connection, scopes).values())
        rows = rows_among(connection, "SELECT post, pool FROM post_pool", "post", "bigint", found)
        found = {post_id for post_id, pool_id in rows if pool_id in wanted}
    return found


def read_posts(connection: Connection, ids: Collection[int]) -> dict[int, Post]:
    """Return posts by surrogate id; those that are gone are absent."""
    return {
        row_id: Post(global_id, digest.hex(), published, content, unpack_signatures(signatures))
        for row_id, global_id, digest, published, content, signatures in rows_among(
            connection, _POST_SQL, "id", "bigint", ids
        )
    }


def pool_ids(connection: Connection, keys: Collection[KeyText]) -> dict[KeyText, int]:
    """Return the ids of those pools that any post belongs to."""
    if not keys:
        return {}
    rows = rows_among(connection, "SELECT key, id FROM pool", "key", "text", keys)
    return {KeyText(key): pool_id for key, pool_id in rows}


def all_pool_ids(connection: Connection, keys: Collection[KeyText]) -> dict[KeyText, int]:
    """As `pool_ids`; pools that no post belonged to before get one."""
    ids = pool_ids(connection, keys)
    new = sorted(set(keys) - set(ids))
    if not new:
        return ids
    connection.execute(insert(pool), [{"key": key} for key in new])
    return pool_ids(connection, keys)


def all_digests(connection: Connection) -> list[tuple[Digest, int]]:
    """Return (digest, published) of every held post, ordered by digest."""
    rows = connection.exec_driver_sql("SELECT digest, published FROM post")
    return [(Digest(digest.hex()), published) for digest, published in sorted(map(tuple, rows))]


def count_all(connection: Connection, *, full: bool) -> Totals:
    """Return counts."""
    state = log_state(connection)
    ((posts, size),) = rows_of(connection, "SELECT sum(posts), sum(size) FROM origin")
    return Totals(
        posts=int(posts or 0),
        last_change=state.last,
        gaps=connection.scalar(select(func.count()).select_from(gap)) or 0,
        peers=connection.scalar(select(func.count()).select_from(peer)) or 0,
        size=int(size or 0),
        decided=connection.scalar(select(func.count()).select_from(decision)) or 0,
        floor=state.floor,
        full=full,
    )
