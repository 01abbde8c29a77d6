"""A post: immutable signed content, its canonical bytes, its digest and its signatures.

Pure. `Content` lists its members in the order of RFC 8785, so that encoding one *is* its
canonical form (the unit tests compare it with an independent RFC 8785 encoder). Everything the
node stores and sends is a `Post`; it is made by `post_of` from content, never by hand.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

import msgspec

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol.characters import forbidden_in, maybe_forbidden_in
from replicator.protocol.ids import (
    SIGNATURE_PATTERN,
    Digest,
    GlobalId,
    KeyText,
    WireDigest,
    WireGlobalId,
    WireInteger,
    WireKey,
)

SIGNING_LABEL: Final = b"replicator:post:1.0\n"
"""What stands before the canonical bytes when a post is signed (domain separation)."""


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that a post names by its hash; the file itself is not replicated."""

    digest: WireDigest
    mimetype: str
    name: str
    size: WireInteger


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed. Members stand in canonical order; all of them are always present.

    ``published`` is in ms since the Unix epoch, UTC; ``thread`` is a global id or None.
    """

    attachments: tuple[Attachment, ...]
    author: str
    id: WireGlobalId
    published: WireInteger
    tags: tuple[str, ...]
    text: str
    thread: WireGlobalId | None
    title: str


class PostSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key's signature over a post: 64 bytes as 86 characters of unpadded base64url."""

    key: WireKey
    value: Annotated[str, msgspec.Meta(pattern=SIGNATURE_PATTERN)]


class SignedContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A post as it travels (an item of ``models``)."""

    content: Content
    signatures: tuple[PostSignature, ...]


class Ref(msgspec.Struct, frozen=True):
    """What travels where only ids are wanted: enough to decide before fetching.

    ``size`` is the number of canonical bytes.
    """

    id: WireGlobalId
    digest: WireDigest
    published: WireInteger
    size: WireInteger


@dataclass(frozen=True)
class Post:
    """A post as the node holds it.

    Args:
        id: the global id, as in the content.
        digest: SHA-256 of ``canonical``.
        published: ms since the Unix epoch, as in the content.
        canonical: the RFC 8785 bytes of the content.
        signatures: at most ``Limits.post_signatures_max``, ordered by key.
    """

    id: GlobalId
    digest: Digest
    published: int
    canonical: bytes
    signatures: tuple[PostSignature, ...]

    @cached_property
    def content(self) -> Content:
        """The content, decoded from the canonical bytes."""
        return msgspec.json.decode(self.canonical, type=Content)

    @property
    def size(self) -> int:
        """Number of canonical bytes."""
        return len(self.canonical)

    @property
    def ref(self) -> Ref:
        """The ref that names this post."""
        return Ref(self.id, self.digest, self.published, self.size)

    @property
    def signed_bytes(self) -> bytes:
        """What every signature of this post covers."""
        return SIGNING_LABEL + self.canonical

    @property
    def signers(self) -> frozenset[KeyText]:
        """The keys that signed this post."""
        return frozenset(signature.key for signature in self.signatures)

    def signed_by(self, key: KeyText) -> bool:
        """Tell whether ``key`` is among the signatures (verified when the post was taken)."""
        return any(signature.key == key for signature in self.signatures)


def canonical_bytes(content: Content) -> bytes:
    """Return the RFC 8785 form of ``content``."""
    return msgspec.json.encode(content)


def digest_of(canonical: bytes) -> Digest:
    """Return the SHA-256 of canonical bytes in lower-case hexadecimal."""
    return Digest(hashlib.sha256(canonical).hexdigest())


def post_of(content: Content, signatures: Iterable[PostSignature], limits: Limits) -> Post:
    """Make a post of content and signatures; signatures are *not* verified here.

    Raises:
        Malformed: a string has a character outside XML 1.0 (or U+000D), tags repeat, a count or
            a length exceeds ``limits``, or a key signs twice. The message names the member.
    """
    _check_bounds(content, limits)
    canonical = _checked_bytes(content)
    if len(canonical) > limits.post_bytes_max:
        raise Malformed(f"post has {len(canonical)} bytes, more than {limits.post_bytes_max}")
    ordered = tuple(sorted(signatures, key=lambda signature: signature.key))
    if not 1 <= len(ordered) <= limits.post_signatures_max:
        raise Malformed(f"signatures: {len(ordered)}, not 1 to {limits.post_signatures_max}")
    if len({signature.key for signature in ordered}) != len(ordered):
        raise Malformed("signatures: a key is listed twice")
    return Post(content.id, digest_of(canonical), content.published, canonical, ordered)


def _checked_bytes(content: Content) -> bytes:
    try:
        canonical = canonical_bytes(content)
    except UnicodeEncodeError as error:
        raise Malformed("a string holds half of a surrogate pair") from error
    # Looking at each string costs as much as all else here, so it is done on suspicion only
    if maybe_forbidden_in(canonical):
        _check_strings(content)
    return canonical


def _check_strings(content: Content) -> None:
    named = [("title", content.title), ("text", content.text), ("author", content.author)]
    named += [("tags", tag) for tag in content.tags]
    for attachment in content.attachments:
        named += [("attachments", attachment.name), ("attachments", attachment.mimetype)]
    for name, value in named:
        if found := forbidden_in(value):
            raise Malformed(f"{name}: character {found} is not allowed")


def _check_bounds(content: Content, limits: Limits) -> None:
    if len(content.tags) > limits.post_tags_max:
        raise Malformed(f"tags: {len(content.tags)}, more than {limits.post_tags_max}")
    if len(set(content.tags)) != len(content.tags):
        raise Malformed("tags: a tag is listed twice")
    if any(not 1 <= len(tag) <= limits.tag_chars_max for tag in content.tags):
        raise Malformed(f"tags: a tag is empty or longer than {limits.tag_chars_max} characters")
    if len(content.attachments) > limits.post_attachments_max:
        raise Malformed(
            f"attachments: {len(content.attachments)}, more than {limits.post_attachments_max}"
        )
