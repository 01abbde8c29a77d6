"""A pool's reconciled set as `rules.negentropy.Items`, answered by position from its summary.

Lives within one transaction that sees one moment. The summary is read once; the items of an entry
are read where a range begins or ends within it, and kept for a while: ranges come in order.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from sqlalchemy import Connection

from replicator.adapters.sql.summary import Leaf, read_items, read_leaves
from replicator.rules.negentropy import Bound, Item

_MODULUS_MASK: Final = 2**256 - 1
_KEPT: Final = 64
"""Entries whose items are kept: those at both ends of all ranges that are cut from one."""


class SummedItems:
    """The items of a set from ``since`` (ms) on.

    Args:
        connection: in a transaction that sees one moment.
        pool: its number in this database; None: no post has it.
        since: of what was published before, nothing is told.
    """

    def __init__(self, connection: Connection, pool: int | None, since: int) -> None:
        self._connection = connection
        self._pool = 0 if pool is None else pool
        leaves = [] if pool is None else read_leaves(connection, pool)
        self._leaves: list[Leaf] = leaves
        self._lowers = [leaf.lower for leaf in leaves]
        self._counts = list(accumulate((leaf.items for leaf in leaves), initial=0))
        self._sums = list(accumulate((leaf.total for leaf in leaves), initial=0))
        self._read: OrderedDict[int, tuple[list[Item], list[int]]] = OrderedDict()
        self._first = 0
        self._first = self.rank((since, b""))

    def __len__(self) -> int:
        return self._counts[-1] - self._first

    def slice(self, begin: int, end: int) -> Sequence[Item]:
        """Return the items at positions from ``begin`` to before ``end``."""
        begin, end = begin + self._first, min(end + self._first, self._counts[-1])
        if begin >= end:
            return []
        leaf = self._leaf_of(begin)
        skip = begin - self._counts[leaf]
        if end <= self._counts[leaf + 1]:
            return self._items(leaf)[0][skip : end - self._counts[leaf]]
        start = self._lowers[leaf]
        return read_items(self._connection, self._pool, start, end - begin, skip)

    def rank(self, bound: Bound) -> int:
        """Return the number of items below ``bound``."""
        leaf = bisect_right(self._lowers, bound) - 1
        if leaf < 0:
            return 0
        below = self._counts[leaf]
        if self._lowers[leaf] != bound:
            below += bisect_left(self._items(leaf)[0], bound)
        return max(0, below - self._first)

    def total(self, begin: int, end: int) -> int:
        """Return the sum of the digests there, modulo 2^256."""
        return (self._sum_to(end + self._first) - self._sum_to(begin + self._first)) & _MODULUS_MASK

    def _sum_to(self, position: int) -> int:
        """Return the sum of all digests before a position of the whole set."""
        leaf = self._leaf_of(position)
        skip = position - self._counts[leaf]
        if skip == 0:
            return self._sums[leaf]
        return self._sums[leaf] + self._items(leaf)[1][skip]

    def _leaf_of(self, position: int) -> int:
        """Return the entry that has a position; after the last item, the number of entries."""
        return bisect_right(self._counts, position) - 1

    def _items(self, leaf: int) -> tuple[list[Item], list[int]]:
        """Return the items of an entry and the sums of all their beginnings."""
        kept = self._read.get(leaf)
        if kept is None:
            count = self._leaves[leaf].items
            items = read_items(self._connection, self._pool, self._lowers[leaf], count)
            numbers = (int.from_bytes(digest, "little") for _, digest in items)
            kept = self._read[leaf] = items, list(accumulate(numbers, initial=0))
            if len(self._read) > _KEPT:
                self._read.popitem(last=False)
        self._read.move_to_end(leaf)
        return kept
