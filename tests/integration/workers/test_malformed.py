"""Hostile queue entries, remote control and stored messages in real workers: set aside, no harm."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from pytest_celery import RedisTestBroker

from replicator.adapters.queue_names import queue_name
from replicator.adapters.redis.work import RedisWorkState
from replicator.node.ports import MalformedEntry
from replicator.settings import Settings
from tests.integration.workers.conftest import NODE, Queues, StartWorker
from tests.support.celery_nodes import NamedWorker
from tests.support.hostile_entries import ENTRIES, entry
from tests.support.waiting import eventually
from workers.control import ALLOWED

FANOUT = queue_name(NODE, "fanout")
HARM = ("Unrecoverable", "Connection to broker lost", "Traceback", "CRITICAL", "Could not restore")


@pytest.fixture
def work(settings: Settings) -> Iterator[RedisWorkState]:
    made = RedisWorkState(settings.work, settings.prefix, settings.limits)
    yield made
    made.close()


def note_runs(app: Celery, notes: Path, queue: str) -> None:
    """Have the worker run one more task, after all that stands in its queue."""
    app.send_task("test.note", (str(notes),), queue=queue)
    eventually(lambda: "end" in notes.read_text(), "a task after them")


def unharmed(worker: NamedWorker) -> None:
    log = worker.logs()
    assert not [word for word in HARM if word in log], log[-3000:]


@pytest.mark.parametrize(("kind", "lane"), [("answers", "requests"), ("lanes", "fanout")])
def test_every_malformed_entry_is_set_aside_and_the_worker_goes_on(
    kind: str,
    lane: str,
    start_worker: StartWorker,
    celery_broker: RedisTestBroker,
    celery_setup_app: Celery,
    queues: Queues,
    work: RedisWorkState,
    notes: Path,
) -> None:
    worker = start_worker(kind)
    pid = worker.container.process.pid
    queue = queue_name(NODE, lane)  # type: ignore[arg-type]
    celery_broker.container.client.lpush(
        queues.prefix + queue, *(raw for raw, _ in ENTRIES.values())
    )
    note_runs(celery_setup_app, notes, queue)
    eventually(lambda: work.count_malformed() >= len(ENTRIES), "all of them")
    found = list(reversed(work.malformed(1000)))
    assert len(found) == len(ENTRIES)
    for (name, (raw, reason)), kept in zip(ENTRIES.items(), found, strict=True):
        assert reason in kept.reason, name
        assert kept.size > 0
        assert len(kept.head) <= 4096
        assert kept.queue == queue or kept.queue == FANOUT
        if len(raw) < 1000 and kept.size == len(raw):
            assert kept.head == raw
    assert worker.container.process.pid == pid
    eventually(lambda: queues.unacknowledged() == 0, "nothing is held")
    assert queues.waiting(lane) == 0
    unharmed(worker)
    assert "Task replicator." not in worker.logs()


def test_a_stored_message_that_cannot_be_put_back_harms_no_worker(
    start_worker: StartWorker,
    celery_broker: RedisTestBroker,
    celery_setup_app: Celery,
    queues: Queues,
    work: RedisWorkState,
    notes: Path,
) -> None:
    client = celery_broker.container.client
    stored = {
        "no-json": b"\x00\xff",
        "an-object": b"{}",
        "a-list": b"[1, 2, 3]",
        "no-properties": json.dumps([{"body": ""}, "", FANOUT]).encode(),
    }
    for tag, raw in stored.items():
        client.hset(queues.prefix + "unacked", tag, raw)
        client.zadd(queues.prefix + "unacked_index", {tag: time.time() - 1000})
    # malformed only inside: kombu would log the whole of it
    client.hset(
        queues.prefix + "unacked",
        "inside",
        json.dumps([{"properties": {"priority": 0}}, "", FANOUT]),
    )
    client.zadd(queues.prefix + "unacked_index", {"inside": time.time() - 1000})
    # what kombu's own reader stumbles over, or could not put back
    odd = {
        name: json.dumps([json.loads(ENTRIES[name][0]), "", FANOUT]).encode()
        for name in ("a header that becomes a decimal", "a priority that is huge")
    }
    for tag, raw in odd.items():
        client.hset(queues.prefix + "unacked", tag, raw)
        client.zadd(queues.prefix + "unacked_index", {tag: time.time() - 2000})
    worker = start_worker("lanes")
    note_runs(celery_setup_app, notes, FANOUT)
    eventually(lambda: work.count_malformed() == 7, "all seven", seconds=20)
    assert {kept.head for kept in work.malformed(10)} >= set(stored.values())
    eventually(lambda: queues.unacknowledged() == 0, "nothing is held")
    assert client.zcard(queues.prefix + "unacked_index") == 0
    unharmed(worker)


def test_remote_control_only_shows_and_what_is_no_message_harms_nothing(
    start_worker: StartWorker,
    celery_broker: RedisTestBroker,
    celery_setup_app: Celery,
    queues: Queues,
    work: RedisWorkState,
    notes: Path,
) -> None:
    worker = start_worker("answers")
    pid, children = worker.container.process.pid, len(worker.container.children())
    control = celery_setup_app.control
    name = [worker.hostname()]
    for command, arguments in {
        "shutdown": {},
        "pool_grow": {"n": 5},
        "pool_shrink": {"n": 1},
        "pool_restart": {},
        "autoscale": {"max": 50, "min": 40},
        "add_consumer": {"queue": "other"},
        "cancel_consumer": {"queue": queue_name(NODE, "requests")},
        "rate_limit": {"task_name": "replicator.answer", "rate_limit": "1/h"},
        "time_limit": {"task_name": "replicator.answer", "soft": 1, "hard": 1},
        "revoke": {"task_id": ["x"]},
        "terminate": {"signal": "KILL", "task_id": "x"},
        "election": {"id": 1, "topic": "task", "action": {"task": "os.system"}},
        "hello": {"from_node": "x", "revoked": {}},
        "memdump": {},
        "objgraph": {},
        "report": {},
    }.items():
        assert command not in ALLOWED
        control.broadcast(command, arguments=arguments, destination=name)
    client = celery_broker.container.client
    topic = f"{queues.prefix}/0.{NODE}.control.pidbox"
    for raw, _ in ENTRIES.values():
        assert client.publish(topic, raw) == 1
    eventually(lambda: control.ping(destination=name, timeout=0.5), "an answer")
    shown = control.inspect(destination=name, timeout=1).stats()
    assert shown[name[0]]["pool"]["max-concurrency"] == 2
    note_runs(celery_setup_app, notes, queue_name(NODE, "requests"))
    assert worker.container.process.pid == pid
    assert len(worker.container.children()) == children
    # what reads as a message at all is set aside under the routing key that it names
    assert {kept.queue for kept in work.malformed(1000)} == {
        topic.removeprefix(queues.prefix),
        FANOUT,
    }
    assert "Unrecoverable" not in worker.logs()
    assert "Connection to broker lost" not in worker.logs()


def test_no_pattern_keeps_workers_busy_and_tasks_show_their_names_only(
    start_worker: StartWorker, celery_setup_app: Celery
) -> None:
    worker = start_worker("answers")
    pid, name = worker.container.process.pid, [worker.hostname()]
    control = celery_setup_app.control
    for matcher in ("pcre", "glob"):
        control.broadcast("ping", pattern="(([a-z@.]*)*)*!", matcher=matcher)
    shown = eventually(
        lambda: control.inspect(destination=name, timeout=1).registered("node", "app"), "an answer"
    )
    assert worker.container.process.pid == pid
    assert "replicator.answer" in shown[name[0]]
    assert not [task for task in shown[name[0]] if "=" in task]


def test_a_shelf_of_another_kind_stops_no_worker(
    start_worker: StartWorker,
    celery_broker: RedisTestBroker,
    celery_setup_app: Celery,
    queues: Queues,
    work: RedisWorkState,
    notes: Path,
) -> None:
    client = celery_broker.container.client
    client.set(queues.prefix + "malformed", "planted")
    worker = start_worker("lanes")
    pid = worker.container.process.pid
    client.lpush(queues.prefix + FANOUT, b"garbage")
    note_runs(celery_setup_app, notes, FANOUT)
    assert worker.container.process.pid == pid
    assert [kept.head for kept in work.malformed(9)] == [b"garbage"]


def test_an_answer_is_published_to_nobody_a_message_names(
    start_worker: StartWorker,
    celery_broker: RedisTestBroker,
    queues: Queues,
    work: RedisWorkState,
) -> None:
    worker = start_worker("lanes")
    tree = json.loads(entry())
    tree["properties"]["reply_to"] = "somebody"
    tree["headers"]["ignore_result"] = False
    client = celery_broker.container.client
    before = set(client.keys("*somebody*"))
    client.lpush(queues.prefix + FANOUT, json.dumps(tree))
    eventually(lambda: "Task replicator.announce" in worker.logs(), "the task")
    assert set(client.keys("*somebody*")) == before == set()
    assert client.keys("celery-task-meta-*") == []
    assert work.count_malformed() == 0


def test_the_number_of_entries_kept_is_bounded(
    start_worker: StartWorker,
    celery_broker: RedisTestBroker,
    settings: Settings,
    queues: Queues,
    work: RedisWorkState,
) -> None:
    start_worker("lanes")
    kept = settings.limits.malformed_entries_max
    client = celery_broker.container.client
    client.lpush(queues.prefix + FANOUT, *(b"entry %d" % n for n in range(kept + 50)))

    def newest() -> list[MalformedEntry]:
        return work.malformed(1)

    eventually(lambda: newest() and newest()[0].head == b"entry %d" % (kept + 49), "the last one")
    assert work.count_malformed() == kept
