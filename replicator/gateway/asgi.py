"""The few ASGI pieces both listeners share: bounded headers and bodies, and plain replies.

A body is counted while it streams, so that no sender decides how much memory is used. Nothing
here knows the protocol's documents or the node.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final, TypeVar

from replicator.errors import ErrorCode, Refusal
from replicator.gateway.bounds import Hold

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")

# A field of a signature, or one that decides how the body is read, must not be open to choice.
_ONCE: Final = frozenset(
    {
        "authorization",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "signature",
        "signature-input",
    }
)
_ONCE_PREFIX: Final = "replicator-"


class Disconnected(Exception):
    """The client went away before its request was complete; nobody is left to answer."""


def read_headers(scope: Scope, bytes_max: int) -> dict[str, str]:
    """Return the header fields with lower-case names.

    Repeated fields are joined as HTTP says, unless repeating one would leave its meaning to chance.

    Raises:
        Refusal: ``too-large`` past ``bytes_max``; ``malformed`` for a repeated field that may
            stand only once, or one of these outside ASCII, or another transfer coding.
    """
    pairs: Sequence[tuple[bytes, bytes]] = scope["headers"]
    if sum(len(name) + len(value) + 4 for name, value in pairs) > bytes_max:
        raise Refusal(ErrorCode.TOO_LARGE, f"the header has more than {bytes_max} bytes")
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        once = name in _ONCE or name.startswith(_ONCE_PREFIX)
        if once and (name in headers or not value.isascii()):
            raise Refusal(ErrorCode.MALFORMED, f"the field {name} is repeated or not ASCII")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise Refusal(ErrorCode.MALFORMED, "the only transfer coding taken here is chunked")
    return headers


async def read_body(
    receive: Receive, headers: Mapping[str, str], hold: Hold, *, bytes_max: int, seconds: float
) -> bytes:
    """Read a whole body, counting it into ``hold`` as it comes, and as complete when it is.

    Args:
        bytes_max: bytes accepted; checked against Content-Length first, then while reading.
        seconds: until the body must be complete, from now.

    Raises:
        Refusal: ``too-large``, ``busy`` where there is no room, or ``malformed`` where the body
            is not complete in time.
        Disconnected: the client is gone.
    """
    too_large = Refusal(ErrorCode.TOO_LARGE, f"the body has more than {bytes_max} bytes")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            if int(headers.get("content-length", "0")) > bytes_max:
                raise too_large
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise Disconnected
                chunk: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(chunk)
                if size > bytes_max:
                    raise too_large
                hold.grow(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise Refusal(ErrorCode.MALFORMED, f"no complete body within {seconds} seconds") from None
    hold.complete()
    return b"".join(chunks)


def inflated_size(body: bytes, bytes_max: int) -> int:
    """Return what a gzip body will take in memory, as its last four bytes say (RFC 1952, ISIZE).

    Room is taken for it before it is inflated; a body that says less than it holds is no valid
    member and is refused then.
    """
    return min(int.from_bytes(body[-4:], "little"), bytes_max)


async def unless_gone(receive: Receive, awaited: asyncio.Future[T], seconds: float) -> T:
    """Return what ``awaited`` gives; the request's body must have been read.

    Raises:
        TimeoutError: nothing came within ``seconds``.
        Disconnected: the client went away first.
    """
    left = asyncio.ensure_future(_gone(receive))
    both: set[asyncio.Future[Any]] = {awaited, left}
    try:
        await asyncio.wait(both, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
    if awaited.done():
        return awaited.result()
    if left.done():
        raise Disconnected
    raise TimeoutError


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def complete(
    status: int, headers: Sequence[tuple[str, str]], body: bytes
) -> tuple[Message, Message]:
    """Return the messages of a complete answer of known length."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    raw.append((b"content-length", str(len(body)).encode("ascii")))
    start = {"type": "http.response.start", "status": status, "headers": raw}
    return start, {"type": "http.response.body", "body": body}


async def send_bytes(
    send: Send, status: int, headers: Sequence[tuple[str, str]], body: bytes
) -> None:
    """Send a complete answer of known length."""
    for message in complete(status, headers, body):
        await send(message)


async def send_error(
    send: Send, status: int, code: str, message: str, headers: Sequence[tuple[str, str]] = ()
) -> None:
    """Send a short JSON error: ``{"error": {"code", "message"}}``."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode("utf-8")
    await send_bytes(send, status, (("content-type", "application/json"), *headers), body)
