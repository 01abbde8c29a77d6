"""HTTP connections with every bound that the server library leaves open.

Uvicorn's protocol on httptools, plus: bounded header bytes while they arrive, a deadline for the
header and one for the body, a bound on one message's raw bytes (chunk framing included), no
trailers, a bound on connections, and an end for a client that does not read its answer.

A request that is refused early is answered at once; the rest of its body is read and dropped, so
that a client which sends first and listens later hears the answer.
"""

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from replicator.limits import Limits

_RAW_FACTOR: Final = 8
"""Raw bytes per accepted body byte: one-byte chunks cost six, anything beyond is abuse."""
_FLUSH_SECONDS: Final = 10.0
"""How long a closed connection may take to send what is left of its answer."""


class Config(uvicorn.Config):
    """Uvicorn's configuration of one listener of ours, and the bounds of its connections."""

    def __init__(self, app: Any, limits: Limits, *, body_bytes_max: int) -> None:
        super().__init__(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            log_level="error",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=limits.keep_alive_seconds,
            timeout_graceful_shutdown=5,
        )
        self.header_bytes_max = limits.header_bytes_max
        self.header_seconds = limits.header_seconds
        self.connections_max = limits.connections_max
        # the application answers a late body; this ends one that comes after its answer
        self.body_seconds = 1.5 * limits.body_seconds
        self.message_bytes_max = limits.header_bytes_max + _RAW_FACTOR * body_bytes_max


class Connection(HttpToolsProtocol):
    """One client's connection. In pipelining, the next request is read when one is answered."""

    config: Config

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_header = True
        self._raw_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a client, unless too many are connected."""
        super().connection_made(transport)
        if len(self.connections) > self.config.connections_max:
            transport.abort()
            return
        self._end_after(self.config.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection."""
        self._end_after(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count bytes and feed the parser."""
        self._raw_bytes += len(data)
        if self._raw_bytes > self.config.message_bytes_max:
            self.transport.abort()
            return
        super().data_received(data)
        if not self._in_header or self.transport.is_closing():
            return
        if self._raw_bytes > self.config.header_bytes_max:
            self._answer_431()
        elif self._timer is None and (self._raw_bytes or self._is_idle()):
            self._end_after(self.config.header_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; a trailer field ends the connection."""
        if not self._in_header:
            self.transport.abort()
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._in_header = False
        self._end_after(self.config.body_seconds)
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # nothing is upgraded; where the body of such a request ends is open to choice
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """End the request's body; what follows is the next header."""
        self._in_header = True
        self._raw_bytes = 0
        self._end_after(None)
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also where its client does not take the last answer."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(_FLUSH_SECONDS, self.transport.abort)

    def _answer_431(self) -> None:
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            b"content-length: 0\r\nconnection: close\r\n\r\n"
        )
        self.transport.close()

    def _is_idle(self) -> bool:
        """Tell whether the last request was answered before its body had ended.

        Asked only where no timer runs, so that there was a request on this connection.
        """
        return self.cycle.response_complete

    def _end_after(self, seconds: float | None) -> None:
        """End the connection in so many seconds; None: not any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        self.transport.abort()
