"""The listener for peers: POST /v1/sync, GET /v1/node and GET /healthz, as plain ASGI.

A request is checked in the order of the checks' cost: rate of its sender, header, media type, rate
of its address, room, body; then, in a thread, envelope, pin, nonce and the sender's rate at all
gateways (`replicator.node.admission`). Only then a worker hears of it. The request is held open by
a future until the worker's reply arrives, its deadline passes (``busy``), or the client goes away;
each of these frees all it held, here and in Redis. Of one proved sender a few are under way at a
time, whatever its rate: what a request costs a worker is the sender's choice.

Answers made before the signature was verified are complete answer documents in the type of the
request, but unsigned. Nothing of a request's body or headers is logged.

A flood is answered ``busy`` from prepared bytes, before anything else is looked at. Who is said to
send is unproved there, so the rate is of an address and a claim together: nobody uses up another's
from elsewhere. Claims that are refused do not count for their address, or one flooding node would
shut out all others behind it. The body of such a request is read and dropped by the connection,
within its bounds, and the connection is kept: the answer arrives, and is cheaper than a new one.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Final

import structlog

from replicator.errors import ErrorCode, Refusal, Unavailable
from replicator.gateway.asgi import (
    Disconnected,
    Message,
    Receive,
    Scope,
    Send,
    complete,
    inflated_size,
    read_body,
    read_headers,
    send_bytes,
    send_error,
    unless_gone,
)
from replicator.gateway.bounds import RETRY_SECONDS, AddressRates, InFlight, Rates, address_group
from replicator.gateway.door import Door, Request, asker_of, busy
from replicator.gateway.pages import Pages
from replicator.gateway.waiting import Places, Publisher, Turns, Waiting
from replicator.node.admission import Refused, refuse
from replicator.node.context import Node
from replicator.node.ports import Receipt, Reply, Ring
from replicator.protocol import codec, http_status
from replicator.protocol.compression import GZIP

log = structlog.get_logger(__name__)


_CLAIM_BYTES_MAX: Final = 253
"""Of a sender's id: what is longer is none."""
_METHODS: Final = {
    "/v1/sync": ("POST",),
    "/v1/node": ("GET", "HEAD"),
    "/healthz": ("GET", "HEAD"),
}


class SyncApp:
    """The ASGI application of the sync listener; `run` must run beside it."""

    def __init__(
        self, node: Node, waiting: Waiting, gateway: str, executor: Executor, in_flight: InFlight
    ) -> None:
        limits = node.limits
        self._busy = prepared_busy(node)
        self._claims = Rates(
            limits.peer_requests_per_second,
            limits.peer_burst_requests_max,
            limits.addresses_max,
        )
        self._senders = Places(limits.peer_open_requests_max)
        self._turns = Turns(max(1, limits.gateway_threads // 2))
        self._node = node
        self._waiting = waiting
        self._door = Door(node, gateway)
        self._executor = executor
        self._publisher = Publisher(node.doorbell, executor)
        self._pages = Pages(node, executor)
        self._in_flight = in_flight
        self._rates = AddressRates(
            limits.address_requests_per_second,
            limits.address_burst_requests_max,
            limits.addresses_max,
        )

    async def run(self) -> None:
        """Send doorbells for admitted requests, until cancelled."""
        await self._publisher.run()

    @property
    def in_flight(self) -> tuple[int, int]:
        """Open requests, and the bytes of these and of those that are still arriving."""
        return self._in_flight.open.total, self._in_flight.bytes.total

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI 3, HTTP only)."""
        path, method = scope["path"], scope["method"]
        allowed = _METHODS.get(path)
        if allowed is None:
            await send_error(send, 404, "not-found", "this is no path of the protocol")
        elif method not in allowed:
            allow = ", ".join(allowed)
            message = f"{path} answers {allow} only"
            await send_error(send, 405, "method-not-allowed", message, (("allow", allow),))
        elif path == "/v1/sync":
            await self._sync(scope, receive, send)
        else:
            await self._page(scope, send)

    async def _page(self, scope: Scope, send: Send) -> None:
        try:
            self._count(scope)
            headers = read_headers(scope, self._node.limits.header_bytes_max)
            if scope["path"] == "/healthz":
                page = await self._pages.health()
            else:
                page = await self._pages.document(headers.get("accept", ""))
        except Refusal as refusal:
            retry = (("retry-after", str(refusal.retry_after or RETRY_SECONDS)),)
            status = http_status.STATUS[refusal.code]
            await send_error(send, status, refusal.code, refusal.message, retry)
            return
        await send_bytes(send, page.status, page.headers, page.body)

    async def _sync(self, scope: Scope, receive: Receive, send: Send) -> None:
        claim = _claim_of(scope)
        if not self._claims.allows(claim, self._node.clock.monotonic()):
            start, end = self._busy[_is_xml(scope)]
            await send(start)
            await send(end)
            return
        try:
            reply = await self._answer(scope, receive, claim)
        except Disconnected:
            return
        await send_bytes(send, reply.status, reply.headers, reply.body)

    async def _answer(self, scope: Scope, receive: Receive, claim: str) -> Reply:
        limits = self._node.limits
        media_type = codec.JSON
        try:
            headers = read_headers(scope, limits.header_bytes_max)
            media_type = codec.media_type_of(headers.get("content-type"))
            _check_encoding(headers)
            with self._in_flight.arrive(self._count(scope)) as hold:
                body = await read_body(
                    receive,
                    headers,
                    hold,
                    bytes_max=limits.message_bytes_max,
                    seconds=limits.body_seconds,
                )
                if "content-encoding" in headers:
                    hold.grow(max(0, inflated_size(body, limits.message_bytes_max) - len(body)))
                request = Request(headers, body, media_type, self._node.clock.now())
                return await self._serve(request, receive, claim)
        except Refusal as refusal:
            return self._door.refuse(Refused(refusal), media_type)
        except Disconnected:
            raise
        except Exception:
            log.exception("gateway.failed")
            bug = Refusal(ErrorCode.UNEXPECTED, "an unexpected error; it is logged here")
            return self._door.refuse(Refused(bug), media_type)

    def _count(self, scope: Scope) -> str:
        """Count a request for the rate of its address, and return that."""
        client = scope.get("client")
        address = address_group(client[0] if client else None)
        self._rates.take(address, self._node.clock.monotonic())
        return address

    async def _serve(self, request: Request, receive: Receive, claim: str) -> Reply:
        """Admit a request and hold it until its worker answered; raise `Refusal` or end it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._node.limits.answer_seconds
        try:
            async with asyncio.timeout_at(end), self._turns.take(claim):
                admitted = await loop.run_in_executor(self._executor, self._door.admit, request)
        except TimeoutError:
            raise busy(TimeoutError("admission took too long")) from None
        if isinstance(admitted, Reply):
            return admitted
        answered = False
        try:
            with self._senders.take(admitted.sender):
                reply = await self._hold(admitted, len(request.body), end, receive)
            answered = True
            return reply
        except (TimeoutError, Unavailable, Refusal) as error:
            refusal = error if isinstance(error, Refusal) else busy(error)
            refused = Refused(refusal, asker_of(admitted))
            return await loop.run_in_executor(
                self._executor, self._door.refuse, refused, admitted.media_type
            )
        finally:
            if not answered:  # before its room is given back: it is in Redis still
                await loop.run_in_executor(self._executor, self._door.forget, admitted.token)

    async def _hold(self, receipt: Receipt, size: int, end: float, receive: Receive) -> Reply:
        """Ring for a worker and wait for its reply.

        Raises:
            TimeoutError: none came before ``end`` (loop time).
            BrokerUnavailable: the doorbell could not be rung.
            Disconnected: the client went away first.
        """
        note = f"{receipt.media_type.removeprefix('application/')} {size} bytes"
        with self._waiting.expect(receipt.token) as answer:
            ring = Ring("answer", peer=receipt.sender, token=receipt.token, note=note)
            self._publisher.ring(ring, answer)
            seconds = end - asyncio.get_running_loop().time()
            return await unless_gone(receive, answer, seconds)


def prepared_busy(node: Node) -> tuple[tuple[Message, Message], tuple[Message, Message]]:
    """Return the ASGI messages of an unsigned ``busy`` in JSON, and those in XML."""
    refused = Refused(
        Refusal(ErrorCode.BUSY, "too many requests of this sender", retry_after=RETRY_SECONDS)
    )

    def messages(media_type: str) -> tuple[Message, Message]:
        reply = refuse(node, refused, token="", media_type=media_type)
        return complete(reply.status, reply.headers, reply.body)

    return messages(codec.JSON), messages(codec.XML)


def _claim_of(scope: Scope) -> str:
    """Return the address of a request and who it says sends it, as one name."""
    client = scope.get("client")
    sender = b""
    for name, value in scope["headers"]:
        if name == b"replicator-sender":
            sender = value[:_CLAIM_BYTES_MAX]
            break
    return f"{address_group(client[0] if client else None)} {sender.decode('latin-1')}"


def _is_xml(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return bool(value[:15].lower() == b"application/xml")
    return False


def _check_encoding(headers: Mapping[str, str]) -> None:
    encoding = headers.get("content-encoding")
    if encoding not in (None, GZIP):
        raise Refusal(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "the only content encoding taken here is gzip"
        )
