"""Ways to make posts that are none, or are not their origin's."""

import time
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Final

from replicator.node.identity import Identity
from replicator.protocol import codec
from replicator.protocol.post import SIGNING_LABEL
from replicator.protocol.signing import PrivateKey, b64url
from tests.support.hostile.arena import Arena, Case, case, compact

Tree = dict[str, Any]

MALFORMED: Final = (200, "refused malformed")
DOCUMENT: Final = (400, "malformed")
BAD: Final = (200, "refused bad-signature")
TWO: Final = (
    (200, "stored,stored"),
    (200, "stored,refused equivocation"),
    (200, "known,known"),
    (200, "known,refused equivocation"),
)
TAKEN: Final = ((200, "stored"), (200, "known"))
ORIGIN: Final = (200, "refused origin-key")
TOO_LARGE: Final = (413, "too-large")
ORIGIN_ID: Final = "member.example"
PUBLISHED: Final = 1_750_000_000_000
HEAD: Final = {"type": "put", "protocol": "1.0", "model": {"name": "post", "version": "1.0"}}
PLAIN: Final[Tree] = {
    "attachments": [],
    "author": "",
    "id": f"{ORIGIN_ID}/hostile",
    "published": PUBLISHED,
    "tags": [],
    "text": "text",
    "thread": None,
    "title": "",
}
ATTACHMENT: Final[Tree] = {"digest": "0" * 64, "mimetype": "a/b", "name": "n", "size": 1}


def canonical(content: Tree) -> bytes:
    """Return RFC 8785 of a content whose strings need no escapes but those of JSON."""
    return compact({name: content[name] for name in sorted(content)})


def signed(content: Tree, keys: Sequence[PrivateKey]) -> Tree:
    """Return an item of ``models``."""
    data = SIGNING_LABEL + canonical(content)
    values = [{"key": key.public, "value": b64url(key.sign(data))} for key in keys]
    return {"content": content, "signatures": values}


def keys_of(identity: Identity) -> tuple[PrivateKey, ...]:
    """Return what the origin of a post signs with."""
    return (*identity.node_keys, *identity.pool_keys)


def put(arena: Arena, *items: Any, media_type: str = codec.JSON) -> bytes:
    """Return a put of items by the member."""
    tree = {**HEAD, "models": list(items)}
    body = compact(tree) if media_type == codec.JSON else codec.encode(media_type, tree)
    return arena.request(body, media_type)


def one_post(name: str, *expected: tuple[int, str], drop: str = "", **members: Any) -> Case:
    """Return a put of one post of the member's own, with other members."""

    def make(arena: Arena) -> bytes:
        content = {key: value for key, value in {**PLAIN, **members}.items() if key != drop}
        return put(arena, signed(content, keys_of(arena.member)))

    return case(name, make, *expected)


def taken(name: str, local_id: str, **members: Any) -> Case:
    return one_post(name, *TAKEN, id=f"{ORIGIN_ID}/{local_id}", **members)


def one_item(name: str, expected: tuple[int, str], change: Callable[[Tree, Arena], Any]) -> Case:
    """Return a put of one item that is changed after it was signed."""

    def make(arena: Arena) -> bytes:
        return put(arena, change(signed(dict(PLAIN), keys_of(arena.member)), arena))

    return case(name, make, expected)


def forged(
    name: str,
    expected: tuple[int, str],
    post_id: str,
    keys: Callable[[Arena], Sequence[PrivateKey]],
) -> Case:
    """Return a put of a post that is signed by keys of somebody else."""
    return case(
        name, lambda arena: put(arena, signed({**PLAIN, "id": post_id}, keys(arena))), expected
    )


def future(name: str, seconds: int, *expected: tuple[int, str]) -> Case:
    def make(arena: Arena) -> bytes:
        at = (int(time.time()) + seconds) * 1000
        content = {**PLAIN, "id": f"{ORIGIN_ID}/future", "published": at}
        return put(arena, signed(content, keys_of(arena.member)))

    return case(name, make, *expected)


def one_text(name: str, text: str) -> Case:
    """Return a document that no parser may let through."""

    def make(arena: Arena) -> bytes:
        body = compact({**HEAD, "models": [signed(dict(PLAIN), keys_of(arena.member))]})
        return arena.request(body.replace(b'"text":"text"', f'"text":{text}'.encode()))

    return case(name, make, DOCUMENT)


def equivocation(arena: Arena) -> bytes:
    content = {**PLAIN, "id": f"{ORIGIN_ID}/held", "text": "another text"}
    return put(arena, signed(content, [arena.stranger.node_keys[0]]))


def two_posts(arena: Arena) -> bytes:
    """Return a put of two authentic posts with one id: the smaller digest stays, for good."""
    contents = ({**PLAIN, "id": f"{ORIGIN_ID}/two", "text": text} for text in ("one", "two"))
    return put(arena, *(signed(content, keys_of(arena.member)) for content in contents))


def doubled(arena: Arena) -> bytes:
    item = signed(dict(PLAIN), [*keys_of(arena.member), arena.member.node_keys[0]])
    return put(arena, item)


def many_keys(count: int) -> Callable[[Arena], Sequence[PrivateKey]]:
    made = tuple(PrivateKey.generate() for _ in range(count))
    return lambda arena: (*arena.member.node_keys, *made)


def neutral(item: Tree, arena: Arena) -> Tree:
    """Sign by a key that naive libraries take everything of."""
    point = (1).to_bytes(32, "little")
    value = {"key": "ed25519:" + b64url(point), "value": b64url(point + bytes(32))}
    return {**item, "signatures": [*item["signatures"], value]}


def more_s(item: Tree, arena: Arena) -> Tree:
    first, *others = item["signatures"]
    raw = bytearray(64)
    raw[32:] = (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little")
    return {**item, "signatures": [{**first, "value": b64url(bytes(raw))}, *others]}


NFC = unicodedata.normalize("NFC", "é Å ﬁ 가")
NFD = unicodedata.normalize("NFD", "é Å ﬁ 가")
