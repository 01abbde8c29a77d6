"""Arguments of requests that are out of bounds, contradict each other, or were made up."""

import base64
from collections.abc import Callable
from typing import Any, Final

from tests.support.hostile.arena import Arena, Case, case, compact, of_kind

MALFORMED: Final = (400, "malformed")
SUCCESS: Final = (200, "success")
TOO_LARGE: Final = (413, "too-large")
BAD_CURSOR: Final = (410, "bad-cursor")
FORBIDDEN: Final = (403, "forbidden")
HEAD: Final = {"protocol": "1.0", "model": {"name": "post", "version": "1.0"}}
DIGEST: Final = "5e" * 32
OTHER_POOL: Final = "ed25519:NWZz3RyivnRfhXkdlzMBrJ0AiZGD6Gn_8a7ccm0YcXg"
REF: Final = {"id": "a.example/1", "digest": DIGEST, "published": 1, "size": 1}
Members = dict[str, Any]


def _ask(
    kind: str, name: str, members: Members | Callable[[Arena], Members], expected: tuple[int, str]
) -> Case:
    def make(arena: Arena) -> bytes:
        given = members(arena) if callable(members) else members
        return arena.request(compact({"type": kind, **HEAD, **given}))

    return case(f"{kind} with {name}", make, expected)


def _pull(name: str, expected: tuple[int, str], **members: Any) -> Case:
    return _ask("pull", name, members, expected)


def _filter(name: str, expected: tuple[int, str], **members: Any) -> Case:
    return _ask("pull", f"a filter with {name}", {"filter": members}, expected)


def _get(name: str, expected: tuple[int, str], **members: Any) -> Case:
    return _ask("get", name, members, expected)


def _put(name: str, expected: tuple[int, str], **members: Any) -> Case:
    return _ask("put", name, members, expected)


def _ref(name: str, **members: Any) -> Case:
    return _put(f"a ref with {name}", (200, "refused malformed"), refs=[{**REF, **members}])


def _cursor(
    name: str, change: Callable[[bytes], bytes], expected: tuple[int, str] = BAD_CURSOR
) -> Case:
    """Return a pull after a cursor of the node's own that was changed."""

    def members(arena: Arena) -> Members:
        raw = base64.urlsafe_b64decode(arena.cursor)
        return {"after": base64.urlsafe_b64encode(change(raw)).decode().rstrip("=")}

    return _ask("pull", name, members, expected)


def _frame(name: str, frame: bytes | str, expected: tuple[int, str] = MALFORMED) -> Case:
    text = frame if isinstance(frame, str) else base64.urlsafe_b64encode(frame).decode().rstrip("=")
    return _ask("reconcile", name, lambda a: {"scope": a.pool, "since": 0, "frame": text}, expected)


def _reconcile(name: str, expected: tuple[int, str], **members: Any) -> Case:
    plain = {"since": 0, "frame": "YQ"}
    return _ask("reconcile", name, lambda a: {"scope": a.pool, **plain, **members}, expected)


def _roster(name: str, expected: tuple[int, str], **members: Any) -> Case:
    return _ask("roster", name, lambda a: {"scope": a.pool, **members}, expected)


_INTRODUCTION: Final = {
    "document": {"id": "evil.example", "keys": [OTHER_POOL], "pools": [], "time": 1},
    "signatures": [{"key": OTHER_POOL, "value": "A" * 86}],
}

CASES = of_kind(
    "arguments",
    [
        # pull
        _pull("limit 0", MALFORMED, limit=0),
        _pull("limit 1,000,001", MALFORMED, limit=1_000_001),
        _pull("limit 1,000,000", SUCCESS, limit=1_000_000),
        _pull("limit as a list", MALFORMED, limit=[1]),
        _pull("another want", MALFORMED, want="everything"),
        _pull("want in capitals", MALFORMED, want="Refs"),
        _pull("an empty cursor", MALFORMED, after=""),
        _pull("a cursor of 129 characters", MALFORMED, after="A" * 129),
        _pull("a cursor with a slash", MALFORMED, after="A/A"),
        _pull("a cursor with padding", MALFORMED, after="AAA="),
        _pull("a cursor that is a number", MALFORMED, after=1),
        _pull("a cursor of one character", BAD_CURSOR, after="A"),
        _pull("a cursor of zeros", BAD_CURSOR, after="A" * 32),
        _pull("a cursor of ones", BAD_CURSOR, after="_" * 32),
        _cursor("another log's cursor", lambda raw: bytes(8) + raw[8:]),
        _cursor(
            "a cursor past the end", lambda raw: raw[:8] + (2**40).to_bytes(8, "big") + raw[16:]
        ),
        _cursor("a cursor beyond 63 bits", lambda raw: raw[:8] + b"\xff" * 8 + raw[16:]),
        _cursor("a cursor with another digest", lambda raw: raw[:16] + b"\x01" * 8),
        _cursor("a cursor cut off", lambda raw: raw[:-1]),
        _cursor("a cursor with more behind it", lambda raw: raw + b"\0"),
        _cursor("a cursor of its own", lambda raw: raw, SUCCESS),
        _pull("a scope that is no key", MALFORMED, scope="pool"),
        _pull("a scope that the asker is not in", FORBIDDEN, scope=OTHER_POOL),
        _pull("a filter that is a list", MALFORMED, filter=[]),
        _filter("nodes and except_nodes", MALFORMED, nodes=["a"], except_nodes=["b"]),
        _filter("nodes and empty except_nodes", SUCCESS, nodes=["a"], except_nodes=[]),
        _filter("101 nodes", MALFORMED, nodes=["a"] * 101),
        _filter("100,000 tags", MALFORMED, tags=["a"] * 100_000),
        _filter("100 tags of 9,000 characters", SUCCESS, tags=[f"{n:09000}" for n in range(100)]),
        _filter("a node in capitals", MALFORMED, nodes=["A"]),
        _filter("a node with a wildcard", MALFORMED, nodes=["*"]),
        _filter("a node that is null", MALFORMED, nodes=[None]),
        _filter("a thread that is no id", MALFORMED, threads=["a"]),
        _filter("SQL as a tag", SUCCESS, tags=["' OR 1=1 --", "%", "_"]),
        _filter("since after until", SUCCESS, since=5, until=4),
        _filter("since beyond all time", SUCCESS, since=2**53 - 1),
        _filter("since as text", MALFORMED, since="0"),
        _filter("nodes that are text", MALFORMED, nodes="a"),
        _filter("an unknown member", SUCCESS, authors=["a"]),
        # get
        _get("nothing", SUCCESS),
        _get("an id that is no id", MALFORMED, ids=["a"]),
        _get("an id with two dots", MALFORMED, ids=["a/.."]),
        _get("a digest in capitals", MALFORMED, digests=["5E" * 32]),
        _get("a digest that is too short", MALFORMED, digests=["5e" * 31]),
        _get("a digest that is null", MALFORMED, digests=[None]),
        _get("ids that are text", MALFORMED, ids="a/1"),
        _get("501 digests", TOO_LARGE, digests=[DIGEST] * 501),
        _get("250 ids and 251 digests", TOO_LARGE, ids=["a/1"] * 250, digests=[DIGEST] * 251),
        _get("500 times one digest", SUCCESS, digests=[DIGEST] * 500),
        _get("10,000 ids", TOO_LARGE, ids=["a/1"] * 10_000),
        _get("another want", MALFORMED, want="all"),
        # put
        _put("nothing", MALFORMED),
        _put("refs and models", MALFORMED, refs=[], models=[]),
        _put("no refs", (200, ""), refs=[]),
        _put("refs null", MALFORMED, refs=None),
        _put("refs that are an object", MALFORMED, refs={}),
        _put("501 refs", TOO_LARGE, refs=[REF] * 501),
        _put("a ref that is null", (200, "refused malformed"), refs=[None]),
        _put("a ref that is a list of lists", (200, "refused malformed"), refs=[[[]]]),
        _ref("an id of somebody's folder", id="../a"),
        _ref("a digest in capitals", digest="5E" * 32),
        _ref("no digest", digest=None),
        _ref("a size of -1 as text", size="-1"),
        _ref("published as true", published=True),
        _put(
            "a ref of a post beyond all sizes",
            (200, "refused too-large"),
            refs=[{**REF, "size": 2**53 - 1}],
        ),
        _put(
            "a ref of a post far ahead",
            (200, "refused future"),
            refs=[{**REF, "published": 2**53 - 1}],
        ),
        _put("a ref that leads nowhere", (200, "refused no-address"), refs=[REF]),
        # reconcile
        _reconcile("no scope", MALFORMED, scope=None),
        _reconcile("no frame", MALFORMED, frame=None),
        _reconcile("since as text", MALFORMED, since="0"),
        _reconcile("a pool of others", FORBIDDEN, scope=OTHER_POOL),
        _reconcile("since beyond all time", SUCCESS, since=2**53 - 1),
        _frame("an empty frame", ""),
        _frame("a frame in base64", "YQ=="),
        _frame("a frame with spare bits", "YR"),
        _frame("a frame of another version", b"\x62", SUCCESS),
        _frame("a frame of version 0", b"\x60", SUCCESS),
        _frame("a frame that is no message", b"\x00"),
        _frame("a frame of text: another version", b"hello", SUCCESS),
        _frame("an unknown mode", b"\x61\x00\x00\x07"),
        _frame("a list that is cut off", b"\x61\x00\x00\x02\x05" + bytes(32)),
        _frame("a list of 2^60 digests", b"\x61\x00\x00\x02\x90\x80\x80\x80\x80\x80\x80\x80\x00"),
        _frame("a number beyond 64 bits", b"\x61" + b"\xff" * 11 + b"\x01"),
        _frame("a number that does not end", b"\x61" + b"\xff" * 100_000),
        _frame("a number in a longer form", b"\x61\x80\x00\x00\x00"),
        _frame("a prefix of 33 bytes", b"\x61\x01\x21" + bytes(33) + b"\x00"),
        _frame("a fingerprint that is cut off", b"\x61\x00\x00\x01" + bytes(15)),
        _frame("50,000 empty ranges", b"\x61" + b"\x01\x00\x00" * 50_000, SUCCESS),
        _frame(
            "10,000 fingerprints that differ",
            b"\x61" + (b"\x02\x00\x01" + b"\x07" * 16) * 10_000,
            SUCCESS,
        ),
        _frame(
            "8,000 digests that nobody has",
            b"\x61\x00\x00\x02\xbe\x40" + bytes(32) * 8_000,
            SUCCESS,
        ),
        _frame("262,145 bytes", b"\x61" + bytes(262_144)),
        # roster
        _roster("no scope", MALFORMED, scope=None),
        _roster("a pool of others", FORBIDDEN, scope=OTHER_POOL),
        _roster("a place that is no id", MALFORMED, after="A"),
        _roster("an introduction that is text", SUCCESS, introduction="x"),
        _roster("an empty introduction", SUCCESS, introduction={}),
        _roster("a forged introduction", SUCCESS, introduction=_INTRODUCTION),
        _roster(
            "an introduction of 900,000 bytes",
            SUCCESS,
            introduction={"document": {"id": "a", "time": 1, "x": "x" * 900_000}, "signatures": []},
        ),
    ],
)
