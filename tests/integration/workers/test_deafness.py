"""A worker that no longer hears its queues ends itself; one that is well, or waits, goes on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from pytest_celery import RedisTestBroker

from replicator.adapters.queue_names import queue_name
from replicator.settings import Settings
from tests.integration.workers.conftest import LIMITS, NODE, StartWorker
from tests.support.celery_nodes import NamedWorker
from tests.support.faulty_proxy import FaultyProxy
from tests.support.home import make_home
from tests.support.waiting import eventually, holds
from workers.deafness import DEAF

DEAF_SECONDS = 2.0
LANE_OF = {"answers": queue_name(NODE, "requests"), "lanes": queue_name(NODE, "fanout")}
# at 7 s Celery's next attempt, 2, 4, 6 ... s after the last, is further off than `deaf_seconds`
CUTS = [7, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(180)])]


@pytest.fixture
def proxy(celery_broker: RedisTestBroker) -> Iterator[FaultyProxy]:
    """What stands between the workers and their broker."""
    with FaultyProxy(celery_broker.container.port) as proxy:
        yield proxy


@pytest.fixture
def settings(proxy: FaultyProxy, tmp_path: Path) -> Settings:
    """The settings of a node that reaches its broker through the proxy."""
    limits = {**LIMITS, "deaf_seconds": DEAF_SECONDS}
    return make_home(tmp_path / "home", NODE, f"redis://127.0.0.1:{proxy.port}/0", limits=limits)


def is_done(app: Celery, notes: Path, queue: str, *, seconds: float) -> None:
    """Send a task and wait for its end."""
    path = notes.with_name(f"{queue}-{time.monotonic_ns()}")
    app.send_task("test.note", (str(path),), queue=queue)
    eventually(lambda: path.exists() and "end" in path.read_text(), "the task", seconds=seconds)


def lives(worker: NamedWorker) -> int:
    """Return how often a worker was started, and that it runs now."""
    assert worker.container.status == "running", worker.container.process.all_logs()
    return int(worker.container.process.lives)


@pytest.mark.parametrize("kind", ["answers", "lanes"])
def test_a_worker_whose_connection_is_open_and_dead_ends_and_works_once_started_again(
    kind: str, proxy: FaultyProxy, start_worker: StartWorker, celery_setup_app: Celery, notes: Path
) -> None:
    worker = start_worker(kind)
    is_done(celery_setup_app, notes, LANE_OF[kind], seconds=20)
    proxy.deafen()
    with celery_setup_app.connection_for_write() as fresh:
        arguments = (str(notes),)
        celery_setup_app.send_task("test.note", arguments, queue=LANE_OF[kind], connection=fresh)
    process = worker.container.process
    eventually(lambda: process.status == "exited", "it ends", seconds=5 * DEAF_SECONDS)
    assert process.stop() == DEAF
    assert "worker.deaf" in process.all_logs()
    assert notes.read_text() == ""
    worker.restart()
    eventually(lambda: "end" in notes.read_text(), "the task that nobody heard")


@pytest.mark.parametrize("cut_seconds", CUTS)
def test_after_a_broker_connection_was_cut_work_goes_on_without_an_operator(
    cut_seconds: int,
    proxy: FaultyProxy,
    start_worker: StartWorker,
    celery_setup_app: Celery,
    notes: Path,
) -> None:
    workers = {kind: start_worker(kind) for kind in LANE_OF}
    proxy.cut()
    holds(
        lambda: all(lives(worker) == 1 for worker in workers.values()),
        "a worker ended only because its broker was away",
        seconds=cut_seconds,
    )
    proxy.mend()
    for kind, queue in LANE_OF.items():
        celery_setup_app.send_task("test.note", (str(notes.with_name(kind)),), queue=queue)

    def all_done() -> bool:
        for worker in workers.values():
            if worker.container.status == "exited":  # as a supervisor would
                assert worker.container.process.stop() == DEAF
                worker.restart()
        files = [notes.with_name(kind) for kind in LANE_OF]
        return all(file.exists() and "end" in file.read_text() for file in files)

    # Celery's own next attempt may be 30 s away: that is a deaf worker too
    eventually(all_done, "both workers work again", seconds=10 + 5 * DEAF_SECONDS)


def test_a_worker_that_is_idle_or_busy_is_left_alone(
    start_worker: StartWorker, celery_setup_app: Celery, notes: Path
) -> None:
    worker = start_worker("lanes", size=1)
    holds(lambda: lives(worker) == 1, "it ended while nothing waited", seconds=2 * DEAF_SECONDS)
    busy = 3 * DEAF_SECONDS
    queue = LANE_OF["lanes"]
    for _ in range(3):
        celery_setup_app.send_task("test.note", (str(notes), busy / 3), queue=queue)
    holds(lambda: lives(worker) == 1, "it ended while it was busy", seconds=busy)
    eventually(lambda: notes.read_text().count("end") == 3, "its work")
