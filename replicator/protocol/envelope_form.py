"""The one spelling of an envelope: which fields there are, and how each is written and read.

Pure. Every writer has one possible output and every reader takes that output alone, so that no two
implementations can read one envelope differently. The forms are structured fields (RFC 8941)
narrowed to one serialisation; PROTOCOL.md, "Envelope", lists them. Who signed, and whether the
signatures verify, is `replicator.protocol.envelope`'s business.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.protocol.ids import DIGEST_PATTERN, KEY_PATTERN, NODE_ID_PATTERN, KeyText, NodeId

Role = Literal["node", "pool"]
"""What a signing key is to the sender: its identity, or a pool it is a member of."""
Tag = Literal["replicator-request-1", "replicator-answer-1"]
"""What a signature is for: RFC 9421's parameter that keeps protocols apart."""

REQUEST_TAG: Final = "replicator-request-1"
ANSWER_TAG: Final = "replicator-answer-1"

ENVELOPE_FIELDS: Final[tuple[str, ...]] = (
    "content-digest",
    "content-type",
    "content-encoding",
    "replicator-sender",
    "replicator-recipient",
    "replicator-keys",
    "replicator-in-reply-to",
    "signature-input",
    "signature",
)
"""All fields of an envelope; those before ``signature-input`` are covered in this order."""
COVERED_FIELDS: Final = ENVELOPE_FIELDS[:-2]
_OPTIONAL: Final = frozenset({"content-encoding", "replicator-in-reply-to"})

# Printable ASCII without spaces at the ends: what every HTTP implementation passes on unchanged
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_NODE_ID = re.compile(NODE_ID_PATTERN)
_DIGEST = re.compile(DIGEST_PATTERN)
_KEY = re.compile(KEY_PATTERN)
_LISTED_KEY = re.compile(r"(ed25519:[A-Za-z0-9_-]{43});role=(node|pool)")
# The last character before the padding has two or four spare bits; only zeros are canonical
_CONTENT_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=):")
_SIGNATURE = re.compile(r"sig[1-9][0-9]*=:([A-Za-z0-9+/]{85}[AQgw]==):")
_PARAMETERS = re.compile(
    r"sig1=\([^()]*\);created=(0|[1-9][0-9]{0,11});nonce=\"([A-Za-z0-9_-]{22,86})\";"
    r"keyid=\"[^\"]*\";alg=\"ed25519\";tag=\"(replicator-request-1|replicator-answer-1)\"(?:, |\Z)"
)

Keys = Sequence[tuple[KeyText, Role]]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What all signatures of one message share (RFC 9421, section 2.3).

    Args:
        created: seconds since the Unix epoch, by the sender's clock.
        nonce: 22 to 86 characters of base64url.
        tag: request or answer.
    """

    created: int
    nonce: str
    tag: Tag


# --- writing --------------------------------------------------------------------------------------


def is_value(value: str) -> bool:
    """Tell whether a field value is printable ASCII without spaces at its ends."""
    return _VALUE.fullmatch(value) is not None


def in_order(keys: Keys) -> bool:
    """Tell whether keys are node keys (at least one), then pool keys, each once."""
    roles = [role for _, role in keys]
    return roles[:1] == ["node"] and roles == sorted(roles) and len(dict(keys)) == len(keys)


def write_digest(digest: bytes) -> str:
    """Return the ``content-digest`` field of a SHA-256 (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(digest).decode('ascii')}:"


def write_keys(keys: Keys) -> str:
    """Return the ``replicator-keys`` field."""
    return ", ".join(f"{key};role={role}" for key, role in keys)


def write_parameters(covered: Iterable[str], keys: Keys, shared: Parameters) -> tuple[str, ...]:
    """Return each key's signature parameters: the covered names, then what `Parameters` holds."""
    names = " ".join(f'"{name}"' for name in covered)
    before = f'({names});created={shared.created};nonce="{shared.nonce}";keyid="'
    after = f'";alg="ed25519";tag="{shared.tag}"'
    return tuple(f"{before}{key}{after}" for key, _ in keys)


def write_signature_input(parameters: Iterable[str]) -> str:
    """Return the ``signature-input`` field: labels ``sig1``, ``sig2`` ... in the order of keys."""
    return ", ".join(f"sig{number}={one}" for number, one in enumerate(parameters, 1))


def write_signatures(signatures: Iterable[bytes]) -> str:
    """Return the ``signature`` field."""
    return ", ".join(
        f"sig{number}=:{base64.b64encode(one).decode('ascii')}:"
        for number, one in enumerate(signatures, 1)
    )


def signature_bases(covered: Mapping[str, str], parameters: Iterable[str]) -> tuple[bytes, ...]:
    """Return what each key signs (RFC 9421, section 2.5): the fields, then its parameters."""
    lines = "".join(f'"{name}": {value}\n' for name, value in covered.items())
    return tuple(f'{lines}"@signature-params": {one}'.encode("ascii") for one in parameters)


# --- reading: all of it raises `Refusal` ``bad-signature`` ----------------------------------------


def refuse(reason: str) -> NoReturn:
    """Raise the one refusal of everything that is wrong with an envelope."""
    raise Refusal(ErrorCode.BAD_SIGNATURE, reason)


def read_fields(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], limits: Limits
) -> dict[str, str]:
    """Return the envelope's fields, each once, of printable ASCII, bounded in size."""
    fields: dict[str, str] = {}
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    for given_name, value in pairs:
        name = given_name.lower()
        if name not in ENVELOPE_FIELDS:
            continue
        if name in fields:
            refuse(f"the field {name} stands there twice")
        fields[name] = value
    if "signature" not in fields:
        refuse("the message is not signed")
    if sum(map(len, fields.values())) > limits.header_bytes_max:
        refuse(f"the envelope is larger than {limits.header_bytes_max} bytes")
    for name in ENVELOPE_FIELDS:
        if name not in fields and name not in _OPTIONAL:
            refuse(f"the field {name} is missing")
        if name in fields and not is_value(fields[name]):
            refuse(f"the field {name} is not printable ASCII without spaces at its ends")
    return fields


def read_node_id(fields: Mapping[str, str], name: str) -> NodeId:
    """Return the node id in a field."""
    if _NODE_ID.match(fields[name]) is None:
        refuse(f"{name} is no node id")
    return NodeId(fields[name])


def read_in_reply_to(fields: Mapping[str, str], tag: Tag) -> str | None:
    """Return the request that an answer answers; requests have none."""
    value = fields.get("replicator-in-reply-to")
    if (tag == ANSWER_TAG) != (value is not None):
        refuse("replicator-in-reply-to must stand in answers, and only there")
    if value is not None and _DIGEST.match(value) is None:
        refuse("replicator-in-reply-to is not 64 lower-case hexadecimal digits")
    return value


def read_digest(value: str) -> bytes:
    """Return the SHA-256 in a ``content-digest`` field."""
    found = _CONTENT_DIGEST.fullmatch(value)
    if found is None:
        refuse("content-digest is not one sha-256 digest")
    return base64.b64decode(found[1])


def read_keys(value: str, limits: Limits) -> tuple[tuple[KeyText, Role], ...]:
    """Return the keys of a ``replicator-keys`` field."""
    keys: list[tuple[KeyText, Role]] = []
    members = value.split(", ", limits.envelope_signatures_max)
    if len(members) > limits.envelope_signatures_max:
        refuse(f"more than {limits.envelope_signatures_max} keys sign")
    for member in members:
        found = _LISTED_KEY.fullmatch(member)
        if found is None or _KEY.match(found[1]) is None:
            refuse("replicator-keys does not have the defined form")
        keys.append((KeyText(found[1]), "node" if found[2] == "node" else "pool"))
    if not in_order(keys):
        refuse("replicator-keys must list node keys (at least one), then pool keys, each once")
    return tuple(keys)


def read_parameters(value: str) -> Parameters:
    """Return what a ``signature-input`` field says; the caller compares it with what is written."""
    found = _PARAMETERS.match(value)
    if found is None:
        refuse("signature-input does not have the defined form")
    return Parameters(
        int(found[1]), found[2], ANSWER_TAG if found[3] == ANSWER_TAG else REQUEST_TAG
    )


def read_signatures(value: str, count: int) -> tuple[bytes, ...]:
    """Return the ``count`` signatures of a ``signature`` field, in the order of keys."""
    found = [_SIGNATURE.fullmatch(member) for member in value.split(", ", count)]
    signatures = [base64.b64decode(match[1]) for match in found if match is not None]
    if len(signatures) != count or value != write_signatures(signatures):
        refuse("signature does not hold exactly one signature per key, in their order")
    return tuple(signatures)
