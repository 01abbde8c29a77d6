"""Ways to build raw bytes of HTTP."""

from collections.abc import Callable
from typing import Final

from tests.support.hostile.arena import CLOSED, Arena, Case, Steps, case

PULL: Final = b'{"type":"pull","protocol":"1.0","model":{"name":"post","version":"1.0"}}'
HOST: Final = b"host: node\r\n"
TYPE: Final = b"content-type: application/json\r\n"
POST: Final = b"POST /v1/sync HTTP/1.1\r\n" + HOST + TYPE
GET: Final = b"GET /v1/node HTTP/1.1\r\n" + HOST
INVALID: Final = (400, "")
REFUSED: Final = (400, "malformed")
UNSIGNED: Final = (401, "bad-signature")
CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
WAIT: Final = 0.5
"""Seconds between the drops of a slow sender."""


def raw(name: str, data: bytes, *expected: tuple[int, str]) -> Case:
    return case(name, lambda _: data, *expected)


def slow(name: str, *steps: bytes | float) -> Case:
    return case(name, lambda _: steps, CLOSED, slow=True)


def signed(name: str, change: Callable[[bytes], bytes | Steps], *expected: tuple[int, str]) -> Case:
    """Return a case that changes the bytes of a request that is signed as it should be."""
    return case(name, lambda arena: change(arena.request(PULL)), *expected)


def chunked(arena: Arena, *chunks: bytes) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in arena.sign(PULL).items())
    return b"POST /v1/sync HTTP/1.1\r\n" + HOST + fields.encode() + CHUNKED + b"".join(chunks)


def one_byte_chunks(arena: Arena) -> bytes:
    return chunked(arena, *(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in PULL), b"0\r\n\r\n")


def chunk(data: bytes, more: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), more, data)


def fields(count: int) -> bytes:
    return b"".join(b"x-%d: 1\r\n" % n for n in range(count)) + b"content-length: 0\r\n\r\n"


def without(field: bytes) -> Callable[[bytes], bytes]:
    def change(request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [one for one in head.split(b"\r\n") if not one.startswith(field)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    return change


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda request: request.replace(old, new, 1)


H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
TLS = bytes.fromhex("16030100a5010000a10303") + bytes(158)
SMUGGLED = b"GET /v1/node HTTP/1.1\r\nhost: x\r\n\r\n"
