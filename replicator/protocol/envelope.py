"""The signed envelope of a message: RFC 9421 signatures over RFC 9530 digest and Replicator fields.

Pure. Only header fields are covered, so the same envelope travels over HTTP and in the headers of
broker messages. Parsing takes the few values out of the fields, writes the fields anew from them
and refuses what is not equal byte for byte (`replicator.protocol.envelope_form`). An envelope
proves who signed; whether a key is trusted is decided elsewhere (`replicator.rules.trust`).
Checks are split by cost, so that a caller can make the cheap ones first.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.protocol import envelope_form as form
from replicator.protocol import signing
from replicator.protocol.envelope_form import (
    ANSWER_TAG,
    ENVELOPE_FIELDS,
    REQUEST_TAG,
    Role,
    Tag,
)
from replicator.protocol.ids import KeyText, NodeId

__all__ = [
    "ANSWER_TAG",
    "ENVELOPE_FIELDS",
    "REQUEST_TAG",
    "Credentials",
    "Envelope",
    "Role",
    "Signed",
    "Tag",
    "check_digest",
    "check_window",
    "parse",
    "sign_answer",
    "sign_request",
    "verify",
]

NONCE_BYTES_MIN: Final = 16
NONCE_BYTES_MAX: Final = 64
CREATED_MAX: Final = 10**12 - 1


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs: the sender's id and its keys, node keys before pool keys, each once.

    Raises:
        ValueError: no key, a pool key before a node key, or a key twice.
    """

    sender: NodeId
    signers: tuple[tuple[signing.PrivateKey, Role], ...]

    def __post_init__(self) -> None:
        if not form.in_order(self.keys):
            raise ValueError("signers must be node keys (at least one), then pool keys, each once")

    @property
    def keys(self) -> tuple[tuple[KeyText, Role], ...]:
        """The public halves, in signing order."""
        return tuple((key.public, role) for key, role in self.signers)


@dataclass(frozen=True, slots=True)
class Signed:
    """The fields to send with a body.

    Args:
        headers: every field of the envelope, by lower-case name, ``content-type`` among them.
        base_digest: what the answer repeats as ``replicator-in-reply-to``: SHA-256 of the first
            signature's base, in lower-case hexadecimal.
    """

    headers: dict[str, str]
    base_digest: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope of the right form, not yet verified.

    Args:
        sender: who claims to send; the signatures bind it to ``keys``, nothing else does.
        recipient: whom it is for.
        keys: signing keys with their roles: node keys (at least one), then pool keys.
        created: seconds since the Unix epoch, by the sender's clock.
        nonce: 22 to 86 characters of base64url, at least 128 random bits.
        tag: request or answer.
        in_reply_to: of an answer, the request's ``base_digest``; None in requests.
        media_type: the ``content-type`` field as it came.
        content_encoding: that field as it came, or None.
        content_digest: SHA-256 of the transmitted body.
        bases: the signature base of each key, in their order (RFC 9421, section 2.5).
        signatures: 64 bytes of each key, in their order.
    """

    sender: NodeId
    recipient: NodeId
    keys: tuple[tuple[KeyText, Role], ...]
    created: int
    nonce: str
    tag: Tag
    in_reply_to: str | None
    media_type: str
    content_encoding: str | None
    content_digest: bytes
    bases: tuple[bytes, ...]
    signatures: tuple[bytes, ...]

    @property
    def base_digest(self) -> str:
        """SHA-256 of the first signature's base; it binds keys, nonce, digest and both nodes."""
        return hashlib.sha256(self.bases[0]).hexdigest()

    def keys_of(self, role: Role) -> tuple[KeyText, ...]:
        """Return the signing keys of one role, in their order."""
        return tuple(key for key, its_role in self.keys if its_role == role)


def sign_request(  # noqa: PLR0913 - what is signed, beside how fresh it is; every value is needed
    credentials: Credentials,
    recipient: NodeId,
    body: bytes,
    media_type: str,
    *,
    created: int,
    nonce: bytes,
    content_encoding: str | None = None,
) -> Signed:
    """Return the envelope of a request.

    Args:
        credentials: the sender and its keys; all of them sign.
        recipient: the node the request is for.
        body: the bytes as transmitted, after any ``content_encoding``.
        media_type: the ``content-type`` to send.
        created: seconds since the Unix epoch, by the recipient's clock as far as it is known.
        nonce: 16 to 64 random bytes, never used before.

    Raises:
        ValueError: a value has no place in an envelope.
    """
    fields = _fields_of(credentials, recipient, body, media_type, content_encoding)
    return _sign(credentials, fields, created, nonce, REQUEST_TAG)


def sign_answer(  # noqa: PLR0913 - as `sign_request`, and the request it answers
    credentials: Credentials,
    recipient: NodeId,
    body: bytes,
    media_type: str,
    *,
    in_reply_to: str,
    created: int,
    nonce: bytes,
    content_encoding: str | None = None,
) -> Signed:
    """Return the envelope of an answer; as `sign_request`.

    Args:
        in_reply_to: the request's ``base_digest``.
    """
    fields = _fields_of(credentials, recipient, body, media_type, content_encoding)
    fields["replicator-in-reply-to"] = in_reply_to
    return _sign(credentials, fields, created, nonce, ANSWER_TAG)


def _fields_of(
    credentials: Credentials,
    recipient: NodeId,
    body: bytes,
    media_type: str,
    content_encoding: str | None,
) -> dict[str, str]:
    fields = {
        "content-digest": form.write_digest(hashlib.sha256(body).digest()),
        "content-type": media_type,
    }
    if content_encoding is not None:
        fields["content-encoding"] = content_encoding
    fields["replicator-sender"] = credentials.sender
    fields["replicator-recipient"] = recipient
    fields["replicator-keys"] = form.write_keys(credentials.keys)
    return fields


def _sign(
    credentials: Credentials, fields: dict[str, str], created: int, nonce: bytes, tag: Tag
) -> Signed:
    if not NONCE_BYTES_MIN <= len(nonce) <= NONCE_BYTES_MAX or not 0 <= created <= CREATED_MAX:
        raise ValueError("nonce must have 16 to 64 bytes, created must be seconds since the epoch")
    if not all(map(form.is_value, fields.values())):
        raise ValueError("a field is not printable ASCII without spaces at its ends")
    shared = form.Parameters(created, signing.b64url(nonce), tag)
    parameters = form.write_parameters(fields, credentials.keys, shared)
    bases = form.signature_bases(fields, parameters)
    signatures = [key.sign(base) for (key, _), base in zip(credentials.signers, bases, strict=True)]
    headers = {
        **fields,
        "signature-input": form.write_signature_input(parameters),
        "signature": form.write_signatures(signatures),
    }
    return Signed(headers, hashlib.sha256(bases[0]).hexdigest())


def parse(headers: Mapping[str, str] | Iterable[tuple[str, str]], limits: Limits) -> Envelope:
    """Read the envelope of a message; nothing is verified.

    Args:
        headers: names in any case; fields that are not the envelope's are ignored.

    Raises:
        Refusal: ``bad-signature``: not signed, a field twice, or not exactly the one form.
    """
    fields = form.read_fields(headers, limits)
    keys = form.read_keys(fields["replicator-keys"], limits)
    shared = form.read_parameters(fields["signature-input"])
    covered = {name: fields[name] for name in form.COVERED_FIELDS if name in fields}
    parameters = form.write_parameters(covered, keys, shared)
    if fields["signature-input"] != form.write_signature_input(parameters):
        form.refuse("signature-input is not that of exactly the defined fields, keys and order")
    return Envelope(
        sender=form.read_node_id(fields, "replicator-sender"),
        recipient=form.read_node_id(fields, "replicator-recipient"),
        keys=keys,
        created=shared.created,
        nonce=shared.nonce,
        tag=shared.tag,
        in_reply_to=form.read_in_reply_to(fields, shared.tag),
        media_type=fields["content-type"],
        content_encoding=fields.get("content-encoding"),
        content_digest=form.read_digest(fields["content-digest"]),
        bases=form.signature_bases(covered, parameters),
        signatures=form.read_signatures(fields["signature"], len(keys)),
    )


def check_digest(envelope: Envelope, wire_body: bytes) -> None:
    """Require that the transmitted bytes are those the envelope was made for.

    Raises:
        Refusal: ``bad-signature``.
    """
    if hashlib.sha256(wire_body).digest() != envelope.content_digest:
        form.refuse("content-digest does not fit the transmitted body")


def check_window(envelope: Envelope, now_ms: int, window_seconds: int) -> None:
    """Require that ``created`` is at most ``window_seconds`` away from the clock, either way.

    Raises:
        Refusal: ``stale``.
    """
    away_ms = abs(now_ms - envelope.created * 1000)
    if away_ms > window_seconds * 1000:
        raise Refusal(
            ErrorCode.STALE,
            f"signed {away_ms // 1000} s away from this node's clock, more than {window_seconds} s",
        )


def verify(envelope: Envelope) -> None:
    """Require that every listed key signed; the costly check, 60 microseconds and more per key.

    Raises:
        Refusal: ``bad-signature``, naming the first key that did not.
    """
    for (key, _), base, signature in zip(
        envelope.keys, envelope.bases, envelope.signatures, strict=True
    ):
        if not signing.verify(key, signature, base):
            form.refuse(f"the signature of {key} does not verify")
