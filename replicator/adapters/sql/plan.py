"""What storing a run of posts comes to: collected row by row, then written in bulk.

Runs inside a transaction that is alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, update

from replicator.adapters.sql.bulk import delete_among, insert_rows, rows_among
from replicator.adapters.sql.equivocations import (
    Copy,
    copy_of,
    count_seen,
    flag,
    keep_evidence,
)
from replicator.adapters.sql.forgetting import forget_crowd
from replicator.adapters.sql.removing import Doomed, count_posts, let_go, remove_posts
from replicator.adapters.sql.schema import (
    announcement,
    change,
    decision,
    gap,
    post,
    post_pool,
    post_tag,
)
from replicator.adapters.sql.summary import enter_items, missing_items
from replicator.limits import Limits
from replicator.node.ports import Incoming
from replicator.protocol.ids import GlobalId, origin_of
from replicator.rules.negentropy import Item


class Held(NamedTuple):
    """A post that is held, as far as a decision about another one needs it."""

    id: int
    digest: bytes
    global_id: str
    published: int
    size: int
    received_from: str | None
    signatures: bytes


@dataclass(slots=True)
class Plan:
    """The rows a run writes; `sequence` is the last one drawn."""

    sequence: int
    floor: int
    publishing: bool
    """Whether another content under a held id is a conflict, not an equivocation."""
    posts: list[tuple[Any, ...]] = field(default_factory=list)
    tags: list[tuple[Any, ...]] = field(default_factory=list)
    pools: list[tuple[Any, ...]] = field(default_factory=list)
    announcements: list[tuple[Any, ...]] = field(default_factory=list)
    changes: list[tuple[Any, ...]] = field(default_factory=list)
    decisions: list[tuple[Any, ...]] = field(default_factory=list)
    signatures: list[dict[str, Any]] = field(default_factory=list)
    replaced: list[Held] = field(default_factory=list)
    weak: list[Held] = field(default_factory=list)
    """Held contents that give way to one that their origin signed, unlike them."""
    met: list[tuple[Held, Incoming]] = field(default_factory=list)
    """Pairs of contents under one id, both at hand."""
    twofold: list[GlobalId] = field(default_factory=list)
    """Ids under which a further content was seen."""
    shown: dict[int, list[Item]] = field(default_factory=lambda: defaultdict(list))
    """Per pool: of posts that were neither held nor decided against before."""
    shown_again: dict[int, list[Item]] = field(default_factory=lambda: defaultdict(list))
    """Per pool: of others, which may stand in its set already."""


def write(connection: Connection, plan: Plan, now: int, limits: Limits) -> None:
    """Write what a run comes to: evidence, posts with their rows, and the sets of its pools."""
    if plan.met:
        keep_evidence(connection, _evidence(connection, plan), now, limits)
    flag(connection, count_seen(plan.twofold), now, limits)
    if plan.weak:
        _let_go(connection, plan.weak)
    remove_posts(connection, [held.id for held in plan.replaced])
    insert_rows(connection, post, plan.posts)
    insert_rows(connection, change, plan.changes)
    insert_rows(connection, post_pool, plan.pools)
    insert_rows(connection, announcement, plan.announcements)
    insert_rows(connection, post_tag, plan.tags)
    insert_rows(connection, decision, plan.decisions)
    if plan.signatures:
        statement = update(post).where(post.c.id == bindparam("post_id"))
        connection.execute(statement.values(signatures=bindparam("packed")), plan.signatures)
    decided = [row[1] for row in plan.posts] + [row[0] for row in plan.decisions]
    delete_among(connection, gap, "digest", "bytea", decided)
    count_posts(
        connection,
        ((row[3], row[5]) for row in plan.posts),
        ((origin_of(GlobalId(held.global_id)), held.size) for held in plan.replaced),
    )
    _show(connection, plan, limits)
    if plan.decisions:
        ids = {row[4] for row in plan.decisions}
        forget_crowd(connection, ids, limits.contents_per_id_max)


def _let_go(connection: Connection, weak: Sequence[Held]) -> None:
    doomed = [
        Doomed(
            held.id,
            held.digest,
            held.published,
            origin_of(GlobalId(held.global_id)),
            held.size,
            held.global_id,
            held.signatures,
        )
        for held in weak
    ]
    let_go(connection, doomed)


def _show(connection: Connection, plan: Plan, limits: Limits) -> None:
    """Enter what the run shows into the sets of its pools."""
    for pool_id in sorted({*plan.shown, *plan.shown_again}):
        again = missing_items(connection, pool_id, plan.shown_again[pool_id])
        items = [*plan.shown[pool_id], *again]
        enter_items(connection, pool_id, items, limits.summary_items_max)


def _evidence(connection: Connection, plan: Plan) -> list[tuple[GlobalId, Copy, Copy]]:
    """Return what the run saw twice, as (id, kept, lost)."""
    select_content = "SELECT id, content FROM post"
    ids = [held.id for held, _ in plan.met]
    contents = dict(map(tuple, rows_among(connection, select_content, "id", "bigint", ids)))
    pairs = [
        (item.post.id, Copy(held.digest, held.signatures, contents[held.id]), copy_of(item.post))
        for held, item in plan.met
    ]
    return [(post_id, min(mine, other), max(mine, other)) for post_id, mine, other in pairs]
