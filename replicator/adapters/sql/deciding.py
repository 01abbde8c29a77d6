"""Deciding against posts by name: they enter the sets of pools, and their rivals may have to go.

Runs inside a transaction that is alone. Of all authentic contents seen under one id only the
smallest digest is ever held, also where that one was decided against: so a node ends the same in
whatever order it saw them. Where keys of the origin are pinned, what they signed counts and
nothing else (`rules.merging.contenders`).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import delete_among, insert_rows, rows_among
from replicator.adapters.sql.equivocations import flag
from replicator.adapters.sql.forgetting import EQUIVOCATION, forget_crowd
from replicator.adapters.sql.lookups import all_pool_ids, known_digests
from replicator.adapters.sql.packing import pack_signers, packed_keys, unpack_signers
from replicator.adapters.sql.pins import standing_keys
from replicator.adapters.sql.removing import DOOMED_SQL, Doomed, let_go, log_state, take_out
from replicator.adapters.sql.schema import decision, gap
from replicator.adapters.sql.summary import enter_items, missing_items
from replicator.limits import Limits
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId, origin_of
from replicator.protocol.post import Post
from replicator.rules.merging import contenders

_FALLEN_SQL: Final = "SELECT global_id, digest, signers FROM decision"

Contents = dict[Digest, frozenset[KeyText]]
"""The contents seen under an id, with the keys that signed each."""


def fallen_contents(connection: Connection, ids: Collection[str]) -> defaultdict[str, Contents]:
    """Return contents of ids that were decided against."""
    found: defaultdict[str, Contents] = defaultdict(dict)
    for post_id, digest, signers in rows_among(connection, _FALLEN_SQL, "global_id", "text", ids):
        found[post_id][Digest(digest.hex())] = unpack_signers(signers or b"")
    return found


def standing_of(connection: Connection, ids: Iterable[str]) -> dict[NodeId, frozenset[KeyText]]:
    """Return the keys that authenticate posts of the origins of ids."""
    return standing_keys(connection, {origin_of(GlobalId(post_id)) for post_id in ids})


def decide_against(
    connection: Connection,
    posts: Collection[Post],
    pools: Collection[KeyText],
    decided: tuple[str | None, int],
    limits: Limits,
) -> None:
    """Record posts as decided against, in pools; those held or decided already stay as they are.

    Args:
        posts: authentic ones; of several with one digest the first counts.
        decided: the reason, and when (ms); without a reason only what is known already is shown.
    """
    floor = log_state(connection).floor
    by_digest: dict[Digest, Post] = {}
    for post in posts:
        if post.published >= floor:
            by_digest.setdefault(post.digest, post)
    unknown = set(by_digest) - known_digests(connection, by_digest)
    if decided[0] is None:
        by_digest = {name: post for name, post in by_digest.items() if name not in unknown}
        unknown = set()
    new = _resolve(connection, [by_digest[name] for name in sorted(unknown)], decided[1], limits)
    rows = [
        (
            bytes.fromhex(post.digest),
            *decided,
            post.published,
            post.id,
            pack_signers(post.signers),
        )
        for post in new
    ]
    insert_rows(connection, decision, rows)
    delete_among(connection, gap, "digest", "bytea", [row[0] for row in rows])
    # what was not recorded, and what gave way to something that was, is in no set
    known = known_digests(connection, by_digest)
    items = [(by_digest[name].published, bytes.fromhex(name)) for name in sorted(known)]
    for pool_id in sorted(all_pool_ids(connection, pools).values() if items else ()):
        fresh = missing_items(connection, pool_id, items)
        enter_items(connection, pool_id, fresh, limits.summary_items_max)
    forget_crowd(connection, {post.id for post in new}, limits.contents_per_id_max)


def _resolve(
    connection: Connection, new: Sequence[Post], now: int, limits: Limits
) -> Sequence[Post]:
    """Take out held posts that give way to one of ``new`` of the same id; flag who signed both.

    Returns those that are to be recorded: not what its origin did not sign, where its keys stand.
    """
    ids = {post.id for post in new}
    held = {
        row.global_id: row
        for row in (
            Doomed(*row) for row in rows_among(connection, DOOMED_SQL, "global_id", "text", ids)
        )
    }
    before = fallen_contents(connection, ids)
    standing = standing_of(connection, ids)
    coming: defaultdict[str, Contents] = defaultdict(dict)
    for post in new:
        coming[post.id][post.digest] = post.signers
    further, kept, lost, weak = Counter[str](), set[Digest](), [], []
    for post_id, contents in coming.items():
        row = held.get(post_id)
        if row is not None:
            before[post_id][Digest(row.digest.hex())] = packed_keys(row.signatures)
        seen = before[post_id]
        origin = origin_of(GlobalId(post_id))
        among = contenders({**seen, **contents}, standing[origin])
        fresh = among.intersection(contents)
        further[origin] += len(fresh) - (among.isdisjoint(seen) and bool(fresh))
        kept |= fresh
        if row is None or not fresh:
            continue
        mine = Digest(row.digest.hex())
        if mine not in among:
            weak.append(row)
        elif min(fresh) < mine:
            lost.append(row)
    take_out(connection, lost, EQUIVOCATION, now)
    let_go(connection, weak)
    flag(connection, +further, now, limits)
    return [post for post in new if post.digest in kept]
