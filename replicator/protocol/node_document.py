"""The signed document a node gives of itself at GET /v1/node.

Pure. It is ``{"document": {...}, "signatures": [{key, value}]}``. Every node key and every pool
that the document lists must sign it, so that nobody lists a key he does not hold. What is signed
is the label, then RFC 8785 of the document as it came: in JSON a member that this version does not
know is covered too. The document proves possession of keys, never that an id belongs to them; that
is the operator's word, or a pin.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol import codec
from replicator.protocol.canonical import canonical
from replicator.protocol.ids import KeyText, WireInteger, WireKey, WireNodeId
from replicator.protocol.messages import Model
from replicator.protocol.post import PostSignature
from replicator.protocol.signing import PrivateKey, b64url, verify_signatures

SIGNING_LABEL: Final = b"replicator:node:1.0\n"
"""What stands before the canonical bytes when a node document is signed."""
ITEMS_MAX: Final = 64
"""Entries of one list: keys, pools, addresses, versions, types or features."""

# Printable ASCII without spaces: these words end up on terminals
_Word = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,300}\Z")]
_Words = Annotated[tuple[_Word, ...], msgspec.Meta(max_length=ITEMS_MAX)]


class NodeLimits(msgspec.Struct, frozen=True):
    """What a node takes in one message; never below what every node accepts."""

    message_bytes_max: WireInteger
    post_bytes_max: WireInteger
    items_max: WireInteger


class NodeDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node says of itself.

    Args:
        id: its node id.
        keys: its node keys, the current one first; at least one.
        pools: the pools whose key it holds.
        protocols: protocol versions it speaks.
        models: data models and versions it holds.
        types: request types it answers.
        features: names of extensions it has.
        limits: what it takes in one message.
        addresses: base URLs it is reached at; may be empty.
        time: its clock when it signed, in ms since the Unix epoch.
        floor: posts dated before are neither kept nor taken here, in ms since the Unix epoch.
        announcement: what it says of its keys, signed, or None; `announcement.of_document` reads
            it: one that does not count, or of a later version, harms the document in nothing.
    """

    id: WireNodeId
    keys: Annotated[tuple[WireKey, ...], msgspec.Meta(min_length=1, max_length=ITEMS_MAX)]
    pools: Annotated[tuple[WireKey, ...], msgspec.Meta(max_length=ITEMS_MAX)]
    protocols: _Words
    models: Annotated[tuple[Model, ...], msgspec.Meta(max_length=ITEMS_MAX)]
    types: _Words
    features: _Words
    limits: NodeLimits
    addresses: _Words
    time: WireInteger
    floor: WireInteger = 0
    announcement: dict[str, Any] | None = None


class SignedDocument(msgspec.Struct, frozen=True):
    """A node document with its signatures, as it travels; ``document`` is read on its own."""

    document: dict[str, Any]
    signatures: Annotated[
        tuple[PostSignature, ...], msgspec.Meta(min_length=1, max_length=2 * ITEMS_MAX)
    ]


def limits_of(limits: Limits) -> NodeLimits:
    """Return what a node with these bounds announces."""
    return NodeLimits(limits.message_bytes_max, limits.post_bytes_max, limits.items_max)


def make(document: NodeDocument, keys: Iterable[PrivateKey]) -> codec.Tree:
    """Return the signed document as a tree for `codec.encode`.

    Args:
        document: what to say.
        keys: the private half of every key and pool that it lists.

    Raises:
        ValueError: a listed key does not sign.
    """
    content = msgspec.to_builtins(document)
    data = _signed_bytes(content)
    signatures = [PostSignature(key.public, b64url(key.sign(data))) for key in keys]
    if _unsigned(document, signatures):
        raise ValueError("every key and pool that a node document lists must sign it")
    return {"document": content, "signatures": signatures}


def read(media_type: str, body: bytes, limits: Limits) -> NodeDocument:
    """Return a node document whose signatures were verified.

    Args:
        media_type: one of `codec`'s.
        body: the document as it came, decompressed and bounded.

    Raises:
        Malformed: not a node document, a listed key did not sign, or a signature that is there
            does not verify.
    """
    return read_tree(codec.decode(media_type, body, limits))


def read_tree(tree: Any) -> NodeDocument:
    """As `read`, for a signed document that came as a part of another one, bounded there."""
    signed = codec.read(tree, SignedDocument)
    document = codec.read(signed.document, NodeDocument)
    unsigned = _unsigned(document, signed.signatures)
    if unsigned:
        raise Malformed(f"the node document lists {min(unsigned)}, which did not sign it")
    if not verify_signatures(signed.signatures, _signed_bytes(signed.document)):
        raise Malformed("a signature of the node document does not verify")
    return document


def compact(tree: Any) -> bytes:
    """Return a signed document as compact JSON, for keeping: `read` takes it as it took the tree.

    Args:
        tree: as `read_tree` took it.
    """
    return msgspec.json.encode(tree, order="sorted")


def keys_of(document: NodeDocument) -> tuple[KeyText, ...]:
    """Return the node keys of a document, the current one first."""
    return document.keys


def _unsigned(document: NodeDocument, signatures: Collection[PostSignature]) -> set[KeyText]:
    return {*document.keys, *document.pools} - {signature.key for signature in signatures}


def _signed_bytes(document: Mapping[str, Any]) -> bytes:
    return SIGNING_LABEL + canonical(document)
