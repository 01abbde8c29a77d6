"""Our envelopes before two independent readers of RFC 9421.

One is the http-message-signatures package (its own structured-field parser, base and OpenSSL);
the other is derived here, straight from the text of the RFC, from nothing but the header fields.
"""

import base64
import datetime
import hashlib
import time
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature as BadSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, algorithms
from http_message_signatures.resolvers import HTTPSignatureKeyResolver
from hypothesis import given
from hypothesis import strategies as st

from replicator.limits import Limits
from replicator.protocol import envelope
from replicator.protocol.envelope import Credentials, Signed
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey

LIMITS = Limits()
KEYS = [PrivateKey.generate() for _ in range(8)]
BODY = b'{"type":"pull"}'
IN_REPLY_TO = hashlib.sha256(b"request").hexdigest()
COVERED = ["content-digest", "content-type", "replicator-sender", "replicator-recipient"]


def credentials(nodes: int = 1, pools: int = 1) -> Credentials:
    roles = ["node"] * nodes + ["pool"] * pools
    return Credentials(NodeId("alpha.example"), tuple(zip(KEYS, roles, strict=False)))


def request(nodes: int = 1, pools: int = 1, **values: Any) -> Signed:
    given_values = {"created": int(time.time()), "nonce": bytes(range(16))} | values
    return envelope.sign_request(
        credentials(nodes, pools), NodeId("beta.example"), BODY, "application/json", **given_values
    )


def answer() -> Signed:
    return envelope.sign_answer(
        credentials(),
        NodeId("beta.example"),
        BODY,
        "application/xml",
        in_reply_to=IN_REPLY_TO,
        created=int(time.time()),
        nonce=bytes(range(64)),
        content_encoding="gzip",
    )


# --- the package ---------------------------------------------------------------------------------


class KeyTexts(HTTPSignatureKeyResolver):
    """Finds a key in its own name, as `keyid` is the key."""

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        raw = base64.urlsafe_b64decode(key_id.removeprefix("ed25519:") + "=")
        return Ed25519PublicKey.from_public_bytes(raw)


def package_verifies(headers: dict[str, str], tag: str, body: bytes) -> int:
    """Return how many signatures the package found and verified; raise where one does not."""
    message = SimpleNamespace(method="POST", url="http://beta.example/v1/sync", headers=headers)
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=KeyTexts())
    results = verifier.verify(
        message,
        expect_tag=tag,
        body=body,
        max_age=datetime.timedelta(minutes=1),
        require_components=[*COVERED, "replicator-keys"],
    )
    return len(results)


@pytest.mark.parametrize(("nodes", "pools"), [(1, 0), (1, 1), (2, 0), (3, 5)])
def test_the_package_verifies_every_signature_of_a_request(nodes, pools):
    signed = request(nodes, pools)
    assert package_verifies(signed.headers, "replicator-request-1", BODY) == nodes + pools


def test_the_package_verifies_an_answer_with_everything_covered():
    signed = answer()
    assert package_verifies(signed.headers, "replicator-answer-1", BODY) == 2


@pytest.mark.parametrize(
    "name",
    [*COVERED, "replicator-keys", "content-encoding", "replicator-in-reply-to"],
)
def test_the_package_and_we_refuse_a_change_of_any_covered_field(name):
    headers = answer().headers
    other = {
        "content-digest": "sha-256=:" + base64.b64encode(bytes(32)).decode() + ":",
        "content-type": "application/json",
        "replicator-sender": "mallory.example",
        "replicator-recipient": "gamma.example",
        "replicator-keys": f"{KEYS[0].public};role=node, {KEYS[1].public};role=node",
        "content-encoding": "identity",
        "replicator-in-reply-to": "0" * 64,
    }
    changed = headers | {name: other[name]}
    with pytest.raises(InvalidSignature):
        package_verifies(changed, "replicator-answer-1", BODY)
    with pytest.raises(envelope.Refusal):
        envelope.verify(envelope.parse(changed, LIMITS))


# --- the second derivation -----------------------------------------------------------------------


def second_bases(headers: dict[str, str]) -> dict[str, bytes]:
    """Return label → signature base, by RFC 9421 section 2.5, reading `signature-input` alone."""
    bases = {}
    for member in headers["signature-input"].split(", "):
        label, _, parameters = member.partition("=")
        names = [name.strip('"') for name in parameters[1 : parameters.index(")")].split(" ")]
        lines = [f'"{name}": {headers[name].strip()}' for name in names]
        lines.append(f'"@signature-params": {parameters}')
        bases[label] = "\n".join(lines).encode()
    return bases


def keyid(member: str) -> Ed25519PublicKey:
    text = member.split('keyid="ed25519:')[1].split('"')[0]
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "="))


@pytest.mark.parametrize("signed", [request(2, 2), answer()], ids=["request", "answer"])
def test_a_second_derivation_reaches_the_same_bases_and_verdicts(signed):
    bases = second_bases(signed.headers)
    message = envelope.parse(signed.headers, LIMITS)
    assert tuple(bases.values()) == message.bases
    assert hashlib.sha256(bases["sig1"]).hexdigest() == signed.base_digest == message.base_digest
    signatures = dict(part.split("=", 1) for part in signed.headers["signature"].split(", "))
    for member in signed.headers["signature-input"].split(", "):
        label = member.split("=")[0]
        value = base64.b64decode(signatures[label].strip(":"))
        keyid(member).verify(value, bases[label])
        with pytest.raises(BadSignature):
            keyid(member).verify(value, bases[label] + b" ")


def test_a_request_written_by_a_stranger_is_taken():
    """Made from the text of the specification, with no code of ours."""
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes_raw()
    name = "ed25519:" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    fields = {
        "content-digest": f"sha-256=:{digest}:",
        "content-type": "application/json",
        "replicator-sender": "stranger.example",
        "replicator-recipient": "beta.example",
        "replicator-keys": f"{name};role=node",
    }
    parameters = (
        '("content-digest" "content-type" "replicator-sender" "replicator-recipient" '
        '"replicator-keys");created=1700000000;nonce="AAECAwQFBgcICQoLDA0ODw";'
        f'keyid="{name}";alg="ed25519";tag="replicator-request-1"'
    )
    base = "".join(f'"{field}": {value}\n' for field, value in fields.items())
    base += f'"@signature-params": {parameters}'
    signature = base64.b64encode(key.sign(base.encode())).decode()
    fields |= {"signature-input": f"sig1={parameters}", "signature": f"sig1=:{signature}:"}
    message = envelope.parse(fields, LIMITS)
    envelope.check_digest(message, BODY)
    envelope.verify(message)
    assert (message.sender, message.keys) == ("stranger.example", ((name, "node"),))


@given(
    st.binary(max_size=50),
    st.integers(0, 10**12 - 1),
    st.binary(min_size=16, max_size=64),
    st.sampled_from([None, "gzip"]),
)
def test_any_envelope_has_the_bases_of_the_second_derivation(body, created, nonce, encoding):
    signed = envelope.sign_request(
        credentials(),
        NodeId("b"),
        body,
        "application/json; charset=utf-8",
        created=created,
        nonce=nonce,
        content_encoding=encoding,
    )
    message = envelope.parse(signed.headers, LIMITS)
    assert tuple(second_bases(signed.headers).values()) == message.bases
    envelope.check_digest(message, body)
    envelope.verify(message)
    assert (message.created, message.content_encoding) == (created, encoding)
