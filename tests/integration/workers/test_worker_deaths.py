"""Workers are killed, stopped and cut off; what they held is done once more, and no task stays."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from celery import Celery
from pytest_celery import CeleryTestSetup, RedisTestBroker

from replicator.adapters.queue_names import queue_name
from tests.integration.workers.conftest import NODE, VISIBILITY_SECONDS, Queues, StartWorker
from tests.support.waiting import eventually

REQUESTS = queue_name(NODE, "requests")
FANOUT = queue_name(NODE, "fanout")
LANE_OF = {"answers": REQUESTS, "lanes": FANOUT}
TAKE_OVER_SECONDS = 2 * VISIBILITY_SECONDS + 4
"""The time-out, the sweep's interval, and a busy machine."""


def lines(notes: Path, word: str) -> list[str]:
    return [line for line in notes.read_text().splitlines() if line.startswith(word)]


def test_a_worker_runs_a_task(celery_setup: CeleryTestSetup, notes: Path, queues: Queues) -> None:
    celery_setup.app.send_task("test.note", (str(notes),), queue=REQUESTS)
    eventually(lambda: lines(notes, "end"), "the task")
    eventually(lambda: queues.unacknowledged() == 0, "its acknowledgement")
    assert celery_setup.worker.hostname() in {
        name for answer in celery_setup.app.control.ping(timeout=2) for name in answer
    }


@pytest.mark.parametrize("kind", ["answers", "lanes"])
def test_a_task_longer_than_the_visibility_timeout_runs_once(
    kind: str, start_worker: StartWorker, celery_setup_app: Celery, notes: Path, queues: Queues
) -> None:
    start_worker(kind, "first", 1)
    start_worker(kind, "second", 1)
    seconds = 3.0 * VISIBILITY_SECONDS
    celery_setup_app.send_task("test.note", (str(notes), seconds), queue=LANE_OF[kind])
    eventually(lambda: lines(notes, "end"), "the end of the task", seconds=seconds + 10)
    eventually(lambda: queues.unacknowledged() == 0, "its acknowledgement")
    assert len(lines(notes, "start")) == 1


@pytest.mark.parametrize("kind", ["answers", "lanes"])
def test_a_killed_workers_task_is_taken_over(
    kind: str, start_worker: StartWorker, celery_setup_app: Celery, notes: Path, queues: Queues
) -> None:
    first = start_worker(kind, "first", 1)
    celery_setup_app.send_task("test.note", (str(notes), 2.0), queue=LANE_OF[kind])
    eventually(lambda: lines(notes, "start"), "the start of the task")
    first.kill()
    assert lines(notes, "end") == []
    start_worker(kind, "second", 1)
    eventually(lambda: len(lines(notes, "start")) == 2, "the take-over", seconds=TAKE_OVER_SECONDS)
    eventually(lambda: lines(notes, "end"), "the end of the task")
    eventually(lambda: queues.unacknowledged() == 0, "its acknowledgement")


def test_a_pool_child_that_dies_is_replaced_and_its_task_runs_again(
    celery_setup: CeleryTestSetup, notes: Path, queues: Queues
) -> None:
    celery_setup.app.send_task("test.die", (str(notes), 2), queue=REQUESTS)
    eventually(lambda: lines(notes, "end"), "the second run")
    assert len(lines(notes, "start")) == 2
    eventually(lambda: queues.unacknowledged() == 0, "its acknowledgement")


def test_a_task_that_always_kills_its_child_is_given_up(
    celery_setup: CeleryTestSetup, notes: Path, tmp_path: Path, queues: Queues
) -> None:
    celery_setup.app.send_task("test.die", (str(notes), 1000), queue=REQUESTS)
    celery_setup.worker.wait_for_log("Task handler raised error: WorkerLostError", timeout=60)
    eventually(lambda: queues.unacknowledged() == 0, "nothing held")
    assert len(lines(notes, "start")) == 3
    healthy = tmp_path / "healthy"
    celery_setup.app.send_task("test.note", (str(healthy),), queue=REQUESTS)
    eventually(lambda: healthy.exists() and lines(healthy, "end"), "an ordinary task")


def test_pool_children_do_not_outlive_their_parent(
    celery_setup: CeleryTestSetup, notes: Path
) -> None:
    celery_setup.app.send_task("test.note", (str(notes), 30.0), queue=REQUESTS)
    eventually(lambda: lines(notes, "start"), "the start of the task")
    container = celery_setup.worker.container
    children = container.children()
    assert len(children) >= 2
    container.process.kill_alone()
    eventually(
        lambda: not any(child.is_running() and not_zombie(child) for child in children),
        "the children's end",
        seconds=5,
    )


def not_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("kind", ["answers", "lanes"])
def test_a_stopped_worker_leaves_nothing_unacknowledged(
    kind: str, start_worker: StartWorker, celery_setup_app: Celery, notes: Path, queues: Queues
) -> None:
    worker = start_worker(kind, size=2)
    for _ in range(6):
        celery_setup_app.send_task("test.note", (str(notes), 1.0), queue=LANE_OF[kind])
    eventually(lambda: len(lines(notes, "start")) >= 2, "the start of the tasks")
    status = worker.container.process.stop(15)
    assert status == 0
    assert queues.unacknowledged() == 0
    lane = "requests" if kind == "answers" else "fanout"
    assert len(lines(notes, "start")) == len(lines(notes, "end"))
    assert len(lines(notes, "end")) + queues.waiting(lane) == 6


@pytest.mark.parametrize("kind", ["answers", "lanes"])
def test_a_worker_consumes_again_after_its_broker_was_killed(
    kind: str,
    start_worker: StartWorker,
    celery_setup_app: Celery,
    celery_broker: RedisTestBroker,
    notes: Path,
    queues: Queues,
) -> None:
    worker = start_worker(kind)
    celery_setup_app.send_task("test.note", (str(notes), 3.0), queue=LANE_OF[kind])
    eventually(lambda: lines(notes, "start"), "a task that runs when the broker dies")
    celery_broker.kill()
    worker.wait_for_log("Trying to re", timeout=20)
    celery_broker.container.restart()
    after = notes.with_name("after")
    celery_setup_app.send_task("test.note", (str(after),), queue=LANE_OF[kind])
    # Celery's pauses between connection attempts are fixed: 2, 4, 6, ... s
    eventually(lambda: after.exists() and lines(after, "end"), "a task after", seconds=40)
    # The first task's acknowledgement is lost with the connection: it runs once more.
    eventually(lambda: queues.unacknowledged() == 0, "nothing held", seconds=40)
    assert lines(notes, "end")
    assert worker.container.status == "running"
    assert worker.container.process.lives == 1


def test_a_frozen_worker_that_wakes_up_does_no_harm(
    start_worker: StartWorker, celery_setup_app: Celery, notes: Path, queues: Queues
) -> None:
    first = start_worker("lanes", "first", 1)
    celery_setup_app.send_task("test.note", (str(notes), 1.0), queue=FANOUT)
    eventually(lambda: lines(notes, "start"), "the start of the task")
    os.kill(first.container.process.pid, signal.SIGSTOP)
    start_worker("lanes", "second", 1)
    eventually(lambda: lines(notes, "end"), "the take-over", seconds=TAKE_OVER_SECONDS)
    os.kill(first.container.process.pid, signal.SIGCONT)
    eventually(lambda: len(lines(notes, "end")) == 2, "the first one's end")
    eventually(lambda: queues.unacknowledged() == 0, "nothing held")
    celery_setup_app.send_task("test.note", (str(notes),), queue=FANOUT)
    eventually(lambda: len(lines(notes, "end")) == 3, "an ordinary task")
