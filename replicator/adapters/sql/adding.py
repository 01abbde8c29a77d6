"""Storing posts: what becomes of each of a batch, decided from one look, written in bulk.

Runs inside a transaction that is alone (`Database.writing`), so what it reads stays true until it
commits, and the next sequence is one more than the last. A batch is cut into runs in which no id
and no digest comes twice; each run costs the same dozen statements whatever its size.

Equal content merges: signatures by union, and a pool that is newly known gets a log entry of its
own, so that a reader of that pool whose cursor is past the first entry sees the post again;
readers of other pools, and readers of everything, do not. Two contents under one id resolve by
digest (`rules.merging`), the other one is decided against and kept as evidence; a content that was
decided against counts there like one that is held. What the operator blocked is decided against.

What becomes visible in a pool, or is decided against there, enters the pool's reconciled set unless
it is below the floor. A post that is stored stands in none yet: it would be held, or decided.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, update

from replicator.adapters.sql.bulk import Kind, delete_among, insert_rows, rows_among
from replicator.adapters.sql.deciding import EQUIVOCATION, FALLEN_SQL, decide_against
from replicator.adapters.sql.equivocations import Copy, copy_of, count_seen, flag, keep_evidence
from replicator.adapters.sql.lookups import all_pool_ids
from replicator.adapters.sql.moderation import BLOCKED, blocked_among
from replicator.adapters.sql.packing import pack_signatures, unpack_signatures
from replicator.adapters.sql.removing import count_posts, log_state, remove_posts
from replicator.adapters.sql.schema import (
    KIND_ADD,
    KIND_SCOPE,
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
from replicator.node.ports import Added, Incoming
from replicator.protocol.ids import Digest, GlobalId, KeyText, origin_of
from replicator.protocol.messages import MODEL_NAME
from replicator.rules.merging import kept_digest, merged_signatures
from replicator.rules.negentropy import Item

_HELD_SQL: Final = (
    "SELECT id, digest, global_id, published, size, received_from, signatures FROM post"
)
_POOLS_SQL: Final = "SELECT post, pool FROM post_pool"


class _Held(NamedTuple):
    id: int
    digest: bytes
    global_id: str
    published: int
    size: int
    received_from: str | None
    signatures: bytes


@dataclass(slots=True)
class _Before:
    """What the database says about the posts of a run."""

    held: dict[bytes, _Held]
    decided: set[bytes]
    rivals: dict[str, _Held]
    fallen: dict[str, list[bytes]]
    """Per id: other contents that were decided against."""
    memberships: dict[int, set[int]]
    pools: dict[KeyText, int]


@dataclass(slots=True)
class _Plan:
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
    replaced: list[tuple[_Held, Incoming]] = field(default_factory=list)
    met: list[tuple[_Held, Incoming]] = field(default_factory=list)
    """Pairs of contents under one id, both at hand."""
    twofold: list[GlobalId] = field(default_factory=list)
    """Ids under which a further content was seen."""
    shown: dict[int, list[Item]] = field(default_factory=lambda: defaultdict(list))
    """Per pool: of posts that were neither held nor decided against before."""
    shown_again: dict[int, list[Item]] = field(default_factory=lambda: defaultdict(list))
    """Per pool: of others, which may stand in its set already."""


def add_posts(
    connection: Connection,
    items: Sequence[Incoming],
    now: int,
    limits: Limits,
    *,
    publishing: bool = False,
) -> list[Added]:
    """Store posts; one outcome per item, in order (see `Store.add` and `Store.publish`)."""
    barred = blocked_among(connection, [item.post.ref for item in items])
    if barred:
        return _add_the_rest(connection, items, barred, now, limits, publishing=publishing)
    return _add_runs(connection, items, now, limits, publishing=publishing)


def _add_the_rest(
    connection: Connection,
    items: Sequence[Incoming],
    barred: Collection[Digest],
    now: int,
    limits: Limits,
    *,
    publishing: bool,
) -> list[Added]:
    """Store what is not blocked, and decide against what is: it was blocked after it was judged."""
    free = [item for item in items if item.post.digest not in barred]
    outcomes = iter(_add_runs(connection, free, now, limits, publishing=publishing))
    for item in items:
        if item.post.digest in barred and not publishing:
            decide_against(connection, [item.post.ref], item.pools, (BLOCKED, now), limits)
    return [Added.DECIDED if item.post.digest in barred else next(outcomes) for item in items]


def _add_runs(
    connection: Connection,
    items: Sequence[Incoming],
    now: int,
    limits: Limits,
    *,
    publishing: bool,
) -> list[Added]:
    outcomes: list[Added] = []
    for run in _runs(items):
        before = _look(connection, run)
        plan = _Plan(*log_state(connection), publishing)
        outcomes += [_decide(item, before, plan, now, limits) for item in run]
        _write(connection, plan, now, limits)
        _show(connection, plan, limits)
    return outcomes


def _runs(items: Sequence[Incoming]) -> Iterator[list[Incoming]]:
    run: list[Incoming] = []
    seen: set[str] = set()
    for item in items:
        # equal digests have equal ids, so that ids alone tell both kinds of repetition
        if item.post.id in seen:
            yield run
            run, seen = [], set()
        run.append(item)
        seen.add(item.post.id)
    if run:
        yield run


def _look(connection: Connection, run: Sequence[Incoming]) -> _Before:
    digests = [bytes.fromhex(item.post.digest) for item in run]
    held = {row.digest: row for row in _held(connection, "digest", "bytea", digests)}
    select_decided = "SELECT digest FROM decision"
    decided = {row[0] for row in rows_among(connection, select_decided, "digest", "bytea", digests)}
    new = [
        item.post.id
        for item, digest in zip(run, digests, strict=True)
        if digest not in held and digest not in decided
    ]
    rivals = {row.global_id: row for row in _held(connection, "global_id", "text", new)}
    fallen: dict[str, list[bytes]] = defaultdict(list)
    for post_id, fell in rows_among(connection, FALLEN_SQL, "global_id", "text", new):
        fallen[post_id].append(fell)
    memberships: dict[int, set[int]] = defaultdict(set)
    for post_id, pool_id in rows_among(
        connection, _POOLS_SQL, "post", "bigint", [row.id for row in held.values()]
    ):
        memberships[post_id].add(pool_id)
    keys = frozenset[KeyText]().union(*(item.pools for item in run))
    pools = all_pool_ids(connection, keys)
    return _Before(held, decided, rivals, fallen, memberships, pools)


def _held(connection: Connection, column: str, kind: Kind, values: Collection[Any]) -> list[_Held]:
    return [_Held(*row) for row in rows_among(connection, _HELD_SQL, column, kind, values)]


def _decide(item: Incoming, before: _Before, plan: _Plan, now: int, limits: Limits) -> Added:
    digest = bytes.fromhex(item.post.digest)
    held = before.held.get(digest)
    if held is not None:
        _merge(item, held, before, plan, limits)
        return Added.KNOWN
    if digest in before.decided:
        _enter(plan.shown_again, item, digest, before, plan)
        return Added.DECIDED
    if item.post.published < plan.floor:
        return Added.DECIDED
    rival = before.rivals.get(item.post.id)
    others = [*before.fallen.get(item.post.id, ()), *([rival.digest] if rival else ())]
    if not others:
        _store(item, digest, before, plan, now)
        return Added.STORED
    if plan.publishing:
        return Added.CONFLICT
    plan.twofold.append(item.post.id)
    return _resolve(item, rival, min(others), before, plan, now)


def _resolve(
    item: Incoming, rival: _Held | None, smallest: bytes, before: _Before, plan: _Plan, now: int
) -> Added:
    """Keep the smallest of all contents seen under an id, be it that it is not held any more."""
    digest = bytes.fromhex(item.post.digest)
    if kept_digest(Digest(smallest.hex()), item.post.digest) != item.post.digest:
        plan.decisions.append((digest, EQUIVOCATION, now, item.post.published, item.post.id))
        if rival is not None:
            plan.met.append((rival, item))
        _enter(plan.shown, item, digest, before, plan)
        return Added.LOST
    _store(item, digest, before, plan, now)
    if rival is None:
        return Added.STORED
    plan.decisions.append((rival.digest, EQUIVOCATION, now, rival.published, rival.global_id))
    plan.replaced.append((rival, item))
    plan.met.append((rival, item))
    return Added.REPLACED


def _enter(
    shown: dict[int, list[Item]], item: Incoming, digest: bytes, before: _Before, plan: _Plan
) -> None:
    if item.post.published >= plan.floor:
        for key in item.pools:
            shown[before.pools[key]].append((item.post.published, digest))


def _store(item: Incoming, digest: bytes, before: _Before, plan: _Plan, now: int) -> None:
    plan.sequence += 1
    sequence, held, content = plan.sequence, item.post, item.post.content
    plan.posts.append(
        (
            sequence,
            digest,
            held.id,
            origin_of(held.id),
            held.published,
            held.size,
            content.thread,
            now,
            item.received_from,
            pack_signatures(held.signatures),
            held.canonical,
        )
    )
    plan.changes.append((sequence, MODEL_NAME, KIND_ADD, digest, sequence))
    _enter(plan.shown, item, digest, before, plan)
    plan.tags += [(sequence, tag) for tag in content.tags]
    plan.pools += [(before.pools[key], sequence, sequence) for key in item.pools]
    plan.announcements += [
        (before.pools[key], sequence, sequence) for key in item.pools & item.entry_pools
    ]


def _merge(item: Incoming, held: _Held, before: _Before, plan: _Plan, limits: Limits) -> None:
    packed = pack_signatures(item.post.signatures)
    if packed != held.signatures:
        merged = pack_signatures(
            merged_signatures(
                unpack_signatures(held.signatures),
                item.post.signatures,
                item.pools,
                limits.post_signatures_max,
            )
        )
        if merged != held.signatures:
            plan.signatures.append({"post_id": held.id, "packed": merged})
    have = before.memberships.get(held.id, set())
    further = [key for key in item.pools if before.pools[key] not in have]
    if not further:
        return
    plan.sequence += 1
    if held.published >= plan.floor:
        for key in further:
            plan.shown_again[before.pools[key]].append((held.published, held.digest))
    # Only a post that was published here, and is now again, gets announced in a further pool
    local = held.received_from is None and item.received_from is None
    plan.changes.append((plan.sequence, MODEL_NAME, KIND_SCOPE, held.digest, held.id))
    visible = [(before.pools[key], plan.sequence, held.id) for key in further]
    plan.pools += visible
    if local:
        announced = {before.pools[key] for key in item.pools & item.entry_pools}
        plan.announcements += [row for row in visible if row[0] in announced]


def _write(connection: Connection, plan: _Plan, now: int, limits: Limits) -> None:
    if plan.met:
        keep_evidence(connection, _evidence(connection, plan), now, limits)
    flag(connection, count_seen(plan.twofold), now, limits)
    remove_posts(connection, [held.id for held, _ in plan.replaced])
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
        ((origin_of(GlobalId(held.global_id)), held.size) for held, _ in plan.replaced),
    )


def _show(connection: Connection, plan: _Plan, limits: Limits) -> None:
    """Enter what the run shows into the sets of its pools."""
    for pool_id in sorted({*plan.shown, *plan.shown_again}):
        again = missing_items(connection, pool_id, plan.shown_again[pool_id])
        items = [*plan.shown[pool_id], *again]
        enter_items(connection, pool_id, items, limits.summary_items_max)


def _evidence(connection: Connection, plan: _Plan) -> list[tuple[GlobalId, Copy, Copy]]:
    """Return what the run saw twice, as (id, kept, lost)."""
    select_content = "SELECT id, content FROM post"
    ids = [held.id for held, _ in plan.met]
    contents = dict(map(tuple, rows_among(connection, select_content, "id", "bigint", ids)))
    pairs = [
        (item.post.id, Copy(held.digest, held.signatures, contents[held.id]), copy_of(item.post))
        for held, item in plan.met
    ]
    return [(post_id, min(mine, other), max(mine, other)) for post_id, mine, other in pairs]
