"""Keys, signatures and the one verdict on each."""

import copy
import json
import pickle  # noqa: TID251 - to show that it is refused
import random
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError

from replicator.errors import ConfigurationError, Malformed
from replicator.limits import Limits
from replicator.protocol import signing
from replicator.protocol.ids import GlobalId, KeyText, parse_key
from replicator.protocol.post import Content, Post, PostSignature
from replicator.protocol.signing import PrivateKey, b64url, unb64url, verify

EDGE_CASES = json.loads(
    (Path(__file__).parents[2] / "vectors" / "ed25519-edge-cases.json").read_text()
)["cases"]
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD_PRIME = 2**255 - 19
TORSION = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
KEY = PrivateKey.generate()
LIMITS = Limits()


def key_text(raw: bytes) -> KeyText:
    return KeyText("ed25519:" + b64url(raw))


def raw_key(key: PrivateKey) -> bytes:
    return unb64url(key.public.removeprefix("ed25519:"))


def openssl_verdict(raw: bytes, signature: bytes, data: bytes) -> bool:
    """Return OpenSSL's verdict behind the same pre-check."""
    if not signing.ordinary_point(raw) or not signing.may_be_signature(signature):
        return False
    return openssl_alone(raw, signature, data)


def openssl_alone(raw: bytes, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def sodium_alone(raw: bytes, signature: bytes, data: bytes) -> bool:
    try:
        bindings.crypto_sign_open(signature + data, raw)
    except BadSignatureError:
        return False
    return True


def edge(case) -> tuple[bytes, bytes, bytes]:
    """Return key, signature and message of an edge case."""
    key, signature, message = (bytes.fromhex(case[n]) for n in ("key", "signature", "message"))
    return key, signature, message


def content(number: int = 1) -> Content:
    return Content((), "ann", GlobalId(f"alpha.example/{number}"), 5, ("a",), "text", None, "title")


def post(number: int = 1, *keys: PrivateKey) -> Post:
    return signing.sign_post(content(number), keys or (KEY,), LIMITS)


def broken(good: Post) -> Post:
    first = good.signatures[0]
    turned = bytearray(unb64url(first.value))
    turned[5] ^= 1
    wrong = PostSignature(first.key, b64url(bytes(turned)))
    return Post(good.id, good.digest, good.published, good.canonical, (wrong, *good.signatures[1:]))


# --- keys ----------------------------------------------------------------------------------------


def test_a_new_key_has_a_public_half_of_the_wire_form():
    assert parse_key(KEY.public) == KEY.public
    assert PrivateKey.generate().public != KEY.public


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_a_key_comes_back_from_its_pem(passphrase):
    pem = KEY.to_pem(passphrase)
    assert pem.startswith(b"-----BEGIN ENCRYPTED" if passphrase else b"-----BEGIN PRIVATE KEY")
    again = PrivateKey.from_pem(pem, passphrase)
    assert again.public == KEY.public
    assert verify(KEY.public, again.sign(b"data"), b"data")


@pytest.mark.parametrize(
    ("pem", "passphrase", "reason"),
    [
        (KEY.to_pem(b"secret"), None, "is encrypted"),
        (KEY.to_pem(b"secret"), b"other", "passphrase"),
        (KEY.to_pem(), b"secret", "is not encrypted"),
        (b"", None, "not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", None, "not a private"),
        (
            X25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            ),
            None,
            "another type",
        ),
    ],
)
def test_what_is_no_usable_key_is_refused(pem, passphrase, reason):
    with pytest.raises(ConfigurationError, match=reason):
        PrivateKey.from_pem(pem, passphrase)


def test_a_private_key_keeps_to_itself():
    secret = KEY.to_pem().split(b"\n")[1].decode()
    assert secret not in repr(KEY)
    assert "secret" in repr(KEY)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            leak(KEY)
    with pytest.raises(TypeError):
        vars(KEY)


def test_fingerprints_are_six_groups_of_five_digits():
    # SHA-256 of 32 zero bytes, modulo 10**30, by another program
    expected = int("66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925", 16) % 10**30
    shown = signing.fingerprint(key_text(bytes(32)))
    assert [len(group) for group in shown.split(" ")] == [5] * 6
    assert int(shown.replace(" ", "")) == expected


# --- base64url -----------------------------------------------------------------------------------


@given(st.binary(max_size=100))
def test_base64url_comes_back(data):
    assert unb64url(b64url(data)) == data


@pytest.mark.parametrize(
    "text", ["A", "AA==", "AB", "AAB", "A+", "A/", "AA\n", " AA", "AA ", "\u0410A", "AAAAA"]
)
def test_only_the_one_spelling_is_read(text):
    with pytest.raises(Malformed):
        unb64url(text)


# --- verdicts ------------------------------------------------------------------------------------


def test_the_first_vectors_of_rfc_8032_verify():
    key = key_text(
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    )
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
        "46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert verify(key, signature, b"")
    assert not verify(key, signature, b"x")


@pytest.mark.parametrize("case", EDGE_CASES, ids=lambda case: case["what"])
def test_each_edge_case_has_the_one_verdict(case):
    raw, signature, message = edge(case)
    assert verify(key_text(raw), signature, message) is case["accept"]
    assert openssl_verdict(raw, signature, message) is case["accept"]


@pytest.mark.parametrize("case", EDGE_CASES, ids=lambda case: case["what"])
def test_what_the_pre_check_refuses_is_shown_to_no_library(case, monkeypatch):
    raw, signature, message = edge(case)
    passes = signing.ordinary_point(raw) and signing.may_be_signature(signature)
    assert passes is case["pre_check"]
    asked = []

    def ask(*_):
        asked.append(case["number"])
        raise BadSignatureError

    monkeypatch.setattr(signing, "crypto_sign_open", ask)
    assert not verify(key_text(raw), signature, message)
    assert asked == [case["number"]] * passes


def test_all_published_edge_cases_are_here_and_the_libraries_alone_disagree_about_them():
    assert [case["number"] for case in EDGE_CASES] == list(range(12))
    assert [case["number"] for case in EDGE_CASES if case["accept"]] == [3]
    assert all(case["pre_check"] for case in EDGE_CASES if case["accept"])
    alone = [(sodium_alone(*edge(case)), openssl_alone(*edge(case))) for case in EDGE_CASES]
    assert any(sodium is not openssl for sodium, openssl in alone)
    behind = [both for both, case in zip(alone, EDGE_CASES, strict=True) if case["pre_check"]]
    assert all(sodium is openssl for sodium, openssl in behind)


def test_points_of_small_order_are_refused_in_every_spelling():
    point, points = TORSION, {TORSION}
    for _ in range(7):
        point = bindings.crypto_core_ed25519_add(point, TORSION)
        points.add(point)
    assert len(points) == 8
    assert not any(signing.ordinary_point(point) for point in points)
    for y in range(FIELD_PRIME, 2**255):
        for sign in (0, 1 << 255):
            assert not signing.ordinary_point((y | sign).to_bytes(32, "little"))
    for y in (0, 1, FIELD_PRIME - 1):
        assert not signing.ordinary_point((y | 1 << 255).to_bytes(32, "little"))
    assert signing.ordinary_point((FIELD_PRIME - 2).to_bytes(32, "little"))


def test_a_signature_has_no_second_spelling():
    signature = KEY.sign(b"data")
    s = int.from_bytes(signature[32:], "little")
    assert verify(KEY.public, signature, b"data")
    for factor in range(1, 16):
        other = s + factor * GROUP_ORDER
        if other < 2**256:
            malleable = signature[:32] + other.to_bytes(32, "little")
            assert not signing.may_be_signature(malleable)
            assert not verify(KEY.public, malleable, b"data")


def test_a_signer_who_adds_a_torsion_point_to_r_is_refused_by_both_libraries():
    chance = random.Random(1)
    secret, nonce = (chance.randrange(1, GROUP_ORDER) for _ in range(2))
    key = _times_base(secret)
    r = bindings.crypto_core_ed25519_add(_times_base(nonce), TORSION)
    hashed = bindings.crypto_core_ed25519_scalar_reduce(bindings.crypto_hash_sha512(r + key + b"m"))
    s = (nonce + int.from_bytes(hashed, "little") * secret) % GROUP_ORDER
    signature = r + s.to_bytes(32, "little")
    assert signing.may_be_signature(signature)
    assert not verify(key_text(key), signature, b"m")
    assert not openssl_verdict(key, signature, b"m")


def _times_base(scalar: int) -> bytes:
    return bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


@given(st.binary(max_size=200), st.integers(0, 64 * 8 + 32 * 8 - 1))
def test_both_libraries_agree_on_a_signature_and_on_any_flipped_bit(data, bit):
    raw, signature = raw_key(KEY), KEY.sign(data)
    assert verify(KEY.public, signature, data)
    flipped = bytearray(signature + raw)
    flipped[bit // 8] ^= 1 << bit % 8
    wrong, other = bytes(flipped[:64]), bytes(flipped[64:])
    assert verify(key_text(other), wrong, data) is False
    assert openssl_verdict(other, wrong, data) is False


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64), st.binary())
def test_any_bytes_have_the_same_verdict_in_both_libraries(raw, signature, data):
    signature = signature[:63] + bytes([signature[63] & 0x0F])
    assert verify(key_text(raw), signature, data) is openssl_verdict(raw, signature, data)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_none(length):
    assert not verify(KEY.public, bytes(length), b"")
    assert not verify(KEY.public, (KEY.sign(b"") * 2)[:length], b"")


@pytest.mark.parametrize(
    "key",
    ["", "ed25519:", "ed25519:AAAA", "rsa:x", KEY.public + "A", KEY.public[8:], "\u0435d:"],
    # Named here: the key is made anew in every process, and all must collect the same tests.
    ids=["empty", "no key", "short", "another algorithm", "too long", "no algorithm", "cyrillic"],
)
def test_what_is_no_key_verifies_nothing(key):
    assert not verify(KeyText(key), KEY.sign(b""), b"")


# --- posts ---------------------------------------------------------------------------------------


def test_a_post_is_signed_by_every_key_over_label_and_canonical_bytes():
    pool = PrivateKey.generate()
    made = post(1, KEY, pool)
    assert {signature.key for signature in made.signatures} == {KEY.public, pool.public}
    assert made.signed_bytes == b"replicator:post:1.0\n" + made.canonical
    assert signing.verify_post(made)


def test_one_bad_signature_spoils_a_post():
    assert not signing.verify_post(broken(post(1, KEY, PrivateKey.generate())))
    unsigned = post()
    assert not signing.verify_post(Post(unsigned.id, unsigned.digest, 5, unsigned.canonical, ()))
    assert not signing.verify_signatures([PostSignature(KEY.public, "AB")], b"")


def test_a_signature_counts_for_its_label_only():
    made = post()
    other = PostSignature(KEY.public, b64url(KEY.sign(made.canonical)))
    assert not signing.verify_post(
        Post(made.id, made.digest, made.published, made.canonical, (other,))
    )


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 101])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bulk_verdicts_stand_in_the_order_of_the_posts(count, threads):
    chance = random.Random(count)
    expected = [chance.random() < 0.7 for _ in range(count)]
    posts = [post(n) if good else broken(post(n)) for n, good in enumerate(expected)]
    assert signing.verify_posts(posts, threads) == expected
