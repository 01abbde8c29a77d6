"""HTTP connections with every bound that the server library leaves open.

Uvicorn's protocol on httptools, plus: bounded header bytes while they arrive, a deadline for the
header and one for the body, a bound on one message's raw bytes (chunk framing included), no
trailers, a bound on connections in all and per address, a bound on pipelined requests and on what
is kept of them, and an end for a client that does not read its answer.

A request that is refused early is answered at once; the rest of its body is read and dropped, so
that a client which sends first and listens later hears the answer. What is no request is answered
only where no answer to an earlier request is still to come: answers keep the order of requests.
"""

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from replicator.gateway.bounds import Part, Room, address_group
from replicator.gateway.flow import Flow, Unread
from replicator.limits import Limits

_RAW_FACTOR: Final = 8
"""Raw bytes per accepted body byte: one-byte chunks cost six, anything beyond is abuse."""
_CYCLE_BYTES: Final = 4096
"""What a pipelined request takes besides its own bytes: 3 kB were measured."""


class Config(uvicorn.Config):
    """Uvicorn's configuration of one listener of ours, and the bounds of its connections.

    Args:
        body_bytes_max: bytes of one body after chunks are joined.
        connections: where its connections are counted.
        kept_bytes: where the bytes are counted that connections keep: requests that wait for the
            answer to an earlier one, and answers that nobody reads.
    """

    def __init__(
        self, app: Any, limits: Limits, *, body_bytes_max: int, connections: Room, kept_bytes: Room
    ) -> None:
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
        self.limits = limits
        self.connections = connections
        self.kept_bytes = kept_bytes
        # the application answers a late body; this ends one that comes after its answer
        self.body_seconds = 1.5 * limits.body_seconds
        self.message_bytes_max = limits.header_bytes_max + _RAW_FACTOR * body_bytes_max


class Connection(HttpToolsProtocol):
    """One client's connection.

    In pipelining, what came in one read is answered in its order, and then more is read: also the
    deadlines of what arrives stand still until then.
    """

    config: Config

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._running: RequestResponseCycle | None = None
        self._in_header = True
        self._raw_bytes = 0
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a client, unless too many are connected, or too many from its address."""
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        limits = self.config.limits
        self._unread = Unread(
            transport, limits.unread_seconds, limits.unread_bytes_per_second, self._count_kept
        )
        address = address_group(self.client[0] if self.client else None)
        self._place = Part(self.config.connections, address)
        self._kept = Part(self.config.kept_bytes, address)
        if self._place.set(1):
            self._end_after(limits.header_seconds)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection and all it kept; tell the request in hand, if it is not the last."""
        self._end_after(None)
        self._unread.stop()
        self.pipeline.clear()
        self._kept.set(0)
        self._place.set(0)
        self._leave()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Close after what is still to be sent, also where the client does not take it."""
        self._unread.watch()

    def data_received(self, data: bytes) -> None:
        """Count bytes and feed the parser."""
        self._raw_bytes += len(data)
        if self._raw_bytes > self.config.message_bytes_max:
            self.transport.abort()
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._queued_bytes += len(data)
            self._end_after(None)  # reading stands still by our own will
        elif self._in_header and self._raw_bytes > self.config.limits.header_bytes_max:
            self._answer_431()
        elif self._timer is None and self._in_header and (self._raw_bytes or self._is_idle()):
            self._end_after(self.config.limits.header_seconds)
        self._count_kept()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; a trailer field ends the connection."""
        if not self._in_header:
            self.transport.abort()
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, or let it wait for the answer to an earlier one.

        Raises:
            BufferError: too many wait; the parser stops there.
        """
        if len(self.pipeline) >= self.config.limits.pipelined_requests_max:
            raise BufferError("too many pipelined requests")
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

    def on_response_complete(self) -> None:
        """Start the next request that waits; behind the last one, read on."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._unread.watch()
            return
        if self._queued_bytes and not self.pipeline:
            self._queued_bytes = 0
            self.flow.resume_reading()
            if not self._in_header:
                self._end_after(self.config.body_seconds)
            elif self._raw_bytes:
                self._end_after(self.config.limits.header_seconds)
        self._count_kept()

    def pause_writing(self) -> None:
        """Wait for the client to read, for a time."""
        super().pause_writing()
        self._unread.watch()

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._unread.stop()
            self._count_kept()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also where its client does not take the last answer."""
        super().timeout_keep_alive_handler()
        self._unread.watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request; end the connection where an earlier answer would come late."""
        if self._owes_an_answer():
            self.transport.abort()
            return
        self._leave()
        super().send_400_response(msg)
        self._unread.watch()

    def _answer_431(self) -> None:
        if self._owes_an_answer():
            self.transport.abort()
            return
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            b"content-length: 0\r\nconnection: close\r\n\r\n"
        )
        self.transport.close()
        self._unread.watch()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _owes_an_answer(self) -> bool:
        """Tell whether a complete request waits for its answer, or an answer has begun."""
        running = self._running
        if running is None or running.response_complete:
            return False
        return running.response_started or not running.more_body

    def _leave(self) -> None:
        """Tell the request in hand that nobody waits for its answer."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _is_idle(self) -> bool:
        """Tell whether the last request was answered before its body had ended.

        Asked only where no timer runs, so that there was a request on this connection.
        """
        return self.cycle.response_complete

    def _count_kept(self) -> None:
        """Count what is kept here; end the connection where there is no room for it."""
        kept = self._queued_bytes + _CYCLE_BYTES * len(self.pipeline) + self._unread.kept
        if not self._kept.set(kept):
            self.transport.abort()

    def _end_after(self, seconds: float | None) -> None:
        """End the connection in so many seconds; None: not any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        self.transport.abort()
