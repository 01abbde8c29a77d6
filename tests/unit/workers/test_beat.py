"""The beat rings while its messages are taken, and leaves it when they only pile up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.settings import Settings
from workers.app import NodeCelery, make_app
from workers.beat import WAITING_MAX, NodeScheduler

NODE = NodeId("alpha.example")
TICKS = f"{NODE}.ticks"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[NodeCelery]:
    """The names of a node's tasks, on a broker in this process."""
    url = "memory://"
    settings = Settings(home=tmp_path, node_id=NODE, database_url="sqlite://", work_url=url)
    app = make_app(settings, bodies=False)
    yield app
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge(TICKS)
    app.close()


@pytest.fixture
def scheduler(app: NodeCelery, tmp_path: Path) -> Iterator[NodeScheduler]:
    scheduler = NodeScheduler(app, schedule_filename=str(tmp_path / "schedule"))
    yield scheduler
    scheduler.close()


def size(connection: Connection) -> int:
    return int(connection.default_channel.queue_declare(TICKS).message_count)


def test_the_beat_of_a_node_is_this_one(app: NodeCelery) -> None:
    assert app.conf.beat_scheduler == f"{NodeScheduler.__module__}:{NodeScheduler.__name__}"


def test_only_a_few_messages_wait_for_a_worker_that_is_away(
    app: NodeCelery, scheduler: NodeScheduler
) -> None:
    with app.connection_for_write() as connection:
        for _ in range(10 * WAITING_MAX):
            scheduler.apply_entry(scheduler.schedule["tick"])
        scheduler.apply_entry(scheduler.schedule["upkeep"])
        assert size(connection) == WAITING_MAX


def test_what_is_taken_is_rung_again(app: NodeCelery, scheduler: NodeScheduler) -> None:
    with app.connection_for_write() as connection:
        for _ in range(10 * WAITING_MAX):
            scheduler.apply_entry(scheduler.schedule["tick"])
            connection.default_channel.basic_get(TICKS, no_ack=True)
        scheduler.apply_entry(scheduler.schedule["tick"])
        assert size(connection) == 1


def test_an_entry_that_was_left_out_is_due_again_after_its_interval(
    app: NodeCelery, scheduler: NodeScheduler
) -> None:
    for _ in range(2 * WAITING_MAX):
        scheduler.apply_entry(scheduler.schedule["tick"])
    scheduler.schedule["tick"].last_run_at = (
        app.now() - scheduler.schedule["tick"].schedule.run_every
    )
    scheduler.schedule["upkeep"].last_run_at = app.now()
    assert scheduler.tick() == 0
    assert 0 < scheduler.tick() <= Limits().tick_seconds
