"""Whom `HttpTransport` calls: addresses of the internet, unless private ones are allowed."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from replicator.adapters import resolving
from replicator.adapters.http import HttpTransport
from replicator.errors import PeerUnavailable
from replicator.rules.addresses import ADVICE
from tests.contracts.test_transport import ScriptedServer, answering, server
from tests.support.waiting import eventually

__all__ = ["server"]

LOOPBACK = "127.0.0.1"
PUBLIC = "192.31.7.1"
"""Nothing is sent there: the tests see to it that connecting fails or goes elsewhere."""


@pytest.fixture
def strict() -> Iterator[HttpTransport]:
    """A transport as nodes in the internet have it."""
    made = HttpTransport(connect_seconds=1.0)
    yield made
    made.close()


def get(transport: HttpTransport, url: str) -> bytes:
    return transport.get(url, seconds=2, bytes_max=1000).body


class Names:
    """A name server: answers each question for a name with the next list, the last for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lists: list[list[str]] = []
        self.asked = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host: str, port: int, **options: Any) -> list[Any]:
        if not host.endswith(".example"):
            return self._real(host, port, **options)
        found = self.lists[min(self.asked, len(self.lists) - 1)]
        self.asked += 1
        return [one for address in found for one in self._real(address, port, **options)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.mark.parametrize(
    "host",
    [
        *(LOOPBACK, "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0x7f000001"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0", "0x0.0", "[::]"),
        *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1", "169.254.169.254", "100.64.0.1"),
    ],
)
def test_a_private_host_is_not_called_however_it_is_written(
    host: str, strict: HttpTransport, server: ScriptedServer
) -> None:
    with pytest.raises(PeerUnavailable):
        get(strict, f"http://{host}:{server.port}/")
    assert server.connections == 0


def test_the_refusal_says_what_to_set(strict: HttpTransport, server: ScriptedServer) -> None:
    with pytest.raises(PeerUnavailable) as caught:
        get(strict, server.url)
    assert str(caught.value) == (
        f"no answer from {server.url}: 127.0.0.1 is a private address; {ADVICE}"
    )


def test_requests_are_guarded_as_documents_are(
    strict: HttpTransport, server: ScriptedServer
) -> None:
    with pytest.raises(PeerUnavailable, match="private address"):
        strict.post(server.url, {}, b"", seconds=2, bytes_max=1000)
    assert server.connections == 0


def test_a_name_is_judged_by_what_it_resolves_to(
    strict: HttpTransport, server: ScriptedServer, names: Names
) -> None:
    names.lists = [["10.0.0.1", LOOPBACK]]
    with pytest.raises(PeerUnavailable, match=r"10\.0\.0\.1 is a private address"):
        get(strict, f"http://board.example:{server.port}/")
    assert server.connections == 0


def test_a_name_that_turns_private_is_looked_up_once_and_the_judged_address_is_called(
    strict: HttpTransport,
    server: ScriptedServer,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names.lists = [[PUBLIC], [LOOPBACK]]
    called = _stop_connections(monkeypatch)
    with pytest.raises(PeerUnavailable, match="stopped by the test"):
        get(strict, f"http://board.example:{server.port}/")
    assert (called, names.asked) == ([PUBLIC], 1)
    with pytest.raises(PeerUnavailable, match="private address"):
        get(strict, f"http://board.example:{server.port}/")
    assert called == [PUBLIC]


def test_of_many_addresses_only_those_of_the_internet_are_tried(
    strict: HttpTransport, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.lists = [["10.0.0.1", LOOPBACK, "::1", PUBLIC, "169.254.169.254", "192.31.7.2"]]
    called = _stop_connections(monkeypatch)
    with pytest.raises(PeerUnavailable, match="stopped by the test"):
        get(strict, "https://board.example/")
    assert called == [PUBLIC, "192.31.7.2"]


def _stop_connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    called: list[str] = []

    def connect(_: socket.socket, address: Any) -> None:
        called.append(address[0])
        raise OSError("stopped by the test")

    monkeypatch.setattr(socket, "socket", type("Stopped", (socket.socket,), {"connect": connect}))
    return called


@pytest.mark.parametrize("port", [1, 22, 25, 1023])
def test_ports_of_other_services_are_called_only_where_private_addresses_are(
    port: int, strict: HttpTransport
) -> None:
    with pytest.raises(PeerUnavailable, match="belongs to another service"):
        get(strict, f"http://board.example:{port}/")


@pytest.mark.parametrize(
    "form",
    [
        "http://me@{}/",
        "http://me:secret@{}/",
        "http://@{}/",
        "http://board.example@{}/",
        "http:{}/",
        "http:///{}",
        "HTTP2://{}/",
        "ftp://{}/",
        "file:///etc/passwd",
        "gopher://{}/",
        "redis://{}/",
        " http://{}/",
    ],
)
def test_only_plain_urls_are_called(form: str, server: ScriptedServer) -> None:
    allowing = HttpTransport(allow_private=True)
    with pytest.raises(PeerUnavailable) as caught:
        get(allowing, form.format(f"127.0.0.1:{server.port}"))
    assert "secret" not in str(caught.value)
    assert server.connections == 0


def test_a_redirect_into_the_network_is_not_followed(server: ScriptedServer) -> None:
    other = ScriptedServer()
    try:
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            server.script = answering(b"", f"Location: {other.url}", status=status)
            with pytest.raises(PeerUnavailable, match="nothing is followed"):
                get(HttpTransport(allow_private=True), server.url)
        assert other.connections == 0
    finally:
        other.close()


def test_a_resolver_that_does_not_answer_costs_the_time_to_connect(
    strict: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        release.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(resolving, "_SLOTS", threading.BoundedSemaphore(1))
    try:
        started = time.monotonic()
        with pytest.raises(PeerUnavailable, match="not resolved in time"):
            get(strict, "http://board.example/")
        assert 0.9 < time.monotonic() - started < 2
        with pytest.raises(PeerUnavailable, match="too many names"):
            get(strict, "http://board.example/")
    finally:
        release.set()
    lookups = [thread for thread in threading.enumerate() if thread.name == "resolve"]
    eventually(lambda: not any(one.is_alive() for one in lookups), "the look-up ends")
