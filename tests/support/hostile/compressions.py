"""Compressed bodies that are bombs, or are not one gzip member."""

import gzip
import zlib
from typing import Final

from tests.support.hostile.arena import Arena, Case, case, http, of_kind

MALFORMED: Final = (400, "malformed")
TOO_LARGE: Final = (413, "too-large")
OTHER: Final = (415, "unsupported-media-type")
PULL: Final = b'{"type":"pull","protocol":"1.0","model":{"name":"post","version":"1.0"}}'
PACKED: Final = gzip.compress(PULL, mtime=0)
ZEROS: Final = gzip.compress(bytes(64 * 1024 * 1024), mtime=0)


def _lying(body: bytes, said: int) -> bytes:
    """Return a gzip member whose last four bytes say another size."""
    return body[:-4] + said.to_bytes(4, "little")


def _packed(name: str, body: bytes, expected: tuple[int, str], encoding: str = "gzip") -> Case:
    return case(name, lambda arena: arena.request(body, encoding=encoding), expected)


def _twice(arena: Arena) -> bytes:
    pairs = [*arena.sign(PACKED, encoding="gzip").items(), ("content-encoding", "gzip")]
    return http(pairs, PACKED)


def _unsaid(arena: Arena) -> bytes:
    fields = arena.sign(PACKED, encoding="gzip")
    del fields["content-encoding"]
    return http(fields, PACKED)


def _said_later(arena: Arena) -> bytes:
    return http({**arena.sign(PACKED), "content-encoding": "gzip"}, PACKED)


def _with_name(data: bytes) -> bytes:
    """Return a gzip member with a file name of 60,000 bytes in its header."""
    plain = gzip.compress(data, mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + b"x" * 60_000 + b"\0" + plain[10:]


CASES = of_kind(
    "compression",
    [
        _packed("a request as it should be", PACKED, (200, "success")),
        _packed("64 MiB of zeros", ZEROS, TOO_LARGE),
        _packed("64 MiB that say to be 10 bytes", _lying(ZEROS, 10), TOO_LARGE),
        _packed("a bomb in a bomb", gzip.compress(ZEROS, mtime=0), MALFORMED),
        _packed("a byte too many", gzip.compress(PULL + b" " * (1024 * 1024), mtime=0), TOO_LARGE),
        _packed("gzip in gzip", gzip.compress(PACKED, mtime=0), MALFORMED),
        _packed("cut off", PACKED[:-5], MALFORMED),
        _packed("a header only", PACKED[:10], MALFORMED),
        _packed("nothing", b"", MALFORMED),
        _packed("two members", PACKED + PACKED, MALFORMED),
        _packed("a member and an empty one", PACKED + gzip.compress(b"", mtime=0), MALFORMED),
        _packed("something after it", PACKED + b"x", MALFORMED),
        _packed("zeros after it", PACKED + bytes(512), MALFORMED),
        _packed("a wrong check sum", PACKED[:-8] + bytes(4) + PACKED[-4:], MALFORMED),
        _packed("a wrong size", _lying(PACKED, 1), MALFORMED),
        _packed("a size of 4 GiB", _lying(PACKED, 2**32 - 1), MALFORMED),
        _packed("not compressed", PULL, MALFORMED),
        _packed("zlib", zlib.compress(PULL), MALFORMED),
        _packed("raw deflate", zlib.compress(PULL)[2:-4], MALFORMED),
        _packed("a flipped bit", PACKED[:12] + bytes([PACKED[12] ^ 8]) + PACKED[13:], MALFORMED),
        _packed("a reserved flag", PACKED[:3] + b"\x80" + PACKED[4:], MALFORMED),
        _packed("a long name in the header", _with_name(PULL), (200, "success")),
        *(
            _packed(f"the encoding {name}", PACKED, OTHER, name)
            for name in ("deflate", "br", "zstd", "compress", "identity", "GZIP", "x-gzip")
        ),
        _packed("gzip, gzip", PACKED, OTHER, "gzip, gzip"),
        case("the encoding twice", _twice, MALFORMED),
        case("an encoding that is not said", _unsaid, (401, "bad-signature")),
        case("an encoding that was not signed", _said_later, (401, "bad-signature")),
    ],
)
