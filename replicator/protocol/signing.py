"""Ed25519 keys and signatures: the only module that touches the crypto libraries.

Pure, but for the randomness of a new key. `cryptography` makes, reads, protects and signs with
keys; libsodium (PyNaCl) verifies, as it is twice as fast. A pure pre-check refuses what libraries
are known to disagree about, so that one signature has one verdict everywhere (PROTOCOL.md,
"Signatures"; the cases of "Taming the many EdDSAs", https://eprint.iacr.org/2020/1244, are
vectors). Private keys are never shown, logged, copied or pickled; nothing here decides whether a
key is trusted.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from replicator.errors import ConfigurationError, Malformed
from replicator.limits import Limits
from replicator.protocol.ids import KEY_PATTERN, KeyText
from replicator.protocol.post import (
    SIGNING_LABEL,
    Content,
    Post,
    PostSignature,
    canonical_bytes,
    post_of,
)

KEY_PREFIX: Final = "ed25519:"
SIGNATURE_BYTES: Final = 64

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_KEY = re.compile(KEY_PATTERN)

# The curve of RFC 8032: field prime and group order
_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_Y_MASK: Final = 2**255 - 1
_Y8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
# Every point whose order divides 8 has one of these y: order 4, order 1, order 2, twice order 8.
# Among them are both points with x = 0, where a set sign bit would be a second encoding.
_SMALL_ORDER_Y: Final = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})

_THREADS_MAX: Final = 2
"""Of one bulk verification: libsodium releases the GIL, and a worker has about two cores."""
_POSTS_PER_THREAD_MIN: Final = 16
"""A thread costs about as much to start as one or two signatures to verify."""


class PrivateKey:
    """An Ed25519 private key that signs and otherwise keeps to itself."""

    __slots__ = ("_key", "public")

    public: KeyText
    """The public half, as it stands on the wire."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = KeyText(KEY_PREFIX + b64url(raw))

    @classmethod
    def generate(cls) -> "PrivateKey":
        """Make a new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "PrivateKey":
        """Return the key of 32 bytes (RFC 8032, section 5.1.5): for runs that must repeat."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> "PrivateKey":
        """Read a PKCS#8 PEM.

        Raises:
            ConfigurationError: it is no Ed25519 private key, or the passphrase does not fit;
                never quotes the input.
        """
        try:
            key = load_pem_private_key(pem, passphrase)
        except TypeError as error:
            needs = (
                "is encrypted: give its passphrase" if passphrase is None else "is not encrypted"
            )
            raise ConfigurationError(f"the private key {needs}") from error
        except (ValueError, UnsupportedAlgorithm):
            # without ``from``: the library's message may describe the key
            raise ConfigurationError(
                "not a private key in PKCS#8 PEM, or another passphrase protects it"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError("the private key is of another type than Ed25519")
        return cls(key)

    def to_pem(self, passphrase: bytes | None = None) -> bytes:
        """Return the key as PKCS#8 PEM, encrypted where a passphrase is given."""
        protection: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            protection = BestAvailableEncryption(passphrase)
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature of ``data``."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"PrivateKey(<secret>, public={self.public!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is neither copied nor pickled")


def b64url(data: bytes) -> str:
    """Return the unpadded base64url of ``data`` (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url; raise `Malformed` unless it is the one spelling."""
    if _BASE64URL.fullmatch(text) is None or len(text) % 4 == 1:
        raise Malformed("not unpadded base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url(data) != text:
        raise Malformed("base64url whose last character carries stray bits")
    return data


def verify(key: KeyText, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` is the one of ``key`` over ``data``; never raises."""
    raw = _usable_key(key)
    if raw is None or not may_be_signature(signature):
        return False
    try:
        crypto_sign_open(signature + data, raw)
    except BadSignatureError:
        return False
    return True


def may_be_signature(signature: bytes) -> bool:
    """Tell whether R is an `ordinary_point` and S is below the group order; no library is asked."""
    if len(signature) != SIGNATURE_BYTES or int.from_bytes(signature[32:], "little") >= _L:
        return False
    return ordinary_point(signature[:32])


def ordinary_point(encoded: bytes) -> bool:
    """Tell whether 32 bytes encode y below the field prime and no point of small order.

    Whether they encode a point of the curve at all is left to the library.
    """
    y = int.from_bytes(encoded, "little") & _Y_MASK
    return y < _P and y not in _SMALL_ORDER_Y


@lru_cache(maxsize=4096)
def _usable_key(key: KeyText) -> bytes | None:
    """Return the raw bytes of a key that may verify anything; decoding costs once per key."""
    if _KEY.match(key) is None:
        return None
    raw = unb64url(key.removeprefix(KEY_PREFIX))
    return raw if ordinary_point(raw) else None


def sign_post(content: Content, keys: Iterable[PrivateKey], limits: Limits) -> Post:
    """Make a post of content, signed by each of ``keys`` (the node key and its pool keys).

    Raises:
        Malformed: as `replicator.protocol.post.post_of`.
    """
    data = SIGNING_LABEL + canonical_bytes(content)
    signatures = [PostSignature(key.public, b64url(key.sign(data))) for key in keys]
    return post_of(content, signatures, limits)


def verify_post(post: Post) -> bool:
    """Tell whether every signature listed with a post verifies."""
    return verify_signatures(post.signatures, post.signed_bytes)


def verify_signatures(signatures: Sequence[PostSignature], data: bytes) -> bool:
    """Tell whether there is a signature and every one listed verifies over ``data``."""
    try:
        return bool(signatures) and all(
            verify(signature.key, unb64url(signature.value), data) for signature in signatures
        )
    except Malformed:
        return False


def verify_posts(posts: Sequence[Post], threads: int = _THREADS_MAX) -> list[bool]:
    """Verify many posts, on up to ``threads`` cores; one verdict per post, in order.

    Threads live for the one call, so a process that forks later inherits none.
    """
    workers = min(threads, len(posts) // _POSTS_PER_THREAD_MIN)
    if workers < 2:
        return [verify_post(post) for post in posts]
    slices = [posts[start::workers] for start in range(workers)]
    verdicts = [False] * len(posts)
    with ThreadPoolExecutor(workers) as pool:
        for start, part in enumerate(pool.map(_verify_slice, slices)):
            verdicts[start::workers] = part
    return verdicts


def _verify_slice(posts: Sequence[Post]) -> list[bool]:
    return [verify_post(post) for post in posts]


def fingerprint(key: KeyText) -> str:
    """Return what two people compare by phone: six groups of five digits (99 bits).

    They are the SHA-256 of the raw key, as a big-endian number, modulo 10**30.
    """
    raw = unb64url(key.removeprefix(KEY_PREFIX))
    digits = f"{int.from_bytes(hashlib.sha256(raw).digest(), 'big') % 10**30:030}"
    return " ".join(digits[start : start + 5] for start in range(0, 30, 5))
