"""Target ``content``: the canonical encoder, and an independent one as its oracle.

The input is JSON, or values drawn from bytes, which reach strings that JSON can hardly spell.
Whatever content is taken has exactly the bytes that RFC 8785 says, in both encodings.
"""

import json
from typing import Any, Final

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol import codec
from replicator.protocol.ids import INTEGER_MAX
from replicator.protocol.post import Content, PostSignature, post_of
from tests.fuzz import vectors
from tests.fuzz.documents import JSON_TOKENS, check_post
from tests.fuzz.target import Bytes, Target

LIMITS: Final = Limits()
_SIGNATURE: Final = PostSignature("ed25519:" + "A" * 43, "A" * 86)  # type: ignore[arg-type]


def read_content(data: bytes) -> bool:
    """Judge one content."""
    try:
        tree = codec.decode(codec.JSON, data, LIMITS) if data[:1] == b"{" else _drawn(data)
        post = post_of(codec.read(tree, Content), [_SIGNATURE], LIMITS)
    except Malformed:
        return False
    check_post(post)
    return True


def _drawn(data: bytes) -> dict[str, Any]:
    """Return content made of what stands between the separators of an input."""
    drawn = Bytes(data)
    published = drawn.number(7) % (INTEGER_MAX + 1)
    parts = [
        part.decode("utf-8", "surrogatepass" if published & 1 else "replace")
        for part in _split(drawn.rest())
    ]
    texts = [*parts, "", "", ""][:3]
    return {
        "attachments": [
            {"digest": "0" * 64, "mimetype": one, "name": one[::-1], "size": len(one)}
            for one in parts[3:5]
        ],
        "author": texts[0],
        "id": "a.example/1",
        "published": published,
        "tags": parts[5:],
        "text": texts[1],
        "thread": None if published & 2 else "b.example/2",
        "title": texts[2],
    }


def _split(data: bytes) -> list[bytes]:
    # A lone continuation byte that ends what came before is no text, so pieces are tried singly
    pieces = data.split(b"\xff")
    return [piece if _is_text(piece) else piece.decode("latin-1").encode() for piece in pieces]


def _is_text(piece: bytes) -> bool:
    try:
        piece.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _seeds() -> list[bytes]:
    found = [json.dumps(post["content"]).encode() for post in vectors.load("posts.json")]
    found += [post["canonical"].encode() for post in vectors.load("posts.json")]
    words = ["author", "text", "title", "name", "mime", "\u20ac\U0001f600", "\u2028", "e\u0301"]
    return [*found, bytes(7) + b"\xff".join(word.encode() for word in words)]


_TOKENS: Final = (
    *JSON_TOKENS,
    *(char.encode("utf-8", "surrogatepass") for char in "\u2028\u2029\x7f\x1f\x08\f\n\t\r\ufeff"),
    *(char.encode("utf-8", "surrogatepass") for char in "\ud800\udc00\ufffe\uffff\U0010ffff"),
    b"\xff",
    b"e\xcc\x81",
)
CONTENT: Final = Target("content", read_content, _seeds, _TOKENS)
