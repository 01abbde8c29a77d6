"""The signed envelope: what is signed, and everything that is refused."""

import base64
import hashlib
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.protocol import envelope, envelope_form
from replicator.protocol.envelope import Credentials, Envelope, Signed
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey

LIMITS = Limits()
# Fixed: the tests below are made of signatures, and every process must collect the same tests.
NODE, POOL, OTHER = (
    PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)) for number in (1, 2, 3)
)
ALPHA, BETA = NodeId("alpha.example"), NodeId("beta.example")
CREDENTIALS = Credentials(ALPHA, ((NODE, "node"), (POOL, "pool")))
BODY = b'{"type":"pull"}'
NONCE = bytes(range(16))
CREATED = 1_700_000_000
IN_REPLY_TO = "ab" * 32


def request(**values: Any) -> Signed:
    named = {"created": CREATED, "nonce": NONCE} | values
    return envelope.sign_request(CREDENTIALS, BETA, BODY, "application/json", **named)


def answer(**values: Any) -> Signed:
    named = {"created": CREATED, "nonce": NONCE, "in_reply_to": IN_REPLY_TO} | values
    return envelope.sign_answer(CREDENTIALS, BETA, BODY, "application/json", **named)


REQUEST, ANSWER = request().headers, answer().headers


def accept(headers: Any, body: bytes = BODY) -> Envelope:
    message = envelope.parse(headers, LIMITS)
    envelope.check_digest(message, body)
    envelope.verify(message)
    return message


def refused(headers: Any, match: str | None = None) -> None:
    with pytest.raises(Refusal, match=match) as caught:
        accept(headers)
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


# --- what is signed ------------------------------------------------------------------------------


def test_a_request_comes_back_as_it_was_signed():
    signed = request()
    message = accept(signed.headers)
    assert message.keys == ((NODE.public, "node"), (POOL.public, "pool"))
    assert (message.keys_of("node"), message.keys_of("pool")) == ((NODE.public,), (POOL.public,))
    assert (message.sender, message.recipient, message.created) == (ALPHA, BETA, CREATED)
    assert message.nonce == "AAECAwQFBgcICQoLDA0ODw"
    assert (message.tag, message.in_reply_to) == (envelope.REQUEST_TAG, None)
    assert (message.media_type, message.content_encoding) == ("application/json", None)
    assert message.base_digest == signed.base_digest


def test_an_answer_is_bound_to_its_request():
    message = accept(ANSWER)
    assert (message.tag, message.in_reply_to) == (envelope.ANSWER_TAG, IN_REPLY_TO)


def test_fields_are_covered_in_the_one_order():
    signed = answer(content_encoding="gzip")
    covered = re.findall(r'"([a-z-]+)"', signed.headers["signature-input"].split(";")[0])
    assert covered == [
        "content-digest",
        "content-type",
        "content-encoding",
        "replicator-sender",
        "replicator-recipient",
        "replicator-keys",
        "replicator-in-reply-to",
    ]
    assert list(signed.headers) == [*covered, "signature-input", "signature"]


def test_the_fields_have_the_bytes_of_the_specification():
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    assert REQUEST["content-digest"] == f"sha-256=:{digest}:"
    assert REQUEST["replicator-keys"] == f"{NODE.public};role=node, {POOL.public};role=pool"
    names = '"content-digest" "content-type" "replicator-sender" "replicator-recipient"'
    assert REQUEST["signature-input"] == ", ".join(
        f'sig{number}=({names} "replicator-keys");created=1700000000;'
        f'nonce="AAECAwQFBgcICQoLDA0ODw";keyid="{key.public}";alg="ed25519";'
        'tag="replicator-request-1"'
        for number, key in ((1, NODE), (2, POOL))
    )


def test_names_in_any_case_and_pairs_are_read():
    message = accept({name.title(): value for name, value in REQUEST.items()})
    assert message == accept(REQUEST)
    assert message == accept([("host", "a"), ("host", "b"), *REQUEST.items()])


def test_base_digests_differ_wherever_anything_differs():
    digests = {
        request().base_digest,
        request(nonce=bytes(16)).base_digest,
        request(created=CREATED + 1).base_digest,
        request(content_encoding="gzip").base_digest,
        answer().base_digest,
        answer(in_reply_to="0" * 64).base_digest,
        envelope.sign_request(
            Credentials(ALPHA, ((NODE, "node"),)),
            BETA,
            BODY,
            "application/json",
            created=CREATED,
            nonce=NONCE,
        ).base_digest,
    }
    assert len(digests) == 7


@pytest.mark.parametrize(
    "signers",
    [
        (),
        ((POOL, "pool"),),
        ((POOL, "pool"), (NODE, "node")),
        ((NODE, "node"), (NODE, "node")),
        ((NODE, "node"), (NODE, "pool")),
    ],
)
def test_credentials_are_node_keys_then_pool_keys_each_once(signers):
    with pytest.raises(ValueError, match="node keys"):
        Credentials(ALPHA, signers)


@pytest.mark.parametrize(
    "values",
    [
        {"nonce": bytes(15)},
        {"nonce": bytes(65)},
        {"created": -1},
        {"created": 10**12},
        {"content_encoding": ""},
        {"content_encoding": "gzip\r\nx: y"},
        {"content_encoding": " gzip"},
    ],
)
def test_values_without_a_place_in_an_envelope_are_not_signed(values):
    with pytest.raises(ValueError, match=r"must|printable"):
        request(**values)


def test_credentials_do_not_show_private_keys():
    secret = NODE.to_pem().split(b"\n")[1].decode()
    assert secret not in repr(CREDENTIALS)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ANSWER))
def test_every_field_of_an_answer_is_needed(name):
    refused({field: value for field, value in ANSWER.items() if field != name})


def test_an_unsigned_message_is_said_to_be_one():
    refused({"content-type": "application/json"}, "not signed")
    refused({}, "not signed")


@pytest.mark.parametrize("name", list(ANSWER))
def test_a_field_that_stands_there_twice_is_refused(name):
    refused([*ANSWER.items(), (name.upper(), ANSWER[name])], "twice")
    refused(ANSWER | {name: f"{ANSWER[name]}, {ANSWER[name]}"})


CHANGES = [
    lambda value: value + " ",
    lambda value: " " + value,
    lambda value: "\t" + value,
    lambda value: value + "\n",
    lambda value: value + "\u00a0",
    lambda value: value.replace("a", "\u0430"),
    lambda value: value + "\0",
    lambda value: value[:-1],
    lambda value: value[1:],
    lambda value: value + "x",
    lambda value: "",
    lambda value: value.swapcase(),
]
CHANGED = sorted(
    {(name, change(value)) for name, value in ANSWER.items() for change in CHANGES}
    - set(ANSWER.items())
)


@pytest.mark.parametrize(("name", "changed"), CHANGED)
def test_no_field_may_be_changed_in_any_way(name, changed):
    refused(ANSWER | {name: changed})


@pytest.mark.parametrize("name", list(ANSWER))
@given(data=st.data())
def test_any_other_value_of_any_field_is_refused(name, data):
    value = ANSWER[name]
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = value[:place] + other + value[place + 1 :]
    if changed != value:
        refused(ANSWER | {name: changed})


@given(st.dictionaries(st.sampled_from(envelope.ENVELOPE_FIELDS), st.text(max_size=80)))
def test_arbitrary_fields_are_refused_and_nothing_else_happens(fields):
    refused(fields)
    refused(ANSWER | {name: value for name, value in fields.items() if value != ANSWER.get(name)}
            | {"signature": fields.get("signature", "sig1=::")})  # fmt: skip


def _replaced(headers: dict[str, str], name: str, old: str, new: str) -> dict[str, str]:
    assert old in headers[name]
    return headers | {name: headers[name].replace(old, new)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"content-digest" "content-type"', '"content-type" "content-digest"'),
        (' "replicator-keys"', ""),
        (' "replicator-keys"', ' "replicator-keys" "@method"'),
        ('"content-type"', '"content-type";sf'),
        ('"content-type" ', '"content-type"  '),
        (";created=1700000000", ""),
        (";created=1700000000", ";created=1700000000.0"),
        (";created=1700000000", ";created=01700000000"),
        (";created=1700000000", ";created=-1"),
        (";created=1700000000", ";created=1700000000;expires=1700000060"),
        (";created=1700000000", "; created=1700000000"),
        (";created=1700000000", ";created=1700000000;created=1700000001"),
        ('nonce="AAECAwQFBgcICQoLDA0ODw"', 'nonce="short"'),
        ('nonce="AAECAwQFBgcICQoLDA0ODw"', "nonce=AAECAwQFBgcICQoLDA0ODw"),
        ('nonce="AAECAwQFBgcICQoLDA0ODw"', 'nonce="' + "A" * 87 + '"'),
        ('alg="ed25519"', 'alg="hmac-sha256"'),
        ('alg="ed25519"', 'alg="Ed25519"'),
        (';alg="ed25519"', ""),
        ('tag="replicator-request-1"', 'tag="replicator-request-2"'),
        ('tag="replicator-request-1"', 'tag="replicator-answer-1"'),
        (';tag="replicator-request-1"', ""),
        ("sig1=", "sig01="),
        ("sig1=", "Sig1="),
        ("sig1=", "sig3="),
        ("sig2=", "sig1="),
        (", sig2=", ",sig2="),
        (", sig2=", ",  sig2="),
        (", sig2=", ", proxy=(), sig2="),
    ],
)
def test_signature_input_has_one_spelling(old, new):
    refused(_replaced(REQUEST, "signature-input", old, new))


def test_signatures_of_one_message_share_created_and_nonce():
    for old, new in (("created=1700000000", "created=1700000001"), ("AAECAw", "BAECAw")):
        first, _, second = REQUEST["signature-input"].partition(", ")
        refused(REQUEST | {"signature-input": f"{first}, {second.replace(old, new)}"})


@pytest.mark.parametrize(
    "change",
    [
        lambda first, second: first,
        lambda first, second: second,
        lambda first, second: f"{second}, {first}",
        lambda first, second: f"{first}, {first}",
        lambda first, second: f"{first}, {second}, {second.replace('sig2', 'sig3')}",
        lambda first, second: f"{first},{second}",
        lambda first, second: f"{first};a, {second}",
        lambda first, second: f"{first}, {second.replace('=:', '=').rstrip(':')}",
        lambda first, second: f"{first.replace('sig1', 'sig2')}, {second.replace('sig2', 'sig1')}",
    ],
)
def test_the_signature_field_has_one_signature_per_key_in_order(change):
    refused(REQUEST | {"signature": change(*REQUEST["signature"].split(", "))})


def test_a_signature_under_the_other_keys_label_is_refused():
    first, second = REQUEST["signature"].split(", ")
    swapped = f"sig1={second.partition('=')[2]}, sig2={first.partition('=')[2]}"
    refused(REQUEST | {"signature": swapped}, "does not verify")


@pytest.mark.parametrize(
    "keys",
    [
        f"{NODE.public};role=node",
        f"{POOL.public};role=pool, {NODE.public};role=node",
        f"{NODE.public};role=node, {NODE.public};role=pool",
        f"{NODE.public};role=node, {POOL.public};role=node",
        f"{NODE.public};role=node, {POOL.public};role=admin",
        f"{NODE.public};role=node, {POOL.public}",
        f"{NODE.public};role=node,{POOL.public};role=pool",
        f"{NODE.public};role=node, {POOL.public};role=pool;x",
        f'"{NODE.public}";role=node, {POOL.public};role=pool',
        f"{NODE.public[:-1]}B;role=node, {POOL.public};role=pool",
        f"{NODE.public};role=node, {OTHER.public};role=pool",
    ],
    ids=range(11),
)
def test_the_key_list_has_one_spelling_and_is_covered(keys):
    refused(REQUEST | {"replicator-keys": keys})


def test_more_keys_than_the_limit_are_refused_before_any_is_verified():
    keys = [PrivateKey.generate() for _ in range(9)]
    many = Credentials(ALPHA, tuple((key, "node") for key in keys))
    signed = envelope.sign_request(
        many, BETA, BODY, "application/json", created=CREATED, nonce=NONCE
    )
    refused(signed.headers, "more than 8 keys")


def test_an_envelope_larger_than_the_limit_is_refused():
    refused(REQUEST | {"content-type": "a" * (LIMITS.header_bytes_max + 1)}, "larger")


def signed_by_hand(covered: dict[str, str], tag: envelope.Tag) -> dict[str, str]:
    shared = envelope_form.Parameters(CREATED, "A" * 22, tag)
    parameters = envelope_form.write_parameters(covered, CREDENTIALS.keys, shared)
    bases = envelope_form.signature_bases(covered, parameters)
    return covered | {
        "signature-input": envelope_form.write_signature_input(parameters),
        "signature": envelope_form.write_signatures(
            key.sign(base) for (key, _), base in zip(CREDENTIALS.signers, bases, strict=True)
        ),
    }


def test_a_request_must_not_name_a_request_and_an_answer_must():
    plain = {name: REQUEST[name] for name in envelope_form.COVERED_FIELDS if name in REQUEST}
    naming = {name: ANSWER[name] for name in envelope_form.COVERED_FIELDS if name in ANSWER}
    accept(signed_by_hand(plain, envelope.REQUEST_TAG))
    accept(signed_by_hand(naming, envelope.ANSWER_TAG))
    refused(signed_by_hand(naming, envelope.REQUEST_TAG), "only there")
    refused(signed_by_hand(plain, envelope.ANSWER_TAG), "only there")


def test_well_signed_fields_of_another_form_are_refused():
    plain = {name: REQUEST[name] for name in envelope_form.COVERED_FIELDS if name in REQUEST}
    for name, value in (
        ("replicator-sender", "Alpha.example"),
        ("replicator-sender", "alpha.example."),
        ("replicator-recipient", "beta..example"),
        ("replicator-recipient", "-"),
        ("content-digest", "sha-256=:AAAA:"),
    ):
        refused(signed_by_hand(plain | {name: value}, envelope.REQUEST_TAG), name)
    backwards = dict(reversed(plain.items()))
    refused(signed_by_hand(backwards, envelope.REQUEST_TAG), "order")


def test_an_uncovered_content_encoding_cannot_be_slipped_in():
    refused(REQUEST | {"content-encoding": "gzip"}, "defined fields")


def test_another_body_is_refused():
    message = envelope.parse(REQUEST, LIMITS)
    for body in (b"", BODY + b"\n", BODY[:-1]):
        with pytest.raises(Refusal, match="content-digest"):
            envelope.check_digest(message, body)


def test_other_digests_are_refused():
    digest = REQUEST["content-digest"]
    sha512 = f"sha-512=:{base64.b64encode(bytes(64)).decode()}:"
    for other in (sha512, f"{digest}, {sha512}", f"{sha512}, {digest}", digest.upper()):
        refused(REQUEST | {"content-digest": other}, "content-digest|signature-input")


def test_a_key_that_did_not_sign_spoils_the_envelope():
    signed = envelope.sign_request(
        Credentials(ALPHA, ((NODE, "node"), (OTHER, "pool"))),
        BETA,
        BODY,
        "application/json",
        created=CREATED,
        nonce=NONCE,
    )
    mixed = ", ".join(
        [signed.headers["signature"].split(", ")[0], REQUEST["signature"].split(", ")[1]]
    )
    refused(signed.headers | {"signature": mixed}, re.escape(OTHER.public))


# --- the window ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now_ms", "fits"),
    [
        (CREATED * 1000, True),
        (CREATED * 1000 + 60_000, True),
        (CREATED * 1000 + 60_001, False),
        (CREATED * 1000 - 60_000, True),
        (CREATED * 1000 - 60_001, False),
        (0, False),
    ],
)
def test_the_window_is_as_wide_in_both_directions(now_ms, fits):
    message = envelope.parse(REQUEST, LIMITS)
    if fits:
        envelope.check_window(message, now_ms, 60)
    else:
        with pytest.raises(Refusal) as caught:
            envelope.check_window(message, now_ms, 60)
        assert caught.value.code is ErrorCode.STALE
