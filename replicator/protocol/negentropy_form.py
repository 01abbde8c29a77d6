"""The wire form of a Negentropy message: ranges with bounds, read strictly and written shortly.

Pure. The form is that of Negentropy Protocol V1 (docs/negentropy-protocol-v1.md in the repository
hoytech/negentropy): a version byte, then ranges that follow each other without gaps. Reading is
lazy and takes time and memory in the order of the message; what an honest peer never writes
(numbers with leading zeros, bounds that go back, anything after the end of time but an empty
range) is `Malformed`. What ranges mean is `replicator.rules.negentropy`'s.
"""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from replicator.errors import Malformed, OtherVersion

Bound = tuple[int, bytes]
"""A place between items: (time, prefix of a digest). Items below it are smaller tuples."""

VERSION: Final = 0x61
"""The first byte of every message: version 1."""
_VERSIONS: Final = range(0x60, 0x70)
DIGEST_BYTES: Final = 32
FINGERPRINT_BYTES: Final = 16
_TIME_END: Final = 2**64 - 1
START: Final[Bound] = (0, b"")
END: Final[Bound] = (_TIME_END, b"")
"""Above all items; its time, the largest of 64 bits, is none that an item may have."""
_VARINT_BYTES_MAX: Final = 10


class Mode(IntEnum):
    """What a range holds."""

    SKIP = 0
    FINGERPRINT = 1
    IDS = 2


class Range(NamedTuple):
    """The part of a message that is about the items from the range before up to ``bound``.

    ``payload`` is empty, a fingerprint, or digests one after the other, as ``mode`` says.
    """

    bound: Bound
    mode: Mode
    payload: bytes


def ranges(message: bytes) -> Iterator[Range]:
    """Check the version of a message at once; return its ranges, read one by one.

    Raises:
        OtherVersion: a version byte other than ours.
        Malformed: the message, as far as it was read, does not have the form.
    """
    if not message or message[0] not in _VERSIONS:
        raise Malformed("no Negentropy message: it does not begin with a version")
    if message[0] != VERSION:
        raise OtherVersion(f"version {message[0] - _VERSIONS.start} of Negentropy, not 1")
    return _read(message)


def digests(payload: bytes) -> Iterator[bytes]:
    """Return the digests in the payload of a range of mode `Mode.IDS`."""
    return (payload[at : at + DIGEST_BYTES] for at in range(0, len(payload), DIGEST_BYTES))


def varint(number: int) -> bytes:
    """Return a number in base 128, the most significant digit first, as short as can be."""
    digits = bytearray([number & 0x7F])
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    digits.reverse()
    return bytes(digits)


class Writer:
    """A message in the making: ranges in ascending order, times as differences."""

    def __init__(self) -> None:
        self._out = bytearray([VERSION])
        self._time = 0

    def __len__(self) -> int:
        return len(self._out)

    def message(self) -> bytes:
        """Return what was written."""
        return bytes(self._out)

    def skip(self, bound: Bound) -> None:
        """Write a range that nothing is said about."""
        self._head(bound, Mode.SKIP)

    def fingerprint(self, bound: Bound, fingerprint: bytes) -> None:
        """Write a range with the fingerprint of its items."""
        self._head(bound, Mode.FINGERPRINT)
        self._out += fingerprint

    def ids(self, bound: Bound, held: Sequence[bytes]) -> None:
        """Write a range with the digests of its items."""
        self._head(bound, Mode.IDS)
        self._out += varint(len(held))
        self._out += b"".join(held)

    def cut(self, length: int) -> None:
        """Take back all beyond ``length``; only `END` may be written as a bound afterwards."""
        del self._out[length:]

    def _head(self, bound: Bound, mode: Mode) -> None:
        time, prefix = bound
        self._out += varint(0 if time == _TIME_END else 1 + time - self._time)
        self._out += varint(len(prefix))
        self._out += prefix
        self._out.append(mode)
        self._time = time


def _read(message: bytes) -> Iterator[Range]:
    at, before = 1, START
    while at < len(message):
        bound, at = _read_bound(message, at, before)
        number, at = _read_varint(message, at)
        if number == Mode.IDS:
            count, at = _read_varint(message, at)
            mode, size = Mode.IDS, count * DIGEST_BYTES
        elif number == Mode.FINGERPRINT:
            mode, size = Mode.FINGERPRINT, FINGERPRINT_BYTES
        elif number == Mode.SKIP:
            mode, size = Mode.SKIP, 0
        else:
            raise Malformed(f"mode {number} of a range, at byte {at}")
        # Compared before anything is made of the size: it may be any number of 64 bits
        if size > len(message) - at:
            raise Malformed(f"a range is longer than the message, at byte {at}")
        yield Range(bound, mode, message[at : at + size])
        at, before = at + size, bound


def _read_bound(message: bytes, at: int, before: Bound) -> tuple[Bound, int]:
    encoded, at = _read_varint(message, at)
    length, at = _read_varint(message, at)
    if length > min(DIGEST_BYTES, len(message) - at):
        raise Malformed(f"a bound's prefix of {length} bytes, at byte {at}")
    prefix, at = message[at : at + length], at + length
    if encoded == 0:
        if prefix:
            raise Malformed(f"the end of time has no prefix, at byte {at}")
        return END, at
    time = before[0] + encoded - 1
    if time >= _TIME_END:
        raise Malformed(f"a time beyond 64 bits, at byte {at}")
    # Trailing zeros mean nothing
    if time == before[0] and prefix.rstrip(b"\0") < before[1].rstrip(b"\0"):
        raise Malformed(f"bounds go back, at byte {at}")
    return (time, prefix), at


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place in range(at, min(at + _VARINT_BYTES_MAX, len(message))):
        digit = message[place]
        if digit == 0x80 and place == at:
            raise Malformed(f"a number with a leading zero, at byte {at}")
        number = number << 7 | digit & 0x7F
        if digit < 0x80:
            if number > _TIME_END:
                break
            return number, place + 1
    else:
        if len(message) - at < _VARINT_BYTES_MAX:
            raise Malformed(f"the message ends within a number, at byte {at}")
    raise Malformed(f"a number beyond 64 bits, at byte {at}")
