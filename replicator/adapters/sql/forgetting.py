"""Forgetting what was decided against: it leaves the sets, and what had lost to it is judged anew.

Runs inside a transaction that is alone.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import delete_among, rows_among
from replicator.adapters.sql.pins import have_judged
from replicator.adapters.sql.schema import decision
from replicator.adapters.sql.summary import leave_sets
from replicator.protocol.ids import GlobalId, origin_of
from replicator.rules.negentropy import Item

EQUIVOCATION: Final = "equivocation"
"""The reason of a digest that was decided against because of a smaller one under its id."""

_OF_IDS_SQL: Final = "SELECT global_id, published, digest FROM decision"
_REASONS_SQL: Final = "SELECT global_id, reason FROM decision"


def forget_decisions(connection: Connection, items: Sequence[Item]) -> None:
    """Forget that items were decided against; they leave the reconciled sets they stand in."""
    leave_sets(connection, items)
    delete_among(connection, decision, "digest", "bytea", [digest for _, digest in items])


def forget_crowd(connection: Connection, ids: Collection[str], most: int) -> None:
    """Keep of the contents of each id that were decided against those with the smallest digests.

    Which ones stay follows from what was seen, in whatever order that came.
    """
    of_ids: defaultdict[str, list[tuple[bytes, int]]] = defaultdict(list)
    for post_id, published, digest in rows_among(connection, _OF_IDS_SQL, "global_id", "text", ids):
        of_ids[post_id].append((digest, published))
    surplus: list[Item] = [
        (published, digest)
        for contents in of_ids.values()
        for digest, published in sorted(contents)[most:]
    ]
    if surplus:
        forget_decisions(connection, surplus)


def have_rivals_judged(connection: Connection, ids: Collection[str]) -> None:
    """Have the origins judged anew of whose ids something is decided against as having lost.

    For ids of which a content was forgotten: it may have been what the others lost to.
    """
    rows = rows_among(connection, _REASONS_SQL, "global_id", "text", ids)
    losers = {origin_of(GlobalId(post_id)) for post_id, reason in rows if reason == EQUIVOCATION}
    for origin in sorted(losers):
        have_judged(connection, origin)
