"""Evidence of equivocation, and the origins that did it: newest ones, a few of each origin.

Runs inside a transaction that the caller opened.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
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
from replicator.adapters.sql.packing import pack_signatures, unpack_signatures
from replicator.adapters.sql.schema import equivocation, equivocator
from replicator.limits import Limits
from replicator.node.ports import Equivocation, Equivocator
from replicator.protocol.ids import Digest, GlobalId, NodeId, origin_of
from replicator.protocol.post import Post

_PROOF_SQL: Final = (
    "SELECT global_id, kept, lost, noted_at, kept_signatures, lost_signatures, lost_content,"
    " kept_content FROM equivocation"
)
_FLAGGED_SQL: Final = "SELECT node, first_at, last_at, times FROM equivocator"
_OF_ORIGIN_SQL: Final = (
    "SELECT id FROM equivocation WHERE global_id > ? AND global_id < ? ORDER BY id DESC"
)


_PAIR_SQL: Final = "SELECT kept, lost FROM equivocation"


class Copy(NamedTuple):
    """One of two contents under an id."""

    digest: bytes
    signatures: bytes
    content: bytes


def copy_of(post: Post) -> Copy:
    """Return a post as evidence has it."""
    return Copy(bytes.fromhex(post.digest), pack_signatures(post.signatures), post.canonical)


def keep_evidence(
    connection: Connection,
    found: Sequence[tuple[GlobalId, Copy, Copy]],
    now: int,
    limits: Limits,
) -> None:
    """Keep pairs of (id, kept, lost), each once; of too many the oldest go, one origin's first."""
    losers = [pair[2].digest for pair in found]
    known = {tuple(row) for row in rows_among(connection, _PAIR_SQL, "lost", "bytea", losers)}
    found = [pair for pair in found if (pair[1].digest, pair[2].digest) not in known]
    ((last,),) = rows_of(connection, "SELECT max(id) FROM equivocation")
    rows: list[tuple[Any, ...]] = []
    for number, (post_id, kept, lost) in enumerate(
        found[-limits.equivocations_max :], (last or 0) + 1
    ):
        kept_of_it = (kept.digest, lost.digest, now, kept.signatures, lost.signatures)
        rows.append((number, post_id, *kept_of_it, lost.content, kept.content))
    insert_rows(connection, equivocation, rows)
    surplus: list[int] = []
    for origin in sorted({origin_of(GlobalId(row[1])) for row in rows}):
        # ids of an origin's posts begin with its id and a slash, which the character 0 follows
        of_origin = rows_of(connection, _OF_ORIGIN_SQL, f"{origin}/", f"{origin}0")
        surplus += [number for (number,) in of_origin[limits.equivocations_per_origin_max :]]
    delete_among(connection, equivocation, "id", "bigint", surplus)
    newest = rows_of(connection, "SELECT id FROM equivocation ORDER BY id DESC")
    if len(newest) > limits.equivocations_max:
        oldest_kept = newest[limits.equivocations_max - 1][0]
        execute(connection, "DELETE FROM equivocation WHERE id < ?", oldest_kept)


def acquit(connection: Connection, forgotten: Mapping[str, int]) -> None:
    """Take back how often origins were seen to equivocate; flags without cause go."""
    before = rows_among(connection, _FLAGGED_SQL, "node", "text", forgotten)
    left = [(*row[:3], row[3] - forgotten[row[0]]) for row in before]
    put_rows(connection, equivocator, [row for row in left if row[3] > 0])
    delete_among(connection, equivocator, "node", "text", [row[0] for row in left if row[3] <= 0])


def flag(connection: Connection, seen: Mapping[str, int], now: int, limits: Limits) -> None:
    """Note how often origins were seen to equivocate; of too many the longest unseen go."""
    if not seen:
        return
    before = {row[0]: row for row in rows_among(connection, _FLAGGED_SQL, "node", "text", seen)}
    rows = []
    for node, times in sorted(seen.items()):
        _, first_at, last_at, already = before.get(node, (node, now, now, 0))
        rows.append((node, first_at, max(last_at, now), min(already + times, 2**31 - 1)))
    put_rows(connection, equivocator, rows)
    ((count,),) = rows_of(connection, "SELECT count(*) FROM equivocator")
    surplus = count - limits.equivocators_max
    if surplus > 0:
        oldest = "SELECT node FROM equivocator ORDER BY last_at, node LIMIT ?"
        gone = [row[0] for row in rows_of(connection, oldest, surplus)]
        delete_among(connection, equivocator, "node", "text", gone)


def count_seen(ids: Iterable[GlobalId]) -> Counter[str]:
    """Return how often each origin's ids stand in ``ids``."""
    return Counter(origin_of(post_id) for post_id in ids)


def read_flagged(connection: Connection, nodes: Collection[NodeId] | None) -> list[Equivocator]:
    """Return flagged origins, the one seen last first."""
    if nodes is None:
        rows = rows_of(connection, _FLAGGED_SQL)
    else:
        rows = rows_among(connection, _FLAGGED_SQL, "node", "text", nodes)
    found = [Equivocator(NodeId(node), first, last, times) for node, first, last, times in rows]
    return sorted(found, key=lambda one: (-one.last_at, one.node))


def read_evidence(connection: Connection) -> list[Equivocation]:
    """Return all evidence, the newest first."""
    rows = rows_of(connection, f"{_PROOF_SQL} ORDER BY id DESC")
    return [
        Equivocation(
            id=GlobalId(post_id),
            kept=Digest(kept.hex()),
            kept_post=None if content is None else _post(post_id, kept, signed, content),
            lost=_post(post_id, lost, lost_signed, lost_content),
            noted_at=noted_at,
        )
        for post_id, kept, lost, noted_at, signed, lost_signed, lost_content, content in rows
    ]


def read_lost(connection: Connection, digests: Collection[Digest]) -> list[Post]:
    """Return posts that stand in the evidence as lost, each once."""
    raw = list(map(bytes.fromhex, digests))
    found = {
        lost: _post(post_id, lost, signed, content)
        for post_id, _, lost, _, _, signed, content, _ in rows_among(
            connection, _PROOF_SQL, "lost", "bytea", raw
        )
    }
    return [found[digest] for digest in sorted(found)]


def _post(post_id: str, digest: bytes, signatures: bytes, content: bytes) -> Post:
    signed = unpack_signatures(signatures)
    post = Post(GlobalId(post_id), Digest(digest.hex()), 0, content, signed)
    return replace(post, published=post.content.published)
