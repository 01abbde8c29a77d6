"""Targets ``frame`` and ``talk``: Negentropy messages, and the state machine against itself.

Any message is read or `Malformed`, and what is said to it is bounded. Two honest sides find exactly
what differs; a message changed on its way makes them wrong at worst, never endless.
"""

import hashlib
from functools import cache
from typing import Final

from replicator.errors import Malformed
from replicator.protocol.negentropy_form import END, Mode, Range, Writer, digests, ranges
from replicator.rules import negentropy
from replicator.rules.negentropy import Item, SortedItems, Step
from tests.fuzz import vectors
from tests.fuzz.target import Bytes, Target, require

FRAME_BYTES: Final = 4096
_HAVE_MAX: Final = 50
_ROUNDS_MAX: Final = 64
"""Questions of a talk over at most 300 items; honest ones need below ten, framed ones more."""


def _items(name: str, count: int, *, spread: int = 1000) -> list[Item]:
    found = (_digest(f"{name}/{number}") for number in range(count))
    return [((one[0] << 8 | one[1]) % spread, one) for one in found]


@cache
def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


HELD: Final = SortedItems(_items("held", 200))


def read_frame(data: bytes) -> bool:
    """Judge one message, as it would come from a peer."""
    sizes = (0, FRAME_BYTES)
    try:
        found = list(ranges(data))
    except Malformed:
        found = None
    if found is not None:
        _check_written(data, found)
    for size in sizes:
        try:
            answer = negentropy.respond(HELD, data, size)
        except Malformed:
            continue
        listed = sum(one.mode is not Mode.SKIP for one in found or ())
        bound = size or 64 + (len(HELD) + 1) * 34 * max(1, listed)
        require(len(answer) <= bound, f"{len(answer)} bytes of answer")
        list(ranges(answer))
    for size in sizes:
        try:
            step = negentropy.continue_(HELD, data, size, _HAVE_MAX)
        except Malformed:
            continue
        require(len(step.have) <= _HAVE_MAX, "more is to be sent than was allowed")
        require(len(step.need) * 32 <= len(data), "more is needed than was named")
        require(size == 0 or len(step.message or b"") <= size, "a question beyond its frame")
    return found is not None


def _check_written(data: bytes, found: list[Range]) -> None:
    require(len(found) * 3 <= len(data), "more ranges than bytes hold")
    writer = Writer()
    for one in found:
        if one.mode is Mode.SKIP:
            writer.skip(one.bound)
        elif one.mode is Mode.FINGERPRINT:
            writer.fingerprint(one.bound, one.payload)
        else:
            writer.ids(one.bound, list(digests(one.payload)))
    require(list(ranges(writer.message())) == found, "ranges are written as others")
    if all(one.bound != END for one in found[:-1]):
        require(writer.message() == data, "a message has a second spelling")
    places = [(time, prefix.ljust(32, b"\0")) for time, prefix in (one.bound for one in found)]
    require(places == sorted(places), "bounds go back")


def compare(data: bytes) -> bool:
    """Judge one talk: two sets and a frame drawn from the input, and what harms its messages."""
    drawn = Bytes(data)
    kind, count, spread = drawn.byte(), drawn.number(2) % 300, 1 + drawn.number(2) % 2000
    frame = FRAME_BYTES if kind & 1 else 0
    harm_at, harm = drawn.byte() % 8, drawn.take(6) if kind & 2 else b""
    owners = drawn.rest() or b"\x03"
    ours: list[Item] = []
    theirs: list[Item] = []
    for number, item in enumerate(_items("talk", count, spread=spread)):
        owner = owners[number % len(owners)] ^ (number // len(owners)) & 0xFF
        if owner & 3 != 2:
            ours.append(item)
        if owner & 3 != 1:
            theirs.append(item)
    try:
        have, need = _talk(SortedItems(ours), SortedItems(theirs), frame, (harm_at, harm))
    except Malformed:
        require(harm, "an honest message is malformed")
        return False
    known = {digest for _, digest in (*ours, *theirs)}
    require(have <= {digest for _, digest in ours}, "have what is not held")
    if not harm:
        require(have == _only(ours, theirs), "have is not what the other lacks")
        require(need == _only(theirs, ours), "need is not what we lack")
        require(need <= known, "need what nobody holds")
    return True


def _only(one: list[Item], other: list[Item]) -> set[bytes]:
    return {digest for _, digest in one} - {digest for _, digest in other}


def _talk(
    ours: SortedItems, theirs: SortedItems, frame: int, harm: tuple[int, bytes]
) -> tuple[set[bytes], set[bytes]]:
    have: set[bytes] = set()
    need: set[bytes] = set()
    message: bytes | None = negentropy.initiate(ours, frame)
    sent = 0
    while message is not None:
        require(sent < _ROUNDS_MAX, f"still talking after {sent} questions")
        require(frame == 0 or len(message) <= frame, "a question beyond its frame")
        answer = negentropy.respond(theirs, _harmed(message, sent, harm), frame)
        require(frame == 0 or len(answer) <= frame, "an answer beyond its frame")
        step: Step = negentropy.continue_(ours, _harmed(answer, sent + 1, harm), frame)
        have |= set(step.have)
        need |= set(step.need)
        message, sent = step.message, sent + 1
    return have, need


def _harmed(message: bytes, number: int, harm: tuple[int, bytes]) -> bytes:
    """Return a message as it arrives: one place of it is overwritten, cut or lengthened."""
    at, what = harm
    if number != at or len(what) < 4:
        return message
    place = int.from_bytes(what[:2], "big") % (len(message) + 1)
    drop = what[2] % 40
    return message[:place] + what[3:] + message[place + drop :]


def _talks() -> list[bytes]:
    plain = [
        bytes([kind, 0, count, 3, 232, 0]) + bytes(range(4)) * 8
        for kind in (0, 1)
        for count in (0, 1, 31, 33, 255)
    ]
    large = [bytes([kind, 1, 40, 0, 5, 0]) + bytes([3] * 50 + [1, 2]) for kind in (0, 1)]
    harmed = [bytes([3, 1, 44, 3, 232, n, 0, 20 * n, n, 1, 0, 255]) + b"\1\2\3" for n in range(4)]
    return [*plain, *large, *harmed]


_TOKENS: Final = (
    b"\x61", b"\x60", b"\x62", b"\x00\x00\x00", b"\x00\x00\x01", b"\x00\x00\x02", b"\x80",
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00",
    b"\x01\x00\x02\x00", b"\x01\x00\x00", b"\x01\x20" + bytes(32), b"\x00" * 16,
    HELD.slice(0, 1)[0][1],
)  # fmt: skip
FRAME: Final = Target("frame", read_frame, vectors.frames, _TOKENS, 2048)
TALK: Final = Target("talk", compare, _talks, (), 512)
