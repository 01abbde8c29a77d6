"""Range-based set reconciliation: Negentropy Protocol V1 as a pure state machine.

(The state machine follows in this module.)
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Protocol, Self

Item = tuple[int, bytes]
"""(published in ms, the digest's 32 bytes); tuples order as the protocol wants it."""
Bound = tuple[int, bytes]
"""A place between items: (time, prefix of a digest). Items below it are smaller tuples."""

_MODULUS_MASK: Final = 2**256 - 1


class Items(Protocol):
    """An ordered set of items that answers by position; positions count from 0.

    It does not change while it is used. Reading few positions must not cost reading all.
    """

    def __len__(self) -> int:
        """Return the number of items."""

    def slice(self, begin: int, end: int) -> Sequence[Item]:
        """Return the items at positions from ``begin`` to before ``end``."""

    def rank(self, bound: Bound) -> int:
        """Return the number of items below ``bound``, which is the position of the first not."""

    def total(self, begin: int, end: int) -> int:
        """Return the sum of the digests there, as little-endian numbers, modulo 2^256."""


class SortedItems:
    """`Items` in memory: a sorted list, and the sums of all its beginnings.

    Args:
        items: in any order; one that is given twice counts once.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = sorted(set(items))
        numbers = (int.from_bytes(digest, "little") for _, digest in self._items)
        self._sums = list(accumulate(numbers, _add, initial=0))
        self._first = 0

    def since(self, published: int) -> Self:
        """Return the items published at that time or later; the lists are shared, not copied."""
        view = object.__new__(type(self))
        view._items, view._sums = self._items, self._sums
        view._first = max(self._first, bisect_left(self._items, (published, b"")))
        return view

    def __len__(self) -> int:
        return len(self._items) - self._first

    def slice(self, begin: int, end: int) -> Sequence[Item]:
        """Return the items at positions from ``begin`` to before ``end``."""
        return self._items[self._first + begin : self._first + end]

    def rank(self, bound: Bound) -> int:
        """Return the number of items below ``bound``."""
        return bisect_left(self._items, bound, self._first) - self._first

    def total(self, begin: int, end: int) -> int:
        """Return the sum of the digests there, modulo 2^256."""
        return (self._sums[self._first + end] - self._sums[self._first + begin]) & _MODULUS_MASK


def _add(one: int, other: int) -> int:
    return (one + other) & _MODULUS_MASK
