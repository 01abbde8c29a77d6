"""The reconciled sets as they grow and shrink, each with the summary that fingerprints are read of.

Runs inside a transaction that is alone, with whatever makes a post visible, decides against it or
forgets it. A batch reads the entries of the summary that its range touches once, works out what
becomes of them in memory, and writes those that changed once. An entry that grows beyond
``Limits.summary_items_max`` is cut: where its new items come after all others, as they do in a log
that is read in order of time, without reading any; otherwise by reading those of that entry.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from replicator.adapters.sql.bulk import execute, insert_rows, padded, put_rows, rows_of
from replicator.adapters.sql.schema import reconciled, summary
from replicator.rules.negentropy import Item

FIRST: Final[Item] = (0, b"")
"""The bound of a pool's first entry: below every item."""
_MODULUS: Final = 2**256
_TOTAL_BYTES: Final = 32
_PROBES: Final = 128
"""Items looked up by one statement."""
_AT_SQL: Final = (
    "SELECT published, digest, items, total FROM summary"
    " WHERE pool = ? AND (published, digest) <= (?, ?)"
    " ORDER BY published DESC, digest DESC LIMIT 1"
)
_BETWEEN_SQL: Final = (
    "SELECT published, digest, items, total FROM summary"
    " WHERE pool = ? AND (published, digest) > (?, ?) AND (published, digest) <= (?, ?)"
    " ORDER BY published, digest"
)
_ALL_SQL: Final = (
    "SELECT published, digest, items, total FROM summary WHERE pool = ? ORDER BY published, digest"
)
_ITEMS_SQL: Final = (
    "SELECT published, digest FROM reconciled WHERE pool = ? AND (published, digest) >= (?, ?)"
    " ORDER BY published, digest LIMIT ? OFFSET ?"
)

_DROP_EMPTY_SQL: Final = "DELETE FROM summary WHERE pool = ? AND items = 0 AND published > 0"
_DROP_ITEM_SQL: Final = "DELETE FROM reconciled WHERE pool = ? AND published = ? AND digest = ?"


class Leaf(NamedTuple):
    """An entry of a summary: its bound, how many items it stands for, and the sum of them."""

    lower: Item
    items: int
    total: int


def read_leaves(connection: Connection, pool: int) -> list[Leaf]:
    """Return the whole summary of a pool's set, in order; empty where there is none."""
    return [_leaf(row) for row in rows_of(connection, _ALL_SQL, pool)]


def read_items(
    connection: Connection, pool: int, start: Item, count: int, skip: int = 0
) -> list[Item]:
    """Return ``count`` items of a pool's set from ``start`` on, after the first ``skip``."""
    return [tuple(row) for row in rows_of(connection, _ITEMS_SQL, pool, *start, count, skip)]


def _leaf(row: Any) -> Leaf:
    published, digest, items, total = row
    return Leaf((published, digest), items, int.from_bytes(total, "little"))


def missing_items(connection: Connection, pool: int, items: Sequence[Item]) -> list[Item]:
    """Return those of ``items`` that a pool's set does not have, each once."""
    wanted = sorted(set(items))
    found: set[Item] = set()
    for start in range(0, len(wanted), _PROBES):
        part = padded(tuple(wanted[start : start + _PROBES]))
        marks = ", ".join(["(?, ?)"] * len(part))
        # one look-up per item: of a plain IN, SQLite reads the whole pool
        statement = " ".join(
            (
                "SELECT reconciled.published, reconciled.digest",
                f"FROM (VALUES {marks}) AS wanted CROSS JOIN reconciled",
                "WHERE reconciled.pool = ? AND reconciled.published = wanted.column1",
                "AND reconciled.digest = wanted.column2",
            )
        )
        values = (value for item in part for value in item)
        found.update(map(tuple, rows_of(connection, statement, *values, pool)))
    return [item for item in wanted if item not in found]


def enter_items(connection: Connection, pool: int, items: Sequence[Item], items_max: int) -> None:
    """Enter items that a pool's set does not have yet, each once."""
    if not items:
        return
    new = sorted(items)
    changed: list[Leaf] = []
    for leaf, part in _shares(_touched(connection, pool, new), new):
        if leaf.items + len(part) <= items_max:
            changed.append(Leaf(leaf.lower, leaf.items + len(part), leaf.total + _sum(part)))
        else:
            changed += _cut(connection, pool, leaf, part, items_max)
    insert_rows(connection, reconciled, [(pool, *item) for item in new])
    put_rows(connection, summary, [_row(pool, leaf) for leaf in changed])


def _touched(connection: Connection, pool: int, new: Sequence[Item]) -> list[Leaf]:
    """Return the entries under which the first to the last of ``new`` fall."""
    at = rows_of(connection, _AT_SQL, pool, *new[0])
    further = rows_of(connection, _BETWEEN_SQL, pool, *new[0], *new[-1]) if at else []
    return [_leaf(row) for row in (*at, *further)] or [Leaf(FIRST, 0, 0)]


def _shares(leaves: Sequence[Leaf], new: Sequence[Item]) -> Iterator[tuple[Leaf, Sequence[Item]]]:
    """Yield the entries that get new items, each with its own."""
    begin = 0
    for leaf, following in zip(leaves, (*leaves[1:], None), strict=True):
        end = len(new) if following is None else bisect_left(new, following.lower, begin)
        if end > begin:
            yield leaf, new[begin:end]
        begin = end


def _cut(
    connection: Connection, pool: int, leaf: Leaf, new: Sequence[Item], items_max: int
) -> list[Leaf]:
    """Return what an entry becomes that gets more items than one may have."""
    last = read_items(connection, pool, leaf.lower, 1, leaf.items - 1) if leaf.items else []
    if not last or last[0] < new[0]:
        room = items_max - leaf.items
        grown = Leaf(leaf.lower, items_max, leaf.total + _sum(new[:room]))
        return [grown, *_leaves(new[room:], items_max)]
    merged = sorted([*read_items(connection, pool, leaf.lower, leaf.items), *new])
    # parts that are not full: the next item would have one cut again
    size = -(-len(merged) // (1 + 3 * len(merged) // (2 * items_max)))
    first, *rest = _leaves(merged, size)
    return [first._replace(lower=leaf.lower), *rest]


def _leaves(items: Sequence[Item], size: int) -> list[Leaf]:
    parts = (items[start : start + size] for start in range(0, len(items), size))
    return [Leaf(part[0], len(part), _sum(part)) for part in parts]


def forget_items(connection: Connection, pool: int, floor: int, most: int) -> int:
    """Remove at most ``most`` items published before ``floor``; return how many."""
    statement = (
        "SELECT published, digest FROM reconciled WHERE pool = ? AND published < ?"
        " ORDER BY published, digest LIMIT ?"
    )
    gone: list[Item] = [tuple(row) for row in rows_of(connection, statement, pool, floor, most)]
    if not gone:
        return 0
    # All entries up to the one of the last item gone lose everything, that one perhaps not
    touched = _touched(connection, pool, gone)
    items = sum(leaf.items for leaf in touched) - len(gone)
    total = sum(leaf.total for leaf in touched) - _sum(gone)
    for table in (reconciled, summary):
        up_to = "WHERE pool = ? AND (published, digest) <= (?, ?)"
        execute(connection, " ".join(("DELETE FROM", table.name, up_to)), pool, *gone[-1])
    put_rows(connection, summary, [_row(pool, Leaf(FIRST, items, total))])
    return len(gone)


def remove_items(connection: Connection, pool: int, items: Sequence[Item]) -> None:
    """Remove items that a pool's set has, wherever they stand; entries left empty go too."""
    if not items:
        return
    gone = sorted(items)
    left = [
        Leaf(leaf.lower, leaf.items - len(part), leaf.total - _sum(part))
        for leaf, part in _shares(_touched(connection, pool, gone), gone)
    ]
    put_rows(connection, summary, [_row(pool, leaf) for leaf in left])
    execute(connection, _DROP_EMPTY_SQL, pool)
    for published, digest in gone:
        execute(connection, _DROP_ITEM_SQL, pool, published, digest)


def leave_sets(connection: Connection, items: Sequence[Item]) -> None:
    """Remove items from the set of every pool that has them."""
    pools = rows_of(connection, "SELECT id FROM pool ORDER BY id") if items else ()
    for (pool,) in pools:
        absent = set(missing_items(connection, pool, items))
        remove_items(connection, pool, [item for item in items if item not in absent])


def _sum(items: Sequence[Item]) -> int:
    return sum([int.from_bytes(digest, "little") for _, digest in items])


def _row(pool: int, leaf: Leaf) -> tuple[Any, ...]:
    return pool, *leaf.lower, leaf.items, (leaf.total % _MODULUS).to_bytes(_TOTAL_BYTES, "little")
