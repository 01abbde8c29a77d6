"""Range-based set reconciliation: Negentropy Protocol V1 as a pure state machine.

(Contract of the set; the state machine follows in this module.)
"""

from collections.abc import Sequence
from typing import Protocol

Item = tuple[int, bytes]
"""(published in ms, the digest's 32 bytes); tuples order as the protocol wants it."""
Bound = tuple[int, bytes]
"""A place between items: (time, prefix of a digest). Items below it are smaller tuples."""


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
