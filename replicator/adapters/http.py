"""Calls to peers over HTTP, with urllib3's connections and our bounds.

Every call has one deadline over everything it does (connecting to each address, TLS, sending,
every single read) and one bound on the bytes it reads (status line, headers and chunk framing
included), so a peer that drips or floods costs what the caller set aside, not more. Connections are
kept per peer. Nothing is retried, no redirect is followed and no proxy is used: a request is signed
for one try at one node.

Addresses are what strangers wrote. Unless private ones are allowed, a connection is made only to
addresses of the internet: a name is resolved once, what it resolves to is judged, and the very
address that was judged is connected to.
"""

import errno
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProtocolError

from replicator.adapters.resolving import Found, resolve
from replicator.errors import BadAnswer, ErrorCode, PeerUnavailable, Refusal
from replicator.node.ports import WireAnswer
from replicator.protocol import compression
from replicator.protocol.envelope import ENVELOPE_FIELDS
from replicator.rules.addresses import ADVICE, is_public, port_objection

_HEAD_BYTES_MAX: Final = 64 * 1024
"""Status line, headers and chunk framing of one answer, in reserve beside its body."""
_READ_BYTES: Final = 64 * 1024
_ADDRESSES_MAX: Final = 4
"""A name may have many addresses; the time to connect is shared by the first few."""
_PEERS_MAX: Final = 256
"""Peers whose idle connections are kept; the longest unused are closed."""
_IDLE_MAX: Final = 16
"""Idle connections kept per peer; more than any worker has threads."""
_REASON_CHARS_MAX: Final = 200


class HttpTransport:
    """`Transport` over HTTP/1.1; safe to use from many threads, made anew after a fork.

    Args:
        connect_seconds: for name look-up, TCP and TLS, within a call's total.
        allow_private: connect also to addresses that are not `rules.addresses.is_public`, and to
            any port.
        tls: how servers are authenticated; None is the system's authorities and host names.
    """

    def __init__(
        self,
        *,
        connect_seconds: float = 3.0,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._allow_private = allow_private
        self._pools = urllib3.PoolManager(
            num_pools=_PEERS_MAX,
            maxsize=_IDLE_MAX,
            retries=False,
            ssl_context=tls or ssl.create_default_context(),
        )
        self._pools.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        """Send one request and read one answer; as `Transport.post`."""
        return self._call("POST", url, headers, body, self._bounds(seconds, bytes_max))

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        """Read one document; as `Transport.get`."""
        return self._call("GET", url, {}, None, self._bounds(seconds, bytes_max))

    def close(self) -> None:
        """Close all idle connections; calls under way end by themselves."""
        self._pools.clear()

    def _bounds(self, seconds: float, bytes_max: int) -> "_Bounds":
        return _Bounds(seconds, self._connect_seconds, bytes_max, allow_private=self._allow_private)

    def _call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        bounds: "_Bounds",
    ) -> WireAnswer:
        _check_form(url, allow_private=self._allow_private)
        before = _BOUNDS.set(bounds)
        try:
            response = self._pools.urlopen(
                method,
                url,
                body=body,
                headers={"user-agent": "replicator", "accept-encoding": "identity", **headers},
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(total=bounds.remaining()),
            )
            try:
                return _read(response, bounds)
            finally:
                if not response.closed:
                    response.close()
        except (HTTPError, OSError, http.client.HTTPException, ValueError) as error:
            # ValueError: a name that cannot be encoded; a chunk of negative size
            raise PeerUnavailable(
                f"no answer from {url[:_REASON_CHARS_MAX]}: {_reason(error)}"
            ) from error
        finally:
            _BOUNDS.reset(before)


def _check_form(url: str, *, allow_private: bool) -> None:
    """Refuse what is no plain URL of a node, read by the parser that also connects."""
    try:
        parts = urllib3.util.parse_url(url)
    except HTTPError as error:
        raise PeerUnavailable(f"no HTTP address: {url[:_REASON_CHARS_MAX]!r}") from error
    if not url.startswith(("https://", "http://")) or not parts.host:
        raise PeerUnavailable(f"no HTTP address: {url[:_REASON_CHARS_MAX]!r}")
    if "@" in url:
        raise PeerUnavailable("an address has no user name or password in it")
    reason = None if allow_private else port_objection(parts.port)
    if reason is not None:
        raise PeerUnavailable(f"{url[:_REASON_CHARS_MAX]}: {reason}")


def _reason(error: Exception) -> str:
    """Say what went wrong as the system said it, without what libraries wrapped around it."""
    inner = error.args[1] if isinstance(error, ProtocolError) and len(error.args) > 1 else None
    cause = inner if isinstance(inner, Exception) else error
    said = cause.strerror if isinstance(cause, OSError) else None
    return (said or f"{type(cause).__name__}: {cause}")[:_REASON_CHARS_MAX]


def _read(response: urllib3.BaseHTTPResponse, bounds: "_Bounds") -> WireAnswer:
    if 300 <= response.status < 400:
        raise PeerUnavailable(f"redirected with status {response.status}; nothing is followed")
    headers = _headers(response)
    if (response.length_remaining or 0) > bounds.bytes_max:
        raise _too_large(headers, f"the answer is {response.length_remaining} bytes long")
    wire_body = bytearray()
    for chunk in response.stream(_READ_BYTES, decode_content=False):
        wire_body += chunk
        if len(wire_body) > bounds.bytes_max:
            raise _too_large(headers, f"the answer is larger than {bounds.bytes_max} bytes")
    transmitted = bytes(wire_body)
    encoding = headers.get("content-encoding")
    if encoding is None:
        return WireAnswer(response.status, headers, transmitted, transmitted)
    if encoding != compression.GZIP:
        raise BadAnswer(f"the answer's content-encoding is {encoding[:40]!r}")
    try:
        body = compression.inflate(transmitted, bounds.bytes_max)
    except Refusal as refusal:
        reason = f"the answer does not decompress: {refusal.message}"
        if refusal.code == ErrorCode.TOO_LARGE:
            raise _too_large(headers, reason) from refusal
        raise BadAnswer(reason) from refusal
    return WireAnswer(response.status, headers, body, transmitted)


def _too_large(headers: Mapping[str, str], reason: str) -> BadAnswer:
    """Blame what was asked for only where a node seems to speak: a proxy's page has no envelope."""
    return BadAnswer(reason, about_items="signature" in headers)


def _headers(response: urllib3.BaseHTTPResponse) -> dict[str, str]:
    """Return fields by lower-case name; repeated ones are joined, an envelope's never repeat."""
    headers = {name.lower(): value for name, value in response.headers.itermerged()}
    for name in ENVELOPE_FIELDS:
        if name in headers and len(response.headers.getlist(name)) > 1:
            raise BadAnswer(f"the answer has the field {name} twice")
    return headers


class _Bounds:
    """What one call may still use up."""

    def __init__(
        self, seconds: float, connect_seconds: float, bytes_max: int, *, allow_private: bool
    ) -> None:
        self.bytes_max = bytes_max
        self.allow_private = allow_private
        self._deadline = time.monotonic() + seconds
        self._connect_seconds = connect_seconds
        self._bytes_left = 2 * bytes_max + _HEAD_BYTES_MAX

    def remaining(self) -> float:
        """Return seconds until the deadline; raise `TimeoutError` past it."""
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the call's time is over")
        return seconds

    def connect_deadline(self) -> float:
        """Return until when a connection must stand, on the monotonic clock."""
        return time.monotonic() + min(self._connect_seconds, self.remaining())

    def spend(self, count: int) -> None:
        """Count bytes off; raise `BadAnswer` where there were not so many left."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise BadAnswer("headers and framing of the answer are larger than any answer's")


_BOUNDS: ContextVar[_Bounds] = ContextVar("bounds of the call under way in this thread")


class _BoundedReader(io.RawIOBase):
    """Reads of a socket under the bounds of the call."""

    def __init__(self, connection: socket.socket, raw: io.RawIOBase) -> None:
        self._connection = connection
        self._raw = raw
        self._bounds = _BOUNDS.get()
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(self._bounds.remaining())
        count = self._raw.readinto(buffer)
        self.ended = count == 0
        self._bounds.spend(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """An answer whose every read is bounded, that of its status line included."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _BoundedReader(sock, self.fp.detach())
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        if self._reader.ended:
            raise http.client.IncompleteRead(b"")


class _Connection(HTTPConnection):
    """Connects and sends under the bounds of the call."""

    response_class = _BoundedResponse

    def _new_conn(self) -> socket.socket:
        bounds = _BOUNDS.get()
        deadline = bounds.connect_deadline()
        found = resolve(self.host.strip("[]"), self.port, deadline)
        if not bounds.allow_private:
            found = _public(found)
        failure = OSError("the name has no address")
        for family, kind, address in found[:_ADDRESSES_MAX]:
            try:
                return _connected(socket.socket(family, kind), address, deadline)
            except OSError as error:
                failure = error
        raise failure

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_BOUNDS.get().remaining())
        super().send(data)


class _TlsConnection(_Connection, HTTPSConnection):
    """The same, inside TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def _public(found: Sequence[Found]) -> list[Found]:
    """Return the addresses of the internet; raise `OSError` where there were only others."""
    public = [one for one in found if is_public(str(one[2][0]))]
    if found and not public:
        raise OSError(errno.EACCES, f"{found[0][2][0]} is a private address; {ADVICE}")
    return public


def _connected(connection: socket.socket, address: Any, deadline: float) -> socket.socket:
    """Connect until ``deadline``; what is left of it is the time-out of a TLS handshake."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_until(deadline))
        connection.connect(address)
        connection.settimeout(_until(deadline))
    except OSError:
        connection.close()
        raise
    return connection


def _until(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no connection in time")
    return seconds
