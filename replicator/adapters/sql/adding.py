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
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import Kind, rows_among, rows_of
from replicator.adapters.sql.deciding import (
    Contents,
    decide_against,
    fallen_contents,
    standing_of,
)
from replicator.adapters.sql.forgetting import EQUIVOCATION
from replicator.adapters.sql.lookups import all_pool_ids
from replicator.adapters.sql.moderation import BLOCKED, blocked_among
from replicator.adapters.sql.packing import (
    pack_signatures,
    pack_signers,
    packed_keys,
    packed_signers,
    unpack_signatures,
)
from replicator.adapters.sql.plan import Held, Plan, write
from replicator.adapters.sql.removing import log_state
from replicator.adapters.sql.schema import KIND_ADD, KIND_SCOPE
from replicator.limits import Limits
from replicator.node.ports import Added, Incoming
from replicator.protocol.ids import Digest, KeyText, NodeId, origin_of
from replicator.protocol.messages import MODEL_NAME
from replicator.rules.merging import contenders, merged_signatures
from replicator.rules.negentropy import Item

_HELD_SQL: Final = (
    "SELECT id, digest, global_id, published, size, received_from, signatures FROM post"
)
_POOLS_SQL: Final = "SELECT post, pool FROM post_pool"
_POOL_KEYS_SQL: Final = "SELECT id, key FROM pool"


@dataclass(slots=True)
class _Before:
    """What the database says about the posts of a run."""

    held: dict[bytes, Held]
    decided: set[bytes]
    rivals: dict[str, Held]
    fallen: dict[str, Contents]
    """Per id: other contents that were decided against."""
    standing: dict[NodeId, frozenset[KeyText]]
    """The keys that authenticate posts of origins, where it matters which keys signed."""
    memberships: dict[int, set[int]]
    pools: dict[KeyText, int]
    """The pools of the run's posts, and of those held."""


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
    shown = defaultdict(list)
    for item in items:
        if item.post.digest in barred and not publishing:
            shown[item.pools].append(item.post)
    for pools, posts in shown.items():
        decide_against(connection, posts, pools, (BLOCKED, now), limits)
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
        plan = Plan(*log_state(connection), publishing)
        outcomes += [_decide(item, before, plan, now, limits) for item in run]
        write(connection, plan, now, limits)
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
    fallen = fallen_contents(connection, new)
    known = [row.global_id for row in held.values()]
    standing = standing_of(connection, {*rivals, *fallen, *known})
    memberships: dict[int, set[int]] = defaultdict(set)
    for post_id, pool_id in rows_among(
        connection, _POOLS_SQL, "post", "bigint", [row.id for row in held.values()]
    ):
        memberships[post_id].add(pool_id)
    keys = frozenset[KeyText]().union(*(item.pools for item in run))
    pools = all_pool_ids(connection, keys)
    if memberships:
        pools |= {KeyText(key): number for number, key in rows_of(connection, _POOL_KEYS_SQL)}
    return _Before(held, decided, rivals, fallen, standing, memberships, pools)


def _held(connection: Connection, column: str, kind: Kind, values: Collection[Any]) -> list[Held]:
    return [Held(*row) for row in rows_among(connection, _HELD_SQL, column, kind, values)]


def _decide(item: Incoming, before: _Before, plan: Plan, now: int, limits: Limits) -> Added:
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
    if rival is None and item.post.id not in before.fallen:
        _store(item, digest, before, plan, now)
        return Added.STORED
    if plan.publishing:
        return Added.CONFLICT
    return _resolve(item, rival, before, plan, now)


def _resolve(item: Incoming, rival: Held | None, before: _Before, plan: Plan, now: int) -> Added:
    """Keep the smallest of the contents that contend, be it that it is not held any more."""
    post, digest = item.post, bytes.fromhex(item.post.digest)
    seen = dict(before.fallen.get(post.id, {}))
    if rival is not None:
        seen[Digest(rival.digest.hex())] = packed_keys(rival.signatures)
    standing = before.standing[origin_of(post.id)]
    among = contenders({**seen, post.digest: post.signers}, standing)
    if post.digest not in among:
        return Added.LOST
    if rival is not None:
        plan.met.append((rival, item))
    if rival is not None and Digest(rival.digest.hex()) not in among:
        plan.weak.append(rival)
    if len(among) > 1:
        plan.twofold.append(post.id)
    if min(among) != post.digest:
        signers = pack_signers(post.signers)
        plan.decisions.append((digest, EQUIVOCATION, now, post.published, post.id, signers))
        _enter(plan.shown, item, digest, before, plan)
        return Added.LOST
    _store(item, digest, before, plan, now)
    if rival is None:
        return Added.STORED
    if rival not in plan.weak:
        plan.replaced.append(rival)
        signers = packed_signers(rival.signatures)
        fell = (rival.digest, EQUIVOCATION, now, rival.published, rival.global_id, signers)
        plan.decisions.append(fell)
    return Added.REPLACED


def _enter(
    shown: dict[int, list[Item]], item: Incoming, digest: bytes, before: _Before, plan: Plan
) -> None:
    if item.post.published >= plan.floor:
        for key in item.pools:
            shown[before.pools[key]].append((item.post.published, digest))


def _store(item: Incoming, digest: bytes, before: _Before, plan: Plan, now: int) -> None:
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


def _foremost(item: Incoming, held: Held, before: _Before) -> frozenset[KeyText]:
    """Return the keys whose signatures stay where there is not room for all."""
    shown = before.memberships.get(held.id, set())
    pools = {key for key, number in before.pools.items() if number in shown}
    return item.pools | pools | before.standing[origin_of(item.post.id)]


def _merge(item: Incoming, held: Held, before: _Before, plan: Plan, limits: Limits) -> None:
    packed = pack_signatures(item.post.signatures)
    if packed != held.signatures:
        merged = pack_signatures(
            merged_signatures(
                unpack_signatures(held.signatures),
                item.post.signatures,
                _foremost(item, held, before),
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
