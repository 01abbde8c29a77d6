"""Floors, and the removal of what is below them or beyond what is kept of an origin.

Runs inside a transaction that is alone. Every call removes a bounded batch: first posts, each by
its origin's index over time, then what was remembered of posts that the floor has passed. A post
that goes while it is above the floor is decided against, and stays in the reconciled sets, so that
no peer brings it up again. Where too many such digests are remembered the floor rises, but never
past a post that is held: whoever may send posts can have any number of them decided against. What
is still too much is forgotten: at worst it is offered again, and decided against again.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import execute, rows_among, rows_of
from replicator.adapters.sql.forgetting import forget_decisions, have_rivals_judged
from replicator.adapters.sql.removing import DOOMED_SQL, Doomed, log_state, take_out
from replicator.adapters.sql.summary import forget_items
from replicator.limits import Limits
from replicator.node.ports import Keep
from replicator.protocol.ids import NodeId

EXPIRED: Final = "expired"
_UNBOUNDED: Final = 2**62
_WITH_OLD_SQL: Final = (
    "SELECT node, floor FROM origin WHERE posts > 0 AND EXISTS (SELECT 1 FROM post"
    " WHERE post.node = origin.node AND post.published <"
    " CASE WHEN origin.floor > ? THEN origin.floor ELSE ? END) LIMIT ?"
)
_OLD_SQL: Final = " ".join(
    (DOOMED_SQL, "WHERE node = ? AND published < ? ORDER BY published LIMIT ?")
)
_OLDEST_HELD_SQL: Final = (
    "SELECT min(oldest) FROM (SELECT (SELECT min(post.published) FROM post"
    " WHERE post.node = origin.node) AS oldest FROM origin WHERE posts > 0) AS held"
)


def read_floor(connection: Connection) -> int:
    """Return the floor of all posts (ms)."""
    return log_state(connection).floor


def raise_floor(connection: Connection, floor: int) -> None:
    """Move the floor of all posts up, never down."""
    execute(connection, "UPDATE log SET floor = ? WHERE floor < ?", floor, floor)


def read_origin_floors(connection: Connection, origins: Collection[NodeId]) -> dict[NodeId, int]:
    """Return floors of origins whose own is above that of all posts."""
    general = read_floor(connection)
    rows = rows_among(connection, "SELECT node, floor FROM origin", "node", "text", origins)
    return {NodeId(node): floor for node, floor in rows if floor > general}


def expire(connection: Connection, keep: Keep, now: int, limits: Limits) -> int:
    """Remove one batch (see `Store.expire`); 0: there is nothing to remove."""
    removed = _remove_batch(connection, now, limits.expire_items_max)
    if not removed:
        _raise_origin_floors(connection, keep, limits.expire_items_max)
        removed = _remove_batch(connection, now, limits.expire_items_max)
    if not removed:
        _fit_decided(connection, limits.decided_items_max)
        removed = _remove_batch(connection, now, limits.expire_items_max)
    if not removed:
        removed = _forget_surplus(connection, limits)
    execute(connection, "DELETE FROM gap WHERE published < ?", read_floor(connection))
    return removed


def _remove_batch(connection: Connection, now: int, most: int) -> int:
    return _remove_posts(connection, now, most) or _forget(connection, most)


def _remove_posts(connection: Connection, now: int, most: int) -> int:
    """Remove posts below the floor that counts for them, an origin's oldest first."""
    general = read_floor(connection)
    doomed: list[Doomed] = []
    for node, own in rows_of(connection, _WITH_OLD_SQL, general, general, most):
        room = most - len(doomed)
        if room == 0:
            break
        found = rows_of(connection, _OLD_SQL, node, max(own, general), room)
        doomed += [Doomed(*row) for row in found]
    take_out(connection, doomed, EXPIRED, now)
    return len(doomed)


def _forget(connection: Connection, most: int) -> int:
    """Forget what was decided against, and what is reconciled, below the floor."""
    floor = read_floor(connection)
    forgotten = 0
    for (pool,) in rows_of(connection, "SELECT id FROM pool ORDER BY id"):
        forgotten += forget_items(connection, pool, floor, max(0, most - forgotten))
    forgotten += execute(
        connection,
        "DELETE FROM decision WHERE digest IN"
        " (SELECT digest FROM decision WHERE published < ? ORDER BY published LIMIT ?)",
        floor,
        max(0, most - forgotten),
    )
    execute(connection, "DELETE FROM origin WHERE posts = 0 AND floor <= ?", floor)
    return forgotten


def _raise_origin_floors(connection: Connection, keep: Keep, most: int) -> None:
    posts_max = _UNBOUNDED if keep.posts is None else keep.posts
    size_max = _UNBOUNDED if keep.size is None else keep.size
    over = rows_of(
        connection,
        "SELECT node, posts, size FROM origin WHERE posts > ? OR size > ?",
        posts_max,
        size_max,
    )
    looked_at = 0
    for node, posts, size in over:
        floor = 0
        oldest = "SELECT published, size FROM post WHERE node = ? ORDER BY published LIMIT ?"
        for published, bytes_of_it in rows_of(connection, oldest, node, most):
            if posts <= posts_max and size <= size_max:
                break
            posts, size, floor = posts - 1, size - bytes_of_it, published + 1
            looked_at += 1
        _raise_origin_floor(connection, node, floor)
        if looked_at >= most:
            return


def _raise_origin_floor(connection: Connection, node: str, floor: int) -> None:
    raised = "UPDATE origin SET floor = ? WHERE node = ? AND floor < ?"
    execute(connection, raised, floor, node, floor)
    # ids of an origin's posts begin with its id and a slash, which the character 0 follows
    execute(
        connection,
        "DELETE FROM gap WHERE published < ? AND global_id > ? AND global_id < ?",
        floor,
        f"{node}/",
        f"{node}0",
    )


def _fit_decided(connection: Connection, decided_max: int) -> None:
    ((count,),) = rows_of(connection, "SELECT count(*) FROM decision")
    if count > decided_max:
        oldest_kept = "SELECT published FROM decision ORDER BY published LIMIT 1 OFFSET ?"
        ((published,),) = rows_of(connection, oldest_kept, count - decided_max - 1)
        ((oldest_held,),) = rows_of(connection, _OLDEST_HELD_SQL)
        if oldest_held is not None:
            raise_floor(connection, min(published + 1, oldest_held))


def _forget_surplus(connection: Connection, limits: Limits) -> int:
    """Forget the oldest of too many digests, where the floor cannot rise past them."""
    ((count,),) = rows_of(connection, "SELECT count(*) FROM decision")
    most = min(count - limits.decided_items_max, limits.expire_items_max)
    if most <= 0:
        return 0
    oldest = "SELECT published, digest, global_id FROM decision ORDER BY published, digest LIMIT ?"
    rows = rows_of(connection, oldest, most)
    forget_decisions(connection, [(published, digest) for published, digest, _ in rows])
    have_rivals_judged(connection, {post_id for *_, post_id in rows if post_id is not None})
    return len(rows)
