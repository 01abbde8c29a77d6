"""Target ``envelope``: header fields, one a line, as the gateway hands them on.

Whatever is parsed has one spelling: written anew from its values it is what came.
"""

from typing import Final

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.protocol import envelope
from replicator.protocol import envelope_form as form
from tests.fuzz import vectors
from tests.fuzz.target import Target, require

LIMITS: Final = Limits()
_TOKENS: Final = (
    tuple(f"{name}: ".encode() for name in (*form.ENVELOPE_FIELDS, "Signature", "host"))
    + tuple(
        rb""", ; = : " ( ) ;role=node ;role=pool ;created= ;nonce=" ;keyid=" ;alg="ed25519" ;tag="
    sig1= sig2= sig01= sha-256=: sha-512=: ;alg="rsa-v1_5-sha256" ;expires=1 replicator-answer-1
    replicator-request-1 gzip application/xml a.example ed25519: node pool
    """.split()
    )
    + (b"\n", b" ", b"\t", b"\x00", b"\xe9")
)


def fields_of(data: bytes) -> list[tuple[str, str]]:
    """Return the fields that an input spells."""
    pairs = (line.partition(": ") for line in data.decode("latin-1").split("\n"))
    return [(name, value) for name, _, value in pairs]


def read_envelope(data: bytes) -> bool:
    """Judge the fields of one message."""
    fields = fields_of(data)
    try:
        found = envelope.parse(fields, LIMITS)
    except Refusal as refusal:
        require(refusal.code is ErrorCode.BAD_SIGNATURE, f"refused as {refusal.code}")
        return False
    given = {name.lower(): value for name, value in fields}
    written = _written(found)
    require(
        written == {name: given[name] for name in form.ENVELOPE_FIELDS if name in given},
        "an envelope has a second spelling",
    )
    require(envelope.parse(written, LIMITS) == found, "it is read differently from a mapping")
    require(1 <= len(found.keys) <= LIMITS.envelope_signatures_max, "keys beyond the bound")
    require(found.keys[0][1] == "node", "signed by no node key")
    require(len(dict(found.keys)) == len(found.keys), "a key signs twice")
    _refused_or_not(found)
    return True


def _written(found: envelope.Envelope) -> dict[str, str]:
    fields = {
        "content-digest": form.write_digest(found.content_digest),
        "content-type": found.media_type,
        "content-encoding": found.content_encoding,
        "replicator-sender": found.sender,
        "replicator-recipient": found.recipient,
        "replicator-keys": form.write_keys(found.keys),
        "replicator-in-reply-to": found.in_reply_to,
    }
    covered = {name: value for name, value in fields.items() if value is not None}
    shared = form.Parameters(found.created, found.nonce, found.tag)
    parameters = form.write_parameters(covered, found.keys, shared)
    require(form.signature_bases(covered, parameters) == found.bases, "other bytes are signed")
    return {
        **covered,
        "signature-input": form.write_signature_input(parameters),
        "signature": form.write_signatures(found.signatures),
    }


def _refused_or_not(found: envelope.Envelope) -> None:
    for check in (
        lambda: envelope.check_digest(found, b""),
        lambda: envelope.check_window(found, 1_767_225_600_000, LIMITS.window_seconds),
        lambda: envelope.verify(found),
    ):
        try:
            check()
        except Refusal as refusal:
            require(refusal.code in (ErrorCode.BAD_SIGNATURE, ErrorCode.STALE), refusal.code)


ENVELOPE: Final = Target("envelope", read_envelope, vectors.envelopes, _TOKENS)
