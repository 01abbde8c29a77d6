"""The one content encoding of protocol 1.0: a single gzip member (RFC 1952).

Pure. Inflating never holds more than the caller's bound, whatever the compressed bytes claim.
"""

import gzip
import re
import zlib
from typing import Final

from replicator.errors import ErrorCode, Refusal

GZIP: Final = "gzip"
"""The only value that ``content-encoding`` may have."""
_GZIP_WINDOW_BITS: Final = 31
_WEIGHT_ZERO: Final = re.compile(r"q=0(\.0{0,3})?")


def deflate(body: bytes) -> bytes:
    """Return ``body`` as one gzip member; equal bodies give equal bytes."""
    return gzip.compress(body, compresslevel=1, mtime=0)


def accepts(accept_encoding: str) -> bool:
    """Tell whether an ``accept-encoding`` field asks for gzip (RFC 9110, section 12.5.3)."""
    for choice in accept_encoding.lower().split(","):
        name, *parameters = (part.strip() for part in choice.split(";"))
        if name == GZIP and _WEIGHT_ZERO.fullmatch("".join(parameters)) is None:
            return True
    return False


def inflate(wire_body: bytes, bytes_max: int) -> bytes:
    """Return what one gzip member holds.

    Raises:
        Refusal: ``too-large`` where that is more than ``bytes_max``; ``malformed`` where the
            bytes are not exactly one complete member.
    """
    machine = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
    try:
        body = machine.decompress(wire_body, bytes_max + 1)
    except zlib.error as error:
        raise Refusal(ErrorCode.MALFORMED, "the body is not gzip") from error
    if len(body) > bytes_max:
        raise Refusal(ErrorCode.TOO_LARGE, f"the body inflates to more than {bytes_max} bytes")
    if not machine.eof or machine.unused_data:
        raise Refusal(ErrorCode.MALFORMED, "the body is not exactly one complete gzip member")
    return body
