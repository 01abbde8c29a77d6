"""Signatures as bytes in one column: a form byte, then 96 bytes each (32 of key, 64 of value).

Pure. As text the same list takes half as much again. The form byte leaves room for other types
of key. Only verified signatures come here, so their text is known to be well formed.
"""

import base64
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from replicator.protocol.ids import KeyText
from replicator.protocol.post import PostSignature

_ED25519: Final = b"\x01"
_PREFIX: Final = "ed25519:"
_KEY_BYTES: Final = 32
_ENTRY_BYTES: Final = 96
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")


def pack_signatures(signatures: Iterable[PostSignature]) -> bytes:
    """Return the packed list, in the order given."""
    parts = [_ED25519]
    for signature in signatures:
        parts.append(_key_bytes(signature.key))
        parts.append(a2b_base64(signature.value.encode().translate(_FROM_URL) + b"=="))
    return b"".join(parts)


def unpack_signatures(packed: bytes) -> tuple[PostSignature, ...]:
    """Return the list that was packed."""
    return tuple(
        PostSignature(
            _key_text(packed[start : start + _KEY_BYTES]),
            b2a_base64(packed[start + _KEY_BYTES : start + _ENTRY_BYTES], newline=False)[:86]
            .translate(_TO_URL)
            .decode(),
        )
        for start in range(len(_ED25519), len(packed), _ENTRY_BYTES)
    )


def packed_keys(packed: bytes) -> frozenset[KeyText]:
    """Return the keys of a packed list."""
    starts = range(len(_ED25519), len(packed), _ENTRY_BYTES)
    return frozenset(_key_text(packed[start : start + _KEY_BYTES]) for start in starts)


def packed_signers(packed: bytes) -> bytes:
    """Return the keys of a packed list, one after the other."""
    starts = range(len(_ED25519), len(packed), _ENTRY_BYTES)
    return b"".join(packed[start : start + _KEY_BYTES] for start in starts)


def pack_signers(keys: Iterable[KeyText]) -> bytes:
    """Return keys one after the other."""
    return b"".join(map(_key_bytes, sorted(keys)))


def unpack_signers(raw: bytes) -> frozenset[KeyText]:
    """Return keys that stand one after the other."""
    starts = range(0, len(raw), _KEY_BYTES)
    return frozenset(_key_text(raw[start : start + _KEY_BYTES]) for start in starts)


# Few keys sign most posts: a pool's members and its own
@lru_cache(maxsize=4096)
def _key_bytes(key: KeyText) -> bytes:
    return base64.urlsafe_b64decode(key.removeprefix(_PREFIX) + "=")


@lru_cache(maxsize=4096)
def _key_text(raw: bytes) -> KeyText:
    return KeyText(_PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("="))
