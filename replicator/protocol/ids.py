"""Identifiers as they stand on the wire, with the one pattern each of them must match.

Pure. The annotated types are checked wherever a document is converted into a message
(`codec.read`); the ``parse_*`` functions check text that comes from people. Identifiers are
compared by code point: there is no case folding and no normalisation.
"""

import re
from typing import Annotated, Final, NewType

import msgspec

from replicator.errors import Malformed

NODE_ID_PATTERN: Final = (
    r"^(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z"
)
LOCAL_ID_PATTERN: Final = r"^(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}\Z"
GLOBAL_ID_PATTERN: Final = (
    r"^(?=[^/]{1,253}/)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
    r"/(?!\.{1,2}\Z)[A-Za-z0-9._~-]{1,128}\Z"
)
# 32 raw bytes are 43 base64url characters; the last one carries 4 bits, so its two low bits are 0
KEY_PATTERN: Final = r"^ed25519:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\Z"
DIGEST_PATTERN: Final = r"^[0-9a-f]{64}\Z"
CURSOR_PATTERN: Final = r"^[A-Za-z0-9_-]{1,128}\Z"
SIGNATURE_PATTERN: Final = r"^[A-Za-z0-9_-]{85}[AQgw]\Z"
INTEGER_MAX: Final = 2**53 - 1

NodeId = NewType("NodeId", str)
"""A node: labels of ``[a-z0-9-]`` joined by single dots, at most 253 characters."""
LocalId = NewType("LocalId", str)
"""A post within its node: 1 to 128 characters of ``[A-Za-z0-9._~-]``, not ``.`` or ``..``."""
GlobalId = NewType("GlobalId", str)
"""A post anywhere: ``node-id/post-id``."""
KeyText = NewType("KeyText", str)
"""A public key: ``ed25519:`` and the unpadded base64url of its 32 raw bytes. Pools are named so."""
Digest = NewType("Digest", str)
"""SHA-256 of a post's canonical bytes, 64 lower-case hexadecimal digits."""
Cursor = NewType("Cursor", str)
"""A place in a node's change log, opaque to everybody but that node."""

WireNodeId = Annotated[NodeId, msgspec.Meta(pattern=NODE_ID_PATTERN)]
WireGlobalId = Annotated[GlobalId, msgspec.Meta(pattern=GLOBAL_ID_PATTERN)]
WireKey = Annotated[KeyText, msgspec.Meta(pattern=KEY_PATTERN)]
WireDigest = Annotated[Digest, msgspec.Meta(pattern=DIGEST_PATTERN)]
WireCursor = Annotated[Cursor, msgspec.Meta(pattern=CURSOR_PATTERN)]
WireInteger = Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]


def _parse(pattern: str, text: str, what: str) -> str:
    if re.match(pattern, text) is None:
        raise Malformed(f"{text[:80]!r} is not {what}")
    return text


def parse_node_id(text: str) -> NodeId:
    """Return ``text`` as a node id; raise `Malformed` where it is none."""
    return NodeId(_parse(NODE_ID_PATTERN, text, "a node id (labels of a-z, 0-9, - with dots)"))


def parse_local_id(text: str) -> LocalId:
    """Return ``text`` as a post id within its node; raise `Malformed` where it is none."""
    return LocalId(_parse(LOCAL_ID_PATTERN, text, "a post id (1 to 128 of A-Z a-z 0-9 . _ ~ -)"))


def parse_global_id(text: str) -> GlobalId:
    """Return ``text`` as a global id; raise `Malformed` where it is none."""
    return GlobalId(_parse(GLOBAL_ID_PATTERN, text, "a global id (node-id/post-id)"))


def parse_key(text: str) -> KeyText:
    """Return ``text`` as a public key; raise `Malformed` where it is none."""
    return KeyText(_parse(KEY_PATTERN, text, "a key (ed25519: and 43 base64url characters)"))


def parse_digest(text: str) -> Digest:
    """Return ``text`` as a digest; raise `Malformed` where it is none."""
    return Digest(_parse(DIGEST_PATTERN, text, "a digest (64 lower-case hexadecimal digits)"))


def global_id(node: NodeId, local: LocalId) -> GlobalId:
    """Join a node id and a post id."""
    return GlobalId(f"{node}/{local}")


def origin_of(post_id: GlobalId) -> NodeId:
    """Return the node id that a global id begins with."""
    return NodeId(post_id.partition("/")[0])
