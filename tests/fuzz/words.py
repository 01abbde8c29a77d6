"""Targets ``ids``, ``cursor``, ``gzip`` and ``media``: the small readers.

Each has an oracle of its own: the text written by hand, the base64 module, the gzip module.
"""

import base64
import gzip
import string
import zlib
from typing import Any, Final

from replicator.errors import ErrorCode, Malformed, Refusal
from replicator.protocol import codec, compression, ids
from replicator.protocol.cursor import decode_cursor
from replicator.rules import addresses
from tests.fuzz import vectors
from tests.fuzz.target import Target, require

_INFLATED_MAX: Final = 65_536
_LABEL: Final = frozenset(string.ascii_lowercase + string.digits + "-")
_LOCAL: Final = frozenset(string.ascii_letters + string.digits + "._~-")
_BASE64: Final = frozenset(string.ascii_letters + string.digits + "-_")


def read_id(data: bytes) -> bool:
    """Judge one text as each kind of identifier; and as an address, which must never crash."""
    text = data.decode("utf-8", "surrogatepass") if _is_text(data) else data.decode("latin-1")
    verdicts = [
        _verdict(ids.parse_node_id, ids.WireNodeId, text, _is_node(text)),
        _verdict(ids.parse_local_id, None, text, _is_local(text)),
        _verdict(
            ids.parse_global_id,
            ids.WireGlobalId,
            text,
            _is_node(text.partition("/")[0]) and _is_local(text.partition("/")[2]),
        ),
        _verdict(ids.parse_key, ids.WireKey, text, _is_key(text)),
        _verdict(
            ids.parse_digest,
            ids.WireDigest,
            text,
            len(text) == 64 and set(text) <= set("0123456789abcdef"),
        ),
    ]
    addresses.is_public(text)
    addresses.is_private_host(text)
    addresses.address_objection(text)
    return any(verdicts)


def _verdict(parse: Any, wire: Any, text: str, expected: bool) -> bool:
    try:
        taken = parse(text) == text
    except Malformed:
        taken = False
    require(taken == expected, f"{parse.__name__} gives {taken} for {text!r}")
    if wire is not None:
        try:
            converted = codec.read(text, wire) == text
        except Malformed:
            converted = False
        require(converted == expected, f"on the wire {converted} for {text!r}")
    return taken


def _is_node(text: str) -> bool:
    labels = text.split(".")
    return 1 <= len(text) <= 253 and all(
        label and set(label) <= _LABEL and label[0] != "-" and label[-1] != "-" for label in labels
    )


def _is_local(text: str) -> bool:
    return 1 <= len(text) <= 128 and set(text) <= _LOCAL and text not in {".", ".."}


def _is_key(text: str) -> bool:
    raw = text.removeprefix("ed25519:")
    if raw == text or len(raw) != 43 or not set(raw) <= _BASE64:
        return False
    decoded = base64.urlsafe_b64decode(raw + "=")
    return base64.urlsafe_b64encode(decoded).decode().rstrip("=") == raw


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def read_cursor(data: bytes) -> bool:
    """Judge one text as a cursor."""
    text = data.decode("latin-1")
    try:
        found = decode_cursor(ids.Cursor(text))
    except Refusal as refusal:
        require(refusal.code is ErrorCode.BAD_CURSOR, refusal.code)
        return False
    raw = found.log_id + found.sequence.to_bytes(8, "big") + found.mark
    require(base64.urlsafe_b64encode(raw).decode() == text, "a cursor has a second spelling")
    return True


def read_gzip(data: bytes) -> bool:
    """Judge one compressed body."""
    try:
        body = compression.inflate(data, _INFLATED_MAX)
    except Refusal as refusal:
        require(refusal.code in (ErrorCode.MALFORMED, ErrorCode.TOO_LARGE), refusal.code)
        return False
    require(len(body) <= _INFLATED_MAX, "inflated beyond its bound")
    require(gzip.decompress(data) == body, "not what the gzip module inflates")
    require(compression.inflate(compression.deflate(body), _INFLATED_MAX) == body, "not again")
    return True


def read_media(data: bytes) -> bool:
    """Judge one Content-Type, and one Accept-Encoding."""
    text = data.decode("latin-1")
    require(compression.accepts(text) in (True, False), "neither")
    try:
        return codec.media_type_of(text) in (codec.JSON, codec.XML)
    except Refusal as refusal:
        require(refusal.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE, refusal.code)
        return False


def _bombs() -> list[bytes]:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bomb.compress(bytes(4_000_000)) + bomb.flush()
    small = compression.deflate(b"{}")
    return [*vectors.wires(), packed, small, small + small, small[:-3], small + b"\0"]


IDS: Final = Target(
    "ids",
    read_id,
    lambda: [
        b"a.example",
        b"a.example/1",
        b"a" * 253,
        b"ed25519:" + b"A" * 43,
        b"ed25519:K3ep9EC12s6GOtmBXRuZYOcSpfa-XzuhECi9E-OTQGw",
        b"0123456789abcdef" * 4,
        b"http://[::1]:80/",
        b"https://a.example:8470",
    ],
    (
        *b". .. - / ~ _ A a 0 ed25519: https:// http:// [::1] 127.0.0.1".split(b" "),
        *(letter.encode() for letter in "\u00e9\u0131\uff41"),
        *b"@ %00 :80 :0 :99999 [ ] ::ffff:10.0.0.1 %eth0 \n \0 \xed\xa0\x80".split(b" "),
    ),
    512,
)
CURSOR: Final = Target("cursor", read_cursor, lambda: [b"A" * 32], (), 128)
GZIP: Final = Target("gzip", read_gzip, _bombs, (b"\x1f\x8b\x08", b"\0\0\xff\xff", b"\xff" * 4))
MEDIA: Final = Target(
    "media",
    read_media,
    lambda: [b"application/json", b'application/xml; charset="utf-8"', b"gzip;q=0.5, *"],
    (b"application/json", b"; charset=utf-8", b"; ", b"gzip", b";q=0", b", ", b"\xa0", b"\t"),
    256,
)
