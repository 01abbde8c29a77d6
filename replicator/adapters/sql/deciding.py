"""Deciding against posts by name: they enter the sets of pools, and their rivals may have to go.

Runs inside a transaction that is alone. Of all authentic contents seen under one id only the
smallest digest is ever held, also where that one was decided against: so a node ends the same in
whatever order it saw them.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import delete_among, insert_rows, rows_among
from replicator.adapters.sql.equivocations import count_seen, flag
from replicator.adapters.sql.lookups import all_pool_ids, known_digests
from replicator.adapters.sql.removing import DOOMED_SQL, Doomed, log_state, take_out
from replicator.adapters.sql.schema import decision, gap
from replicator.adapters.sql.summary import enter_items, missing_items
from replicator.limits import Limits
from replicator.protocol.ids import GlobalId, KeyText
from replicator.protocol.post import Ref

EQUIVOCATION: Final = "equivocation"
"""The reason of a digest that was decided against because of a smaller one under its id."""
FALLEN_SQL: Final = "SELECT global_id, digest FROM decision"
"""Contents that were decided against, by id."""


def decide_against(
    connection: Connection,
    refs: Collection[Ref],
    pools: Collection[KeyText],
    decided: tuple[str, int],
    limits: Limits,
) -> None:
    """Record posts as decided against, in pools; those held or decided already stay as they are.

    Args:
        refs: of authentic posts.
        decided: the reason, and when (ms).
    """
    floor = log_state(connection).floor
    by_digest = {ref.digest: ref for ref in refs if ref.published >= floor}
    new = [
        by_digest[name] for name in sorted(set(by_digest) - known_digests(connection, by_digest))
    ]
    _resolve(connection, new, decided[1], limits)
    rows = [(bytes.fromhex(ref.digest), *decided, ref.published, ref.id) for ref in new]
    insert_rows(connection, decision, rows)
    delete_among(connection, gap, "digest", "bytea", [row[0] for row in rows])
    items = [(ref.published, bytes.fromhex(ref.digest)) for ref in by_digest.values()]
    for pool_id in sorted(all_pool_ids(connection, pools).values() if items else ()):
        fresh = missing_items(connection, pool_id, items)
        enter_items(connection, pool_id, fresh, limits.summary_items_max)


def _resolve(connection: Connection, new: Sequence[Ref], now: int, limits: Limits) -> None:
    """Take out held posts with a larger digest than one of ``new`` of the same id."""
    ids = {ref.id for ref in new}
    held = [Doomed(*row) for row in rows_among(connection, DOOMED_SQL, "global_id", "text", ids)]
    before = Counter(row.global_id for row in held)
    before.update(row[0] for row in rows_among(connection, FALLEN_SQL, "global_id", "text", ids))
    smallest: dict[str, bytes] = {}
    seen: dict[GlobalId, int] = defaultdict(int)
    for ref in new:
        digest = bytes.fromhex(ref.digest)
        smallest[ref.id] = min(digest, smallest.get(ref.id, digest))
        seen[ref.id] += 1
    doomed = [row for row in held if smallest[row.global_id] < row.digest]
    take_out(connection, doomed, EQUIVOCATION, now)
    further = [
        post_id
        for post_id, times in seen.items()
        for _ in range(times if before[post_id] else times - 1)
    ]
    flag(connection, count_seen(further), now, limits)
