"""Range-based set reconciliation: Negentropy Protocol V1 as a pure state machine.

Two nodes find what differs between two sets by fingerprints of ranges: a range whose fingerprints
differ is cut in sixteen, one with few items is sent as a list. The initiator calls `initiate`, then
`continue_` with every answer until it has nothing to say; the other side calls `respond`. Neither
keeps anything between messages but its set. Source: docs/negentropy-protocol-v1.md in the
repository hoytech/negentropy; for the same sets, messages equal those of the reference
implementation there byte for byte, up to `RANGES_MAX`.

A message of a hostile peer costs at most `RANGES_MAX` look-ups for what it holds, and about one per
20 bytes that may be answered (`frame_bytes_max`). It may make the initiator read all of its items,
once per message, in portions; as may that of an honest peer which holds next to nothing.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple, Protocol, Self

from replicator.errors import OtherVersion
from replicator.protocol.ids import INTEGER_MAX
from replicator.protocol.negentropy_form import (
    DIGEST_BYTES,
    END,
    FINGERPRINT_BYTES,
    START,
    Bound,
    Mode,
    Writer,
    digests,
    ranges,
    varint,
)

__all__ = ["Bound", "Item", "Items", "SortedItems", "Step", "continue_", "initiate", "respond"]

Item = tuple[int, bytes]
"""(published in ms, the digest's 32 bytes); tuples order as the protocol wants it."""

FRAME_BYTES_MIN: Final = 4096
"""Smallest bound of a message, the reference's own."""
_RESERVED_BYTES: Final = 200
"""Of a frame, the reference's own: the last range may end beyond the bound, and one follows."""
_BUCKETS: Final = 16
"""Parts that a range is cut in; one with fewer than twice as many items is listed."""
RANGES_MAX: Final = 16_384
"""Ranges of one message that are looked into; of the rest one fingerprint is sent, as where a frame
is full. A frame of 256 KiB holds 13,797 fingerprints, so that only lists of next to no items go
beyond: of those a hostile frame holds 65,000, an honest one hardly any."""
_PORTION_ITEMS: Final = 4_096
"""Items read at a time."""
_SMALL_ITEMS: Final = 512
"""A range of no more is read at once to be cut, in place of asking for 16 sums and 15 bounds."""
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
        """Return the number of items below ``bound``, which is the position of the first not.

        Its time is one that a post may have: at most 2^53 - 1.
        """

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


class Step(NamedTuple):
    """What the initiator learned from one answer.

    Args:
        have: digests that the other side lacks. Where frames were full, a later step may name some
            again.
        need: digests that we lack; likewise. A dishonest peer may name some that we hold.
        message: what to send next; None: the sets are compared, nothing is left to ask.
    """

    have: tuple[bytes, ...]
    need: tuple[bytes, ...]
    message: bytes | None


def initiate(items: Items, frame_bytes_max: int = 0) -> bytes:
    """Return the first message of a comparison, at most about 1 kB.

    Raises:
        ValueError: ``frame_bytes_max`` is neither 0 (no bound) nor at least `FRAME_BYTES_MIN`.
    """
    talk = _Talk(items, frame_bytes_max)
    talk.describe(0, len(items), END)
    return talk.out.message()


def respond(items: Items, message: bytes, frame_bytes_max: int = 0) -> bytes:
    """Return the answer to a message of an initiator; to one of another version, our version.

    Args:
        items: our set.
        message: as it came.
        frame_bytes_max: of the answer: 0 (no bound) or at least `FRAME_BYTES_MIN`.

    Raises:
        Malformed: the message does not have the form.
    """
    talk = _Answering(items, frame_bytes_max)
    try:
        talk.hear(message)
    except OtherVersion:
        return Writer().message()
    return talk.out.message()


def continue_(
    items: Items, message: bytes, frame_bytes_max: int = 0, have_max: int | None = None
) -> Step:
    """Return what an answer tells the initiator, and its next message.

    Args:
        items: our set, the same for the whole comparison.
        message: as it came.
        frame_bytes_max: of the next message: 0 (no bound) or at least `FRAME_BYTES_MIN`.
        have_max: digests that ``have`` may hold; more are left out, the next comparison finds
            them. To a peer that holds nothing ours are all of them.

    Raises:
        OtherVersion: the peer speaks another version.
        Malformed: the message does not have the form.
    """
    talk = _Asking(items, frame_bytes_max, have_max)
    talk.hear(message)
    said = talk.out.message() if len(talk.out) > 1 else None
    return Step(tuple(talk.have), tuple(talk.need), said)


class _Talk:
    """One message heard and one written; what the two sides have in common."""

    def __init__(self, items: Items, frame_bytes_max: int) -> None:
        if frame_bytes_max and frame_bytes_max < FRAME_BYTES_MIN:
            raise ValueError(f"frame_bytes_max is below {FRAME_BYTES_MIN}")
        self.items = items
        self.out = Writer()
        self._room = frame_bytes_max - _RESERVED_BYTES if frame_bytes_max else None
        self._agreed: Bound | None = None
        """Up to where there is nothing to say, while that is not written."""

    def hear(self, message: bytes) -> None:
        """Go through the ranges of ``message`` and write about each what is to be said."""
        before, upper, looked_into = START, 0, 0
        skipped = False
        for bound, mode, payload in ranges(message):
            if mode is Mode.SKIP:
                self._agreed, skipped = bound, True
            elif looked_into == RANGES_MAX:
                self._say_rest(before)
                return
            else:
                # Only now: a message may be all of ranges to skip, three bytes each
                lower = self._rank(before) if skipped else upper
                upper, skipped = self._rank(bound), False
                looked_into += 1
                listed = mode is Mode.IDS
                end = (self._list if listed else self._compare)(lower, upper, bound, payload)
                if end is not None:
                    self.out.fingerprint(END, self._fingerprint(self.items, end, len(self.items)))
                    return
            before = bound

    def describe(self, lower: int, upper: int, bound: Bound) -> None:
        """Write what we hold in a range: its items, or sixteen fingerprints."""
        count = upper - lower
        if count < 2 * _BUCKETS:
            self.out.ids(bound, [digest for _, digest in self._read(lower, upper)])
            return
        items = self.items
        if count <= _SMALL_ITEMS:
            items, lower, upper = SortedItems(items.slice(lower, upper)), 0, count
        size, larger = divmod(count, _BUCKETS)
        sizes = (size + (number < larger) for number in range(_BUCKETS))
        for begin, end in pairwise(accumulate(sizes, initial=lower)):
            place = bound if end == upper else _between(*items.slice(end - 1, end + 1))
            self.out.fingerprint(place, self._fingerprint(items, begin, end))

    def _list(self, lower: int, upper: int, bound: Bound, payload: bytes) -> int | None:
        """Deal with a list of the other side's items; returns as `_compare`."""
        raise NotImplementedError

    def _compare(self, lower: int, upper: int, bound: Bound, payload: bytes) -> int | None:
        """Deal with a fingerprint; where the frame is full, return where its last one begins.

        That is ``upper`` even where what was to be said of this range is taken back: so the
        reference does. Fingerprints then differ, and the range is found again.
        """
        if payload == self._fingerprint(self.items, lower, upper):
            self._agreed = bound
            return None
        length = len(self.out)
        self._say_agreed()
        self.describe(lower, upper, bound)
        if self._full():
            self.out.cut(length)
            return upper
        return None

    def _say_agreed(self) -> None:
        if self._agreed is not None:
            self.out.skip(self._agreed)
            self._agreed = None

    def _say_rest(self, bound: Bound) -> None:
        """Write one fingerprint of all from ``bound`` on."""
        if bound != END:
            self._say_agreed()
            rest = self._fingerprint(self.items, self._rank(bound), len(self.items))
            self.out.fingerprint(END, rest)

    def _full(self) -> bool:
        return self._room is not None and len(self.out) > self._room

    def _rank(self, bound: Bound) -> int:
        # A store need not know numbers that no post may have
        return self.items.rank(bound) if bound[0] <= INTEGER_MAX else len(self.items)

    def _read(self, begin: int, end: int) -> Sequence[Item]:
        # Empty ranges are the cheapest to send: they cost the store nothing
        return self.items.slice(begin, end) if begin < end else ()

    @staticmethod
    def _fingerprint(items: Items, begin: int, end: int) -> bytes:
        total = items.total(begin, end) if begin < end else 0
        hashed = hashlib.sha256(total.to_bytes(DIGEST_BYTES, "little") + varint(end - begin))
        return hashed.digest()[:FINGERPRINT_BYTES]


class _Answering(_Talk):
    """The side that was asked: a list is answered by a list."""

    def _list(self, lower: int, upper: int, bound: Bound, payload: bytes) -> int | None:
        count = upper - lower
        if self._room is not None:
            # One more may begin wherever there is still room
            count = min(count, (self._room - len(self.out)) // DIGEST_BYTES + 1)
        read = self._read(lower, min(lower + count + 1, upper))
        self._say_agreed()
        end = lower + count
        self.out.ids(bound if end == upper else read[count], [one[1] for one in read[:count]])
        return end if self._full() else None


class _Asking(_Talk):
    """The initiator: a list settles a range."""

    def __init__(self, items: Items, frame_bytes_max: int, have_max: int | None) -> None:
        super().__init__(items, frame_bytes_max)
        self.have: list[bytes] = []
        self.need: dict[bytes, None] = {}
        self._have_max = have_max

    def _list(self, lower: int, upper: int, bound: Bound, payload: bytes) -> int | None:
        theirs = dict.fromkeys(digests(payload))
        for begin in range(lower, upper, _PORTION_ITEMS):
            room = self._have_room()
            if not (theirs or room):
                break
            only_ours = []
            for _, digest in self.items.slice(begin, min(begin + _PORTION_ITEMS, upper)):
                if digest in theirs:
                    del theirs[digest]
                else:
                    only_ours.append(digest)
            self.have += only_ours[:room]
        self.need |= theirs
        self._agreed = bound
        return None

    def _have_room(self) -> int:
        return len(self.items) if self._have_max is None else self._have_max - len(self.have)


def _between(last: Item, first: Item) -> Bound:
    """Return the shortest bound above ``last`` that is not above ``first``, its successor."""
    if last[0] != first[0]:
        return first[0], b""
    shared = next(at for at in range(DIGEST_BYTES) if last[1][at] != first[1][at])
    return first[0], first[1][: shared + 1]


def _add(one: int, other: int) -> int:
    return (one + other) & _MODULUS_MASK
