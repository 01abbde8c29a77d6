"""Who asks too often hears so from prepared bytes, before anything else is done, and alone."""

import json
import socket
import threading
from dataclasses import replace

import pytest

from replicator.adapters.memory.work import MemoryWorkState
from replicator.node.identity import Identity
from replicator.protocol import codec
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from tests.support.gateway import POOL_KEY, SENDER, call, limits_with, make_node, running
from tests.support.waiting import eventually

BURST = 5
OTHER = Identity(NodeId("other.example"), (PrivateKey.generate(),), (POOL_KEY,))
HEAD = "POST /v1/sync HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\nreplicator-sender: {}\r\n"


class StuckWork(MemoryWorkState):
    """Work in hand that takes one sender's requests only when it is told to."""

    def __init__(self, limits):
        super().__init__(limits)
        self.free = threading.Event()

    def admit(self, receipt, *rest):
        if receipt.sender == SENDER.node_id:
            self.free.wait(20)
        return super().admit(receipt, *rest)


@pytest.fixture
def strict(tmp_path):
    """A gateway that takes five requests of a sender, and one more in a thousand seconds."""
    limits = limits_with(
        peer_requests_per_second=0.001, peer_burst_requests_max=BURST, body_seconds=1.0
    )
    with running(make_node(tmp_path, limits)) as it:
        yield it


def head(sender="flood.example", media_type=codec.JSON, more="") -> bytes:
    return (HEAD.format(media_type, sender) + more + "\r\n").encode()


def exhaust(it, sender="flood.example") -> None:
    """Use up a claim's bucket with requests that nobody signed."""
    with socket.create_connection(("127.0.0.1", it.sync_port)) as client:
        for _ in range(BURST):
            client.sendall(head(sender, more="content-length: 0\r\n"))
            assert read_answer(client)[0] == 401


def read_answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer of known length."""
    client.settimeout(10)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        assert piece, data
        data += piece
    start, _, body = data.partition(b"\r\n\r\n")
    lines = start.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers["content-length"]):
        body += client.recv(65536)
    assert len(body) == int(headers["content-length"])
    return int(lines[0].split(" ")[1]), headers, body


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_busy_comes_with_a_time_in_the_type_of_the_request(strict, media_type):
    exhaust(strict)
    with socket.create_connection(("127.0.0.1", strict.sync_port)) as client:
        client.sendall(head(media_type=media_type, more="content-length: 0\r\n"))
        status, headers, body = read_answer(client)
    tree = codec.decode(media_type, body, strict.node.limits)
    assert (status, headers["content-type"], headers["retry-after"]) == (503, media_type, "1")
    assert (tree["code"], int(tree["retry_after"])) == ("busy", 1)
    assert "signature" not in headers


def test_the_answer_does_not_wait_for_the_body_and_the_connection_serves_on(strict):
    exhaust(strict)
    with socket.create_connection(("127.0.0.1", strict.sync_port)) as client:
        client.sendall(head(more="content-length: 300000\r\n"))
        assert read_answer(client)[0] == 503
        client.sendall(b"x" * 300_000)
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert read_answer(client)[0] == 200
        client.sendall(head(more="transfer-encoding: chunked\r\n") + b"3\r\nabc\r\n0\r\n\r\n")
        assert read_answer(client)[0] == 503
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert read_answer(client)[0] == 200


def test_pipelined_floods_are_answered_one_by_one_in_order(strict):
    exhaust(strict)
    request = head(more="content-length: 3\r\n") + b"abc"
    with socket.create_connection(("127.0.0.1", strict.sync_port)) as client:
        client.sendall(request * 50 + b"GET /nowhere HTTP/1.1\r\nhost: x\r\n")
        client.sendall(b"connection: close\r\n\r\n")
        client.settimeout(10)
        data = b""
        while piece := client.recv(65536):
            data += piece
    assert [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]] == [b"503"] * 50 + [b"404"]


def test_a_refused_body_that_never_ends_ends_the_connection(strict):
    exhaust(strict)
    with socket.create_connection(("127.0.0.1", strict.sync_port)) as client:
        client.sendall(head(more="content-length: 100000\r\n"))
        assert read_answer(client)[0] == 503
        client.settimeout(10)
        assert client.recv(1) == b""
    assert strict.gateway._sync.in_flight == (0, 0)


def test_a_body_beyond_all_bounds_is_not_read_to_its_end(strict):
    exhaust(strict)
    with socket.create_connection(("127.0.0.1", strict.sync_port)) as client:
        client.sendall(head(more="transfer-encoding: chunked\r\n"))
        assert read_answer(client)[0] == 503

        def takes_more() -> bool:
            try:
                client.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            except OSError:
                return False
            return True

        eventually(lambda: not takes_more(), "the connection is ended", seconds=10)


def test_one_sender_s_flood_costs_no_other_sender_at_the_same_address(strict):
    with strict.worker():
        answers = [strict.post(*strict.signed()).status for _ in range(BURST + 3)]
        assert answers == [200] * BURST + [503] * 3
        assert strict.post(*strict.signed(sender=OTHER)).status == 200
    assert call(strict.sync_port, "GET", "/healthz").status == 200


def test_who_only_claims_to_be_a_sender_does_not_use_up_its_rate_elsewhere(tmp_path):
    """The claim's bucket is of one address; what is unproved never reaches the sender's own."""
    limits = limits_with(peer_requests_per_second=0.001, peer_burst_requests_max=BURST)
    node = make_node(tmp_path, limits)
    with running(node) as it:
        exhaust(it, "sender.example")
        assert it.post(*it.signed()).status == 503
    # another gateway of the same node, as it were another address: the sender's own bucket is full
    with running(replace(make_node(tmp_path, limits), work=node.work)) as it, it.worker():
        assert [it.post(*it.signed()).status for _ in range(BURST)] == [200] * BURST


def test_a_sender_over_its_rate_at_other_gateways_is_refused_before_anything_is_enqueued(tmp_path):
    limits = limits_with(peer_requests_per_second=0.5, peer_burst_requests_max=2)
    with running(make_node(tmp_path, limits)) as it, it.worker():
        it.gateway._sync._claims._burst = 100.0  # as behind many addresses
        answers = [it.post(*it.signed()) for _ in range(6)]
        late = answers[-1]
        assert [got.status for got in answers] == [200, 200, 503, 503, 503, 503]
        assert json.loads(late.body)["code"] == "busy"
        assert late.headers["retry-after"] == "2"
        assert not late.is_signed
        assert it.post(*it.signed(sender=OTHER)).status == 200


def test_a_sender_s_slow_admissions_leave_threads_to_others(tmp_path):
    node = make_node(tmp_path, limits_with(gateway_threads=4))
    work = StuckWork(node.limits)
    with running(replace(node, work=work)) as it, it.worker():
        floods = [
            threading.Thread(target=lambda: it.post(*it.signed()), daemon=True) for _ in range(12)
        ]
        for flood in floods:
            flood.start()
        eventually(lambda: it.gateway._sync.in_flight[0] == 12, "all are in hand")
        assert it.post(*it.signed(sender=OTHER)).status == 200
        work.free.set()
        for flood in floods:
            flood.join(20)
        assert len(it.gateway._sync._turns) == 0
