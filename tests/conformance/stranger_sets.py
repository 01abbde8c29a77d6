"""Negentropy by the same stranger: section 11 of PROTOCOL.md, as plainly as it reads.

Items are (published, digest) in a list; every range is counted out by looking at all of them.
"""

import hashlib

Item = tuple[int, bytes]
Bound = tuple[int, bytes]
Range = tuple[Bound, int, object]
START: Bound = (0, bytes(32))
END: Bound = (2**64, bytes(32))
SKIP, FINGERPRINT, LIST = 0, 1, 2


def number(value: int) -> bytes:
    digits = [value % 128]
    while value >= 128:
        value //= 128
        digits.append(128 + value % 128)
    return bytes(reversed(digits))


def take_number(data: bytes) -> tuple[int, bytes]:
    value = 0
    for at, byte in enumerate(data):
        value = 128 * value + byte % 128
        if byte < 128:
            return value, data[at + 1 :]
    raise ValueError("cut off within a number")


def within(items: list[Item], lower: Bound, upper: Bound) -> list[Item]:
    return sorted(item for item in items if lower <= item < upper)


def fingerprint(items: list[Item]) -> bytes:
    total = sum(int.from_bytes(digest, "little") for _, digest in items) % 2**256
    data = total.to_bytes(32, "little") + number(len(items))
    return hashlib.sha256(data).digest()[:16]


def parse(message: bytes) -> list[Range]:
    """Return the ranges of a message; prefixes are filled up with zero bytes."""
    if message[0] != 0x61:
        raise ValueError("another version")
    data, found, time = message[1:], [], 0
    while data:
        ahead, data = take_number(data)
        length, data = take_number(data)
        prefix, data = data[:length], data[length:]
        time += ahead - 1
        bound = (time, prefix.ljust(32, b"\0")) if ahead else END
        mode, data = take_number(data)
        said: object = None
        if mode == FINGERPRINT:
            said, data = data[:16], data[16:]
        elif mode == LIST:
            count, data = take_number(data)
            said = [data[32 * at : 32 * (at + 1)] for at in range(count)]
            data = data[32 * count :]
        found.append((bound, mode, said))
    return found


def render(ranges: list[tuple[Bound, bytes]]) -> bytes:
    """Return a message of bounds (prefixes as short as written) and what stands behind them."""
    message, time = b"\x61", 0
    for (at, prefix), rest in ranges:
        if at == END[0]:
            message += number(0) + number(0) + rest
        else:
            message += number(1 + at - time) + number(len(prefix)) + prefix + rest
            time = at
    return message


def describe(items: list[Item], bound: Bound) -> list[tuple[Bound, bytes]]:
    """Describe a range that holds these items, in order."""
    if len(items) < 32:
        digests = b"".join(digest for _, digest in items)
        return [(bound, number(LIST) + number(len(items)) + digests)]
    found, rest = [], items
    for left in range(16, 0, -1):
        size = -(-len(rest) // left)
        part, rest = rest[:size], rest[size:]
        place = between(part[-1], rest[0]) if rest else bound
        found.append((place, number(FINGERPRINT) + fingerprint(part)))
    return found


def between(one: Item, other: Item) -> Bound:
    if one[0] != other[0]:
        return other[0], b""
    length = 1
    while one[1][:length] == other[1][:length]:
        length += 1
    return other[0], other[1][:length]


def shortest(bound: Bound) -> Bound:
    """Return a bound as it came: what is written shorter than 32 bytes ends in no zero byte."""
    return bound[0], bound[1].rstrip(b"\0")


def first_message(items: list[Item]) -> bytes:
    return render(describe(sorted(items), END))


def answer(items: list[Item], message: bytes, frame: int = 0) -> bytes:
    """Return the answerer's message, kept to a frame of so many bytes (0: of any length)."""
    said, _, _ = _go_through(items, message, frame, asker=False)
    return said


def learn(
    items: list[Item], message: bytes, frame: int = 0
) -> tuple[list[bytes], list[bytes], bytes | None]:
    """Return what only the asker has, what only the answerer has, and the next message."""
    said, have, need = _go_through(items, message, frame, asker=True)
    return have, need, said if len(said) > 1 else None


def _go_through(
    items: list[Item], message: bytes, frame: int, *, asker: bool
) -> tuple[bytes, list[bytes], list[bytes]]:
    out: list[tuple[Bound, bytes]] = []
    have: list[bytes] = []
    need: list[bytes] = []
    room = frame - 200 if frame else 2**64
    lower, skipped = START, None
    for bound, mode, said in parse(message):
        part, end = within(items, lower, bound), bound
        described: list[tuple[Bound, bytes]] = []
        if mode == FINGERPRINT and said != fingerprint(part):
            described = describe(part, shortest(bound))
        elif mode == LIST and not asker:
            described, end = own_list(part, bound, room - len(render(out)))
        elif mode == LIST and isinstance(said, list):
            ours = [digest for _, digest in part]
            have += [digest for digest in ours if digest not in said]
            need += [digest for digest in said if digest not in ours]
        skip = [(shortest(skipped), number(SKIP))] if skipped and described else []
        if len(render(out + skip + described)) > room:
            out += skip + described if mode == LIST else []
            rest = within(items, end, END)
            out.append((END, number(FINGERPRINT) + fingerprint(rest)))
            break
        out += skip + described
        lower, skipped = bound, None if described else bound
    return render(out), have, need


def own_list(part: list[Item], bound: Bound, room: int) -> tuple[list[tuple[Bound, bytes]], Bound]:
    """Return an answerer's list of a range and where it ends: before ``bound`` if room runs out."""
    given = [item for place, item in enumerate(part) if 32 * place <= room]
    left = part[len(given) :]
    digests = b"".join(digest for _, digest in given)
    listed = number(LIST) + number(len(given)) + digests
    return [(left[0] if left else shortest(bound), listed)], left[0] if left else bound
