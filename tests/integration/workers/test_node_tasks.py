"""The node's own tasks in real workers: answering, fetching after a lost message, the beat."""

import asyncio
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from celery import Celery

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.clock import SystemClock
from replicator.adapters.redis.replies import ReplyReader
from replicator.adapters.redis.work import RedisWorkState
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Receipt, Reply, Ring, Wanted
from replicator.protocol import codec
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Pull
from replicator.protocol.signing import PrivateKey
from replicator.settings import Settings
from tests.integration.workers.conftest import Queues, StartWorker
from tests.support.celery_nodes import free_port, worker_environment
from tests.support.processes import LocalProcess
from tests.support.refs import ref
from tests.support.waiting import eventually, holds
from workers.beat import WAITING_MAX

BETA = NodeId("beta.example")
GATEWAY = "gateway-of-the-test"


class Parts:
    """The node's store, work state and doorbell, as its gateway would use them."""

    def __init__(self, settings: Settings) -> None:
        self.store = SqlStore(settings.database_url, settings.limits)
        self.work = RedisWorkState(settings.work, settings.prefix, settings.limits)
        self.doorbell = KombuDoorbell(settings.broker, settings.node_id, settings.limits)

    def close(self) -> None:
        for part in (self.doorbell, self.work, self.store):
            part.close()

    def request(self) -> str:
        """Admit a pull of a sender nobody knows and ring for it; return its token."""
        token, now = secrets.token_urlsafe(16), SystemClock().now()
        receipt = Receipt(
            token=token,
            gateway=GATEWAY,
            sender=BETA,
            node_keys=(PrivateKey.generate().public,),
            pool_keys=(),
            media_type=codec.JSON,
            base_digest="0" * 64,
            received_at=now,
        )
        body = codec.encode(codec.JSON, codec.request_tree(Pull()))
        assert self.work.admit(receipt, secrets.token_urlsafe(16), body, now)
        self.doorbell.ring([Ring("answer", token=token, note="from beta.example")])
        return token


@pytest.fixture
def parts(settings: Settings) -> Iterator[Parts]:
    made = Parts(settings)
    yield made
    made.close()


@pytest.fixture
def replies(settings: Settings) -> Iterator[dict[str, Reply]]:
    """What the gateway's reply list receives, by token."""
    heard: dict[str, Reply] = {}
    loop = asyncio.new_event_loop()
    reader = ReplyReader(settings.work, settings.prefix, GATEWAY)

    async def listen() -> None:
        with suppress(asyncio.CancelledError):
            await reader.run(lambda reply: heard.__setitem__(reply.token, reply))

    task = loop.create_task(listen())
    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
    thread.start()
    yield heard
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)
    loop.close()


@pytest.fixture
def stalled() -> Iterator[str]:
    """The address of a peer that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_an_admitted_request_is_answered_on_its_gateways_list(
    start_worker: StartWorker, parts: Parts, replies: dict[str, Reply], queues: Queues
) -> None:
    worker = start_worker("answers")
    token = parts.request()
    eventually(lambda: token in replies, "the answer")
    assert replies[token].status == 403
    tree = codec.decode(codec.JSON, replies[token].body, Limits())
    assert tree["code"] == "unknown-sender"
    worker.wait_for_log("replicator.answer", timeout=5)
    eventually(lambda: queues.unacknowledged() == 0, "its acknowledgement")


def test_a_request_that_waited_for_a_killed_worker_is_answered_by_the_next(
    start_worker: StartWorker, parts: Parts, replies: dict[str, Reply]
) -> None:
    first = start_worker("answers")
    os.kill(first.container.process.pid, signal.SIGSTOP)
    tokens = {parts.request() for _ in range(20)}
    first.kill()
    start_worker("answers", "second")
    eventually(lambda: len(tokens & replies.keys()) >= 18, "the answers", seconds=15)
    # At most what the worker took out of the list in the moment of its death is lost: the sender
    # is told `busy` after its deadline and asks again.
    assert len(tokens & replies.keys()) >= 18


def test_a_doorbell_lost_in_the_claim_window_is_rung_again(
    start_worker: StartWorker, parts: Parts, settings: Settings, celery_setup_app: Celery
) -> None:
    now = SystemClock().now()
    parts.store.add_peer(BETA, f"http://127.0.0.1:{free_port()}", now)
    first = start_worker("lanes")
    os.kill(first.container.process.pid, signal.SIGSTOP)
    assert parts.work.want(BETA, [ref(1)], now) == [Wanted.QUEUED]
    assert parts.work.ring("fetch", BETA, now)
    parts.doorbell.ring([Ring("fetch", BETA)])
    first.kill()
    assert parts.work.breakers([BETA])[BETA].failures == 0
    start_worker("lanes", "second")
    start_worker("answers")  # it takes the ticks
    beat = LocalProcess(
        "beat",
        CeleryCommands(settings.home, settings.node_id).beat(),
        settings.home / "logs",
        worker_environment({"REPLICATOR_HOME": str(settings.home)}),
    )
    try:
        eventually(
            lambda: parts.work.breakers([BETA])[BETA].failures > 0, "a try to fetch", seconds=15
        )
    finally:
        beat.remove()


def test_a_node_whose_lanes_are_saturated_still_answers(
    start_worker: StartWorker, parts: Parts, replies: dict[str, Reply], stalled: str
) -> None:
    start_worker("answers", size=1)
    lanes = start_worker("lanes", size=2)
    peers = [NodeId(f"stalled-{n}.example") for n in range(4)]
    now = SystemClock().now()
    for peer in peers:
        parts.store.add_peer(peer, stalled, now)
        parts.work.want(peer, [ref(1)], now)
    parts.doorbell.ring([Ring("fetch", peer) for peer in peers])
    eventually(lambda: lanes.logs().count("replicator.fetch") >= 2, "busy lanes")
    began = time.monotonic()
    tokens = {parts.request() for _ in range(10)}
    eventually(lambda: tokens <= replies.keys(), "the answers", seconds=10)
    assert time.monotonic() - began < 5


def test_the_beat_rings_and_old_ticks_are_dropped(
    start_worker: StartWorker, settings: Settings, parts: Parts, queues: Queues, stalled: str
) -> None:
    beat = LocalProcess(
        "beat",
        CeleryCommands(settings.home, settings.node_id).beat(),
        settings.home / "logs",
        worker_environment({"REPLICATOR_HOME": str(settings.home)}),
    )
    try:
        eventually(lambda: queues.waiting("ticks") == WAITING_MAX, "ticks that nobody takes")
        holds(lambda: queues.waiting("ticks") == WAITING_MAX, "no more than these", seconds=2)
        worker = start_worker("answers")
        eventually(lambda: queues.waiting("ticks") <= 1, "an empty queue")
        eventually(lambda: "Discarding revoked task: replicator" in worker.logs(), "old ticks")
        now = SystemClock().now()
        parts.store.add_peer(BETA, stalled, now)
        eventually(lambda: parts.work.dues("pull", [BETA])[BETA] > now, "new ticks")
        assert list((settings.home / "run").glob("beat-schedule*"))
    finally:
        beat.remove()


HOSTILE_CALLS = {
    "answers": [("replicator.answer", 17), ("replicator.answer", "x" * 200)],
    "lanes": [
        ("replicator.fetch", "No Such Node!"),
        ("replicator.pull", None),
        ("replicator.announce", {"peer": "beta.example"}),
    ],
}


@pytest.mark.parametrize("kind", HOSTILE_CALLS)
def test_calls_with_hostile_arguments_are_set_aside_before_any_work(
    kind: str, start_worker: StartWorker, celery_setup_app: Celery, parts: Parts
) -> None:
    calls = HOSTILE_CALLS[kind]
    worker = start_worker(kind)
    for number, (task, argument) in enumerate(calls, start=1):
        celery_setup_app.send_task(task, (argument,))
        eventually(lambda number=number: parts.work.count_malformed() == number, task)
        (kept,) = parts.work.malformed(1)  # the newest
        assert "argument" in kept.reason or "node id" in kept.reason, task
        assert f"Task {task}" not in worker.logs()


def test_errors_of_the_project_end_well_and_bugs_do_not(
    start_worker: StartWorker, celery_setup_app: Celery
) -> None:
    worker = start_worker("lanes")
    for error in ("unavailable", "invalid", "conflict", "bug"):
        celery_setup_app.send_task("test.fail", (error,), queue="alpha.example.fanout")
    eventually(lambda: "ZeroDivisionError: a bug" in worker.logs(), "the failure")
    for word in ("unavailable", "invalid", "overtaken"):
        eventually(lambda word=word: f"'ended': '{word}'" in worker.logs(), word)


def test_a_restarted_node_wakes_its_lanes_over_a_while(
    start_worker: StartWorker, parts: Parts, stalled: str
) -> None:
    now = SystemClock().now()
    parts.store.add_peer(BETA, stalled, now)
    start_worker("answers")
    assert parts.work.dues("announce", [BETA]) == {BETA: 0}
    start_worker("lanes")
    assert now < parts.work.dues("announce", [BETA])[BETA] < now + 60_000
