"""What is expensive to read, sent by those whose requests are refused before it is read."""

from collections.abc import Callable
from typing import Final

from replicator.node.identity import Identity
from replicator.protocol import codec
from tests.support.hostile.arena import Arena, Case, case, compact, of_kind
from tests.support.hostile.compressions import ZEROS
from tests.support.hostile.posts import HEAD, PLAIN, keys_of, signed
from tests.support.hostile.xml_documents import LAUGHS

UNKNOWN: Final = (403, "unknown-sender")
MALFORMED: Final = (400, "malformed")
FORBIDDEN: Final = (403, "forbidden")
DEEP: Final = b"[" * 1_000_000
Who = Callable[[Arena], Identity]


def _stranger(arena: Arena) -> Identity:
    return arena.stranger


def _pinned(arena: Arena) -> Identity:
    return arena.pinned


def _body(name: str, who: Who, body: bytes, expected: tuple[int, str], media_type: str) -> Case:
    return case(name, lambda a: a.request(body, media_type, sender=who(a)), expected)


def _bomb(name: str, who: Who, expected: tuple[int, str]) -> Case:
    return case(name, lambda a: a.request(ZEROS, sender=who(a), encoding="gzip"), expected)


def _put(name: str, who: Who, expected: tuple[int, str]) -> Case:
    """Return a put of 500 posts whose signatures would have to be verified."""

    def make(arena: Arena) -> bytes:
        item = signed({**PLAIN, "id": f"{who(arena).node_id}/1"}, keys_of(who(arena)))
        return arena.request(compact({**HEAD, "models": [item] * 500}), sender=who(arena))

    return case(name, make, expected)


def _ask(name: str, who: Who, request: dict[str, object], expected: tuple[int, str]) -> Case:
    body = compact({**HEAD, **request})
    return case(name, lambda arena: arena.request(body, sender=who(arena)), expected)


CASES = of_kind(
    "senders",
    [
        _body("a stranger's million levels", _stranger, DEEP, UNKNOWN, codec.JSON),
        _body("a stranger's billion laughs", _stranger, LAUGHS, UNKNOWN, codec.XML),
        _bomb("a stranger's bomb", _stranger, UNKNOWN),
        _put("a stranger's 500 posts", _stranger, UNKNOWN),
        _ask("a stranger's pull", _stranger, {"type": "pull"}, UNKNOWN),
        _ask("a stranger's get", _stranger, {"type": "get"}, UNKNOWN),
        _ask("a stranger's unknown type", _stranger, {"type": "steal"}, UNKNOWN),
        _body("a pinned node's million levels", _pinned, DEEP, MALFORMED, codec.JSON),
        _body("a pinned node's billion laughs", _pinned, LAUGHS, MALFORMED, codec.XML),
        _bomb("a pinned node's bomb", _pinned, (413, "too-large")),
        _put("a pinned node's 500 posts", _pinned, FORBIDDEN),
        _ask("a pinned node's pull", _pinned, {"type": "pull"}, FORBIDDEN),
        _ask("a pinned node's get", _pinned, {"type": "get"}, FORBIDDEN),
        _ask("a pinned node's unknown type", _pinned, {"type": "steal"}, (501, "not supported")),
    ],
)
