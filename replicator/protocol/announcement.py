"""A node's announcement of its keys: which are current, which retired, which revoked.

Pure. It is ``{"announcement": {...}, "signatures": [{key, value}]}`` and stands in the node
document as its member ``announcement``. What is signed is the label, then RFC 8785 of the
announcement as it came: in JSON a member that this version does not know is ignored, but covered.
Every key that it calls current must sign, so that nobody announces a key he does not hold; the
others sign too where the node still has them, so that a peer that knows only an old key can follow.
Of two announcements of a node the one with the greater serial counts. Whether a signer is believed
is for its reader, who has the pins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol import codec
from replicator.protocol.canonical import canonical
from replicator.protocol.ids import KeyText, WireInteger, WireKey, WireNodeId
from replicator.protocol.node_document import NodeDocument
from replicator.protocol.post import PostSignature
from replicator.protocol.signing import PrivateKey, b64url, verify_signatures

SIGNING_LABEL: Final = b"replicator:keys:1.0\n"
"""What stands before the canonical bytes when an announcement is signed."""
_ENTRIES_MAX: Final = 64
"""Keys or signatures looked at before ``Limits.node_keys_max`` is asked."""

AnnouncedState = Literal["current", "retired", "revoked"]


class AnnouncedKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """One node key.

    Args:
        key: its public half.
        state: ``current`` signs; ``retired`` counts for posts it signed; ``revoked`` for nothing
            new.
        until: when a current key retires, in ms since the Unix epoch; None: not planned.
    """

    key: WireKey
    state: AnnouncedState
    until: WireInteger | None = None


class Announcement(msgspec.Struct, frozen=True, rename={"keys": "node_keys"}):
    """What a node says of all its node keys.

    Args:
        id: the node.
        serial: grows with each announcement of the node.
        keys: each once, at least one of them current; 1 to ``Limits.node_keys_max``. On the wire
            the member is ``node_keys``: a name has one shape in XML, and ``keys`` is taken.
    """

    id: WireNodeId
    serial: WireInteger
    keys: Annotated[tuple[AnnouncedKey, ...], msgspec.Meta(min_length=1, max_length=_ENTRIES_MAX)]


class SignedAnnouncement(msgspec.Struct, frozen=True):
    """An announcement with its signatures, as it travels; the former is read on its own."""

    announcement: dict[str, Any]
    signatures: Annotated[
        tuple[PostSignature, ...], msgspec.Meta(min_length=1, max_length=_ENTRIES_MAX)
    ]


@dataclass(frozen=True, slots=True)
class Announced:
    """A node's own announcement: what it says, and the signed tree that carries it."""

    content: Announcement
    tree: codec.Tree


def sign(announcement: Announcement, keys: Sequence[PrivateKey]) -> codec.Tree:
    """Return the signed announcement as a tree, for a node document or a file.

    Args:
        announcement: what to say.
        keys: private halves of keys that it lists, all current ones among them.

    Raises:
        ValueError: it would not be taken: a current key does not sign, or as `read_tree` says.
    """
    content: codec.Tree = msgspec.json.decode(msgspec.json.encode(announcement))
    data = _signed_bytes(content)
    signatures = [PostSignature(key.public, b64url(key.sign(data))) for key in keys]
    if problem := _problem(announcement, signatures, Limits().node_keys_max):
        raise ValueError(problem)
    return {"announcement": content, "signatures": msgspec.to_builtins(signatures)}


def read_tree(tree: Any, limits: Limits) -> tuple[Announcement, frozenset[KeyText]]:
    """Return an announcement and the keys whose signatures were verified.

    Args:
        tree: a signed announcement, as `sign` returns it.
        limits: its ``node_keys_max`` bounds the keys.

    Raises:
        Malformed: it is none: a key stands in it twice, none is current, ``until`` is given for a
            key that is not, a current key did not sign, or a signature is of a key that it does
            not list, is given twice, or does not verify.
    """
    signed = codec.read(tree, SignedAnnouncement)
    announcement = codec.read(signed.announcement, Announcement)
    if problem := _problem(announcement, signed.signatures, limits.node_keys_max):
        raise Malformed(problem)
    if not verify_signatures(signed.signatures, _signed_bytes(signed.announcement)):
        raise Malformed("a signature of the key announcement does not verify")
    return announcement, frozenset(signature.key for signature in signed.signatures)


def of_document(
    document: NodeDocument, limits: Limits
) -> tuple[Announcement, frozenset[KeyText]] | None:
    """Return the announcement in a node document with its verified signers, or None.

    None also where it does not count: it is of another node, of a later version or otherwise not
    as `read_tree` takes it. The rest of the document is not harmed by that.
    """
    if document.announcement is None:
        return None
    try:
        announcement, signers = read_tree(document.announcement, limits)
    except Malformed:
        return None
    return (announcement, signers) if announcement.id == document.id else None


def _problem(
    announcement: Announcement, signatures: Sequence[PostSignature], keys_max: int
) -> str | None:
    """Return why an announcement cannot count, or None; signatures are not verified here."""
    listed = [entry.key for entry in announcement.keys]
    signers = [signature.key for signature in signatures]
    current = {entry.key for entry in announcement.keys if entry.state == "current"}
    if len(listed) > keys_max:
        return f"the key announcement lists {len(listed)} keys, more than {keys_max}"
    if _repeats(listed) or _repeats(signers):
        return "the key announcement lists a key or a signature twice"
    if not current:
        return "the key announcement has no current key"
    if any(entry.until is not None and entry.key not in current for entry in announcement.keys):
        return "the key announcement gives until for a key that is not current"
    if unsigned := current.difference(signers):
        return f"the key announcement calls {min(unsigned)} current, which did not sign it"
    if not set(signers) <= set(listed):
        return "the key announcement is signed by a key that it does not list"
    return None


def _repeats(keys: Sequence[KeyText]) -> bool:
    return len(set(keys)) != len(keys)


def _signed_bytes(content: dict[str, Any]) -> bytes:
    return SIGNING_LABEL + canonical(content)


def current_keys(entries: Iterable[AnnouncedKey], now: int) -> frozenset[KeyText]:
    """Return the keys that are current at ``now`` (ms): one whose ``until`` has come is not."""
    return frozenset(
        entry.key
        for entry in entries
        if entry.state == "current" and (entry.until is None or now < entry.until)
    )
