"""`HttpTransport` against a real server on loopback that does what no good server does."""

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from replicator.adapters.http import HttpTransport
from replicator.errors import BadAnswer, PeerUnavailable
from replicator.node.ports import Transport
from tests.support.waiting import eventually

Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Runs one script per request it has read; a script that returns keeps the connection."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.script: Script = answering(b"{}")
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._start(self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/sync"

    def close(self) -> None:
        self._stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self._secured(connection) as connection:
            while (request := _read_request(connection)) is not None:
                self.requests.append(request)
                self.script(connection)
        self.ended += 1

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        return self._tls.wrap_socket(connection, server_side=True)


def _read_request(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(body: bytes, *fields: str, status: str = "200 OK") -> Script:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return sending("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def sending(data: bytes, *, then_close: bool = False) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        if then_close:
            connection.shutdown(socket.SHUT_RDWR)

    return script


def dripping(head: bytes, drop: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.02)

    return script


def flooding(head: bytes, block: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(block)

    return script


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer()
    yield running
    running.close()


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    made = HttpTransport(connect_seconds=1.0, allow_private=True)
    yield made
    made.close()


def call(transport: Transport, server: ScriptedServer, seconds: float = 5.0) -> bytes:
    return transport.post(
        server.url, {"x-field": "1"}, b"question", seconds=seconds, bytes_max=1000
    ).body


def test_a_request_arrives_as_it_was_given(transport: Transport, server: ScriptedServer) -> None:
    server.script = answering(b"yes", "Content-Type: application/json", "X-Two: a", "X-Two: b")
    answer = transport.post(
        server.url,
        {"content-type": "application/json", "signature": "sig1=:x:"},
        b"question\0\xff",
        seconds=5,
        bytes_max=1000,
    )
    assert (answer.status, answer.body, answer.wire_body) == (200, b"yes", b"yes")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-two"] == "a, b"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/sync HTTP/1.1\r\n")
    assert b"\r\nsignature: sig1=:x:" in head
    assert body == b"question\0\xff"


def test_a_document_is_read_with_get(transport: Transport, server: ScriptedServer) -> None:
    server.script = answering(b"document")
    assert transport.get(server.url, seconds=5, bytes_max=1000).body == b"document"
    assert server.requests[0].startswith(b"GET /v1/sync HTTP/1.1\r\n")


def test_error_statuses_are_answers(transport: Transport, server: ScriptedServer) -> None:
    server.script = answering(b"busy", "Retry-After: 7", status="503 Service Unavailable")
    answer = transport.post(server.url, {}, b"", seconds=5, bytes_max=1000)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b"busy", "7")


def test_connections_are_used_again(transport: Transport, server: ScriptedServer) -> None:
    for _ in range(5):
        call(transport, server)
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
    transport: Transport, server: ScriptedServer
) -> None:
    server.script = sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", then_close=True)
    for count in (1, 2, 3):
        assert call(transport, server) == b"ok"
        eventually(lambda ended=count: server.ended == ended, "the connection ends")
    assert server.connections == 3


def test_an_answer_that_ends_with_the_connection_is_read(
    transport: Transport, server: ScriptedServer
) -> None:
    server.script = sending(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwithout length", then_close=True
    )
    assert call(transport, server) == b"without length"


def test_chunks_are_joined(transport: Transport, server: ScriptedServer) -> None:
    server.script = sending(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert call(transport, server) == b"abcde"
    assert call(transport, server) == b"abcde"
    assert server.connections == 1


def test_gzip_is_inflated_and_kept_as_transmitted(
    transport: Transport, server: ScriptedServer
) -> None:
    packed = gzip.compress(b"a" * 1000)
    server.script = answering(packed, "Content-Encoding: gzip")
    answer = transport.post(server.url, {}, b"", seconds=5, bytes_max=1000)
    assert (answer.body, answer.wire_body) == (b"a" * 1000, packed)


def test_a_large_request_and_answer_pass(transport: Transport, server: ScriptedServer) -> None:
    body = bytes(range(256)) * 4096
    server.script = answering(body)
    answer = transport.post(server.url, {}, body, seconds=10, bytes_max=len(body))
    assert answer.body == body
    assert server.requests[0].endswith(body)


_GZIP = "Content-Encoding: gzip"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_MEMBER = gzip.compress(b"whole")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answering(b"a" * 1001), id="a byte too large"),
        pytest.param(sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\naaa"),
                     id="a length beyond all bounds"),
        pytest.param(flooding(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65536), id="an endless body"),
        pytest.param(flooding(_CHUNKED, b"8000\r\n" + b"a" * 0x8000 + b"\r\n"),
                     id="endless chunks"),
        pytest.param(flooding(_CHUNKED, b"1;" + b"x" * 8000 + b"\r\na\r\n"),
                     id="chunks with more framing than content"),
        pytest.param(flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="endless interim answers"),
        pytest.param(flooding(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 60000 + b"\r\n"),
                     id="endless headers"),
        pytest.param(answering(gzip.compress(bytes(10_000_000)), _GZIP), id="a gzip bomb"),
        pytest.param(answering(b"no gzip at all", _GZIP), id="no gzip"),
        pytest.param(answering(_MEMBER[:-3], _GZIP), id="gzip cut off"),
        pytest.param(answering(_MEMBER + b"x", _GZIP), id="gzip with something after it"),
        pytest.param(answering(_MEMBER + _MEMBER, _GZIP), id="two gzip members"),
        pytest.param(answering(b"x", "Content-Encoding: br"), id="another encoding"),
        pytest.param(answering(b"x", "Signature: a", "Signature: b"), id="a signature twice"),
        pytest.param(answering(b"x", "Content-Digest: a", "content-digest: a"),
                     id="a digest twice"),
    ],
)  # fmt: skip
def test_an_answer_out_of_bounds_is_the_peers_fault(
    script: Script, transport: Transport, server: ScriptedServer
) -> None:
    server.script = script
    with pytest.raises(BadAnswer):
        call(transport, server)
    server.script = answering(b"fine")
    assert call(transport, server) == b"fine"


@pytest.mark.parametrize(
    ("script", "about_items"),
    [
        pytest.param(answering(b"a" * 1001, "Signature: a"), True, id="an envelope's"),
        pytest.param(flooding(_CHUNKED.replace(b"\r\n\r\n", b"\r\nSignature: a\r\n\r\n"),
                              b"8000\r\n" + b"a" * 0x8000 + b"\r\n"), True, id="in chunks"),
        pytest.param(answering(gzip.compress(bytes(1001)), _GZIP, "Signature: a"), True,
                     id="once inflated"),
        pytest.param(answering(b"a" * 1001), False, id="a page of somebody else"),
        pytest.param(answering(b"no gzip", _GZIP, "Signature: a"), False, id="a broken one"),
    ],
)  # fmt: skip
def test_a_large_answer_of_a_node_may_be_about_what_it_was_asked_for(
    script: Script, about_items: bool, transport: Transport, server: ScriptedServer
) -> None:
    server.script = script
    with pytest.raises(BadAnswer) as caught:
        call(transport, server)
    assert caught.value.about_items is about_items


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(sending(b"", then_close=True), id="nothing"),
        pytest.param(sending(b"SSH-2.0-OpenSSH_9.6\r\n", then_close=True), id="another protocol"),
        pytest.param(sending(bytes(range(256)), then_close=True), id="garbage"),
        pytest.param(sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", then_close=True),
                     id="cut off body"),
        pytest.param(sending(b"HTTP/1.1 200 OK\r\nContent-Le", then_close=True),
                     id="cut off headers"),
        pytest.param(sending(_CHUNKED + b"5\r\nab", then_close=True), id="cut off chunk"),
        pytest.param(sending(_CHUNKED + b"zz\r\nab\r\n"), id="a chunk of no size"),
        pytest.param(sending(_CHUNKED + b"-5\r\nab\r\n"), id="a chunk of negative size"),
        pytest.param(sending(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n"),
                     id="too many headers"),
        pytest.param(answering(b"", "Location: /elsewhere", status="302 Found"), id="redirect"),
        pytest.param(answering(b"", "Location: http://127.0.0.1:1/", status="307 Temporary"),
                     id="redirect to another host"),
    ],
)  # fmt: skip
def test_no_complete_answer_is_a_peer_that_is_not_there(
    script: Script, transport: Transport, server: ScriptedServer
) -> None:
    server.script = script
    with pytest.raises(PeerUnavailable):
        call(transport, server)
    assert len(server.requests) == 1, "nothing is sent twice"
    server.script = answering(b"fine")
    assert call(transport, server) == b"fine"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(dripping(b"", b""), id="silence"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\n", b"x"), id="headers in drops"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"),
                     id="body in drops"),
        pytest.param(dripping(_CHUNKED, b"1\r\na\r\n"), id="chunks in drops"),
        pytest.param(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="interim answers"),
    ],
)  # fmt: skip
def test_one_deadline_holds_over_a_slow_answer(
    script: Script, transport: Transport, server: ScriptedServer
) -> None:
    server.script = script
    started = time.monotonic()
    with pytest.raises(PeerUnavailable):
        call(transport, server, seconds=0.4)
    assert 0.3 < time.monotonic() - started < 1.5


def test_one_deadline_holds_while_a_server_does_not_read(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(PeerUnavailable):
            transport.post(url, {}, bytes(64 * 1024 * 1024), seconds=0.4, bytes_max=1000)
        assert time.monotonic() - started < 1.5


def test_a_closed_port_is_a_peer_that_is_not_there(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PeerUnavailable, match=r"^no answer from \S+: Connection refused$"):
        transport.get(f"http://127.0.0.1:{port}/", seconds=5, bytes_max=1000)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "http://",
        "//nothing",
        "",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "http://" + "a" * 70 + ".invalid/",
        "http://..invalid/",
        "http://\u2602..\u2602/",
    ],
)
def test_an_address_that_cannot_be_is_a_peer_that_is_not_there(
    url: str, transport: Transport
) -> None:
    with pytest.raises(PeerUnavailable):
        transport.get(url, seconds=2, bytes_max=1000)


def test_tls_is_not_spoken_to_a_plain_server(transport: Transport, server: ScriptedServer) -> None:
    server.script = answering(b"plain")
    started = time.monotonic()
    with pytest.raises(PeerUnavailable):
        transport.get(f"https://127.0.0.1:{server.port}/", seconds=5, bytes_max=1000)
    assert time.monotonic() - started < 3, "the handshake is part of connecting"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a PEM of a key and a certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "tls.pem"
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


def test_tls_servers_are_authenticated_by_certificate_and_name(certificate: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    running = ScriptedServer(server_side)
    trusting = HttpTransport(
        allow_private=True, tls=ssl.create_default_context(cafile=str(certificate))
    )
    try:
        running.script = answering(b"private")
        url = f"https://127.0.0.1:{running.port}/"
        for _ in range(2):
            assert trusting.get(url, seconds=5, bytes_max=1000).body == b"private"
        assert running.connections == 1
        with pytest.raises(PeerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            HttpTransport(allow_private=True).get(url, seconds=5, bytes_max=1000)
        with pytest.raises(PeerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            trusting.get(f"https://localhost:{running.port}/", seconds=5, bytes_max=1000)
    finally:
        trusting.close()
        running.close()


def test_no_proxy_of_the_environment_is_used(
    transport: Transport, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    assert call(HttpTransport(allow_private=True), server) == b"{}"


def test_many_threads_share_one_transport(transport: Transport, server: ScriptedServer) -> None:
    server.script = answering(b"fine")
    outcomes: list[bytes] = []

    def many() -> None:
        outcomes.extend(call(transport, server) for _ in range(20))

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == [b"fine"] * 160
    assert server.connections <= 8
