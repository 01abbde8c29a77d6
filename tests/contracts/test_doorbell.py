"""The contract of `Doorbell`, for the one that speaks to a broker and for its twin in memory."""

import base64
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from replicator.adapters.broker import SEND_SECONDS, KombuDoorbell
from replicator.adapters.memory.doorbell import MemoryDoorbell
from replicator.adapters.queue_names import LANES, queue_name
from replicator.adapters.queues import key_prefix
from replicator.errors import BrokerUnavailable
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId
from tests.support.celery_nodes import LocalValkey

NODE = NodeId("alpha.example")
BETA = NodeId("beta.example")
GAMMA = NodeId("gamma.example")


class Bench:
    """A doorbell, what it has sent, and a way to take its broker away and bring it back."""

    def __init__(
        self,
        doorbell: Any,
        sent: Callable[[], list[tuple[str, list[str]]]],
        outage: Callable[[], None],
        recovery: Callable[[], None],
    ) -> None:
        self.doorbell, self.sent, self.outage, self.recovery = doorbell, sent, outage, recovery


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[LocalValkey]:
    server = LocalValkey(tmp_path / "valkey")
    assert server.ready()
    yield server
    server.teardown()


def read_queues(url: str) -> list[tuple[str, list[str]]]:
    """Return (task, arguments) of all messages, oldest first in each queue."""
    found = []
    with redis.Redis.from_url(url) as client:
        for lane in LANES:
            for raw in reversed(client.lrange(key_prefix(NODE) + queue_name(NODE, lane), 0, -1)):
                message = json.loads(raw)
                body = json.loads(base64.b64decode(message["body"]))
                found.append((message["headers"]["task"], body[0]))
    return found


@pytest.fixture(params=["memory", "kombu"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "memory":
        memory = MemoryDoorbell()
        kept: list[Ring] = []

        def sent() -> list[tuple[str, list[str]]]:
            kept.extend(memory.take())
            return [
                (f"replicator.{r.task}", [r.token or r.peer] if r.task != "upkeep" else [])
                for r in kept
            ]

        yield Bench(memory, sent, memory.fail, lambda: memory.fail(available=True))
        memory.close()
        return
    server: LocalValkey = request.getfixturevalue("valkey")
    doorbell = KombuDoorbell(server.host_url, NODE)
    yield Bench(
        doorbell,
        lambda: read_queues(server.host_url),
        server.kill,
        lambda: server.restart(),
    )
    doorbell.close()


def test_rings_are_sent_in_order_each_to_its_lane(bench: Bench) -> None:
    bench.doorbell.ring([Ring("announce", BETA), Ring("announce", GAMMA)])
    assert bench.sent() == [
        ("replicator.announce", ["beta.example"]),
        ("replicator.announce", ["gamma.example"]),
    ]


def test_many_kinds_go_in_one_call(bench: Bench) -> None:
    rings = [Ring("answer", token="abc"), Ring("fetch", BETA), Ring("pull", BETA), Ring("upkeep")]
    bench.doorbell.ring(rings)
    assert sorted(bench.sent()) == [
        ("replicator.answer", ["abc"]),
        ("replicator.fetch", ["beta.example"]),
        ("replicator.pull", ["beta.example"]),
        ("replicator.upkeep", []),
    ]


def test_no_rings_are_no_message_even_without_a_broker(bench: Bench) -> None:
    bench.outage()
    bench.doorbell.ring([])
    bench.recovery()
    assert bench.sent() == []


def test_a_broker_that_is_away_is_said_to_be(bench: Bench) -> None:
    bench.doorbell.ring([Ring("fetch", BETA)])
    bench.outage()
    with pytest.raises(BrokerUnavailable):
        bench.doorbell.ring([Ring("fetch", GAMMA)])


def test_after_an_outage_the_next_ring_is_sent(bench: Bench) -> None:
    bench.doorbell.ring([Ring("fetch", BETA)])
    bench.outage()
    bench.recovery()
    bench.doorbell.ring([Ring("fetch", GAMMA)])
    assert ("replicator.fetch", ["gamma.example"]) in bench.sent()


def test_a_closed_doorbell_rings_again(bench: Bench) -> None:
    bench.doorbell.ring([Ring("fetch", BETA)])
    bench.doorbell.close()
    bench.doorbell.close()
    bench.doorbell.ring([Ring("fetch", GAMMA)])
    assert len(bench.sent()) == 2


def test_threads_share_a_doorbell(bench: Bench) -> None:
    def ring_twenty(thread: int) -> None:
        for n in range(20):
            bench.doorbell.ring([Ring("answer", token=f"{thread}-{n}")])

    threads = [threading.Thread(target=ring_twenty, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    tokens = {arguments[0] for _, arguments in bench.sent()}
    assert tokens == {f"{thread}-{n}" for thread in range(8) for n in range(20)}


def test_five_thousand_rings_fit_in_one_call(bench: Bench) -> None:
    bench.doorbell.ring([Ring("answer", token=str(n)) for n in range(5000)])
    assert [arguments[0] for _, arguments in bench.sent()] == [str(n) for n in range(5000)]


def test_a_flushed_server_takes_the_next_ring(valkey: LocalValkey) -> None:
    doorbell = KombuDoorbell(valkey.host_url, NODE)
    doorbell.ring([Ring("fetch", BETA)])
    with redis.Redis.from_url(valkey.host_url) as client:
        client.flushall()
    doorbell.ring([Ring("fetch", GAMMA)])
    assert read_queues(valkey.host_url) == [("replicator.fetch", ["gamma.example"])]
    doorbell.close()


def test_a_frozen_server_holds_no_thread_for_long(valkey: LocalValkey) -> None:
    doorbell = KombuDoorbell(valkey.host_url, NODE)
    doorbell.ring([Ring("fetch", BETA)])
    waited: list[float] = []

    def ring() -> None:
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            doorbell.ring([Ring("fetch", GAMMA)])
        waited.append(time.monotonic() - began)

    os.kill(valkey.process.pid, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=ring) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        os.kill(valkey.process.pid, signal.SIGCONT)
    # its own turn, and the turn before it
    assert len(waited) == 4
    assert max(waited) < 2 * SEND_SECONDS + 1
    doorbell.ring([Ring("fetch", NodeId("delta.example"))])
    assert ("replicator.fetch", ["delta.example"]) in read_queues(valkey.host_url)
    doorbell.close()


def ring_in_child(doorbell: KombuDoorbell) -> None:
    doorbell.ring([Ring("fetch", GAMMA)])
    doorbell.close()


def test_a_forked_child_rings_on_a_connection_of_its_own(valkey: LocalValkey) -> None:
    doorbell = KombuDoorbell(valkey.host_url, NODE)
    doorbell.ring([Ring("fetch", BETA)])
    child = multiprocessing.get_context("fork").Process(target=ring_in_child, args=(doorbell,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    doorbell.ring([Ring("pull", BETA)])
    assert len(read_queues(valkey.host_url)) == 3
    doorbell.close()


def test_nothing_of_the_url_is_shown(valkey: LocalValkey) -> None:
    doorbell = KombuDoorbell("redis://:s3cret@127.0.0.1:1/0", NODE)
    with pytest.raises(BrokerUnavailable) as caught:
        doorbell.ring([Ring("fetch", BETA)])
    assert "s3cret" not in repr(doorbell) + str(caught.value)
