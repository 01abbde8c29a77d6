"""The same workers with RabbitMQ as the broker: quorum queues on a private server.

Selected by ``-m rabbitmq``; where it is selected and no server is installed, it fails.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import pack

import amqp
import pytest
from celery import Celery
from pytest_celery import RedisTestBroker

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.queue_names import LANES, queue_name
from replicator.adapters.redis.work import RedisWorkState
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId
from replicator.settings import Settings
from tests.integration.workers.conftest import LIMITS, NODE, StartWorker
from tests.support.celery_nodes import RABBITMQ, LocalRabbit, worker_environment
from tests.support.home import make_home
from tests.support.hostile_entries import BOMB, SIGNATURE, body, headers
from tests.support.processes import LocalProcess
from tests.support.waiting import eventually, holds
from workers.beat import WAITING_MAX

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(180)]

REQUESTS = queue_name(NODE, "requests")
LANE_OF = {"answers": REQUESTS, "lanes": queue_name(NODE, "fanout")}


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRabbit]:
    """One server for the module: it takes ten seconds to start."""
    if not RABBITMQ.exists():
        pytest.fail("the rabbitmq tests were selected, but rabbitmq-server is not installed")
    server = LocalRabbit(tmp_path_factory.mktemp("rabbit"))
    assert server.ready()
    yield server
    server.teardown()


@pytest.fixture
def settings(rabbit: LocalRabbit, celery_broker: RedisTestBroker, tmp_path: Path) -> Settings:
    """The node under test: messages on RabbitMQ, work state on Valkey; all queues empty."""
    work_url = celery_broker.container.host_url
    made = make_home(tmp_path / "home", NODE, work_url, broker_url=rabbit.url, limits=LIMITS)
    with connection(rabbit) as link:
        channel = link.channel()
        for lane in (*LANES, "dead"):
            channel.queue_delete(f"{NODE}.{lane}")
    return made


def connection(rabbit: LocalRabbit) -> amqp.Connection:
    return amqp.Connection(f"127.0.0.1:{rabbit.port}", userid="guest", password="guest")


def waiting(rabbit: LocalRabbit, queue: str) -> int:
    """Return how many messages of a queue are ready."""
    with connection(rabbit) as link:
        try:
            return int(link.channel().queue_declare(queue, passive=True).message_count)
        except amqp.NotFound:
            return 0


def lines(notes: Path, word: str) -> list[str]:
    return [line for line in notes.read_text().splitlines() if line.startswith(word)]


def test_a_doorbell_reaches_its_task(
    rabbit: LocalRabbit, settings: Settings, start_worker: StartWorker
) -> None:
    doorbell = KombuDoorbell(settings.broker, settings.node_id)
    # Before any worker: the doorbell declares what it writes to.
    doorbell.ring([Ring("announce", NodeId("beta.example"), note="3 posts")] * 200)
    doorbell.close()
    worker = start_worker("lanes")
    eventually(lambda: worker.logs().count("Task replicator.announce") == 200, "the tasks")
    eventually(lambda: waiting(rabbit, LANE_OF["lanes"]) == 0, "an empty queue")


@pytest.mark.parametrize("kind", ["answers", "lanes"])
def test_a_killed_workers_task_is_delivered_again(
    kind: str, start_worker: StartWorker, celery_setup_app: Celery, notes: Path
) -> None:
    first = start_worker(kind, "first", 1)
    celery_setup_app.send_task("test.note", (str(notes), 1.0), queue=LANE_OF[kind])
    eventually(lambda: lines(notes, "start"), "the start of the task")
    first.kill()
    start_worker(kind, "second", 1)
    eventually(lambda: lines(notes, "end"), "the take-over")
    assert len(lines(notes, "start")) == 2


def test_a_pool_child_that_dies_is_replaced_and_its_task_runs_again(
    start_worker: StartWorker, celery_setup_app: Celery, notes: Path
) -> None:
    start_worker("answers")
    celery_setup_app.send_task("test.die", (str(notes), 2), queue=REQUESTS)
    eventually(lambda: lines(notes, "end"), "the second run")
    assert len(lines(notes, "start")) == 2


def test_what_kills_every_worker_ends_among_the_dead_letters(
    rabbit: LocalRabbit, start_worker: StartWorker, celery_setup_app: Celery, notes: Path
) -> None:
    start_worker("lanes", "declares", 1).teardown()
    celery_setup_app.send_task("test.die", (str(notes), 1000), queue=LANE_OF["lanes"])
    for run in range(1, 8):
        if waiting(rabbit, f"{NODE}.dead"):
            break
        worker = start_worker("lanes", f"worker-{run}", 1, wait=False)
        eventually(
            lambda worker=worker: (
                worker.container.status == "exited" or waiting(rabbit, f"{NODE}.dead")
            ),
            "its death or the dead letter",
        )
    eventually(lambda: waiting(rabbit, f"{NODE}.dead") == 1, "the dead letter")


@pytest.fixture
def beat(settings: Settings) -> Iterator[LocalProcess]:
    command = CeleryCommands(settings.home, NODE).beat()
    environment = worker_environment({"REPLICATOR_HOME": str(settings.home)})
    process = LocalProcess("beat", command, settings.home / "logs", environment)
    yield process
    process.remove()


def test_ticks_that_nobody_takes_do_not_pile_up(rabbit: LocalRabbit, beat: LocalProcess) -> None:
    ticks = queue_name(NODE, "ticks")
    eventually(lambda: waiting(rabbit, ticks) > 1, "ticks that nobody takes")
    holds(lambda: waiting(rabbit, ticks) <= WAITING_MAX, "no more than these", seconds=3)
    assert b"Error" not in beat.logs()


@pytest.mark.usefixtures("beat")
def test_workers_beat_and_doorbells_go_on_after_the_broker_was_killed(
    rabbit: LocalRabbit,
    settings: Settings,
    start_worker: StartWorker,
    celery_setup_app: Celery,
    notes: Path,
) -> None:
    worker = start_worker("lanes")
    ticking = start_worker("answers")
    doorbell = KombuDoorbell(settings.broker, settings.node_id)
    beta = NodeId("beta.example")
    doorbell.ring([Ring("announce", beta)])
    eventually(lambda: "Task replicator.announce" in worker.logs(), "a doorbell before")
    celery_setup_app.send_task("test.note", (str(notes),), queue=LANE_OF["lanes"])
    eventually(lambda: len(lines(notes, "end")) == 1, "a task before")
    # The queues of a running node are old.
    eventually(rabbit.knows_its_queues, "the names of the queues on disk")
    rabbit.process.kill()
    rabbit.restart()
    doorbell.ring([Ring("announce", beta)])
    doorbell.close()
    celery_setup_app.send_task("test.note", (str(notes),), queue=LANE_OF["lanes"])
    eventually(lambda: len(lines(notes, "end")) == 2, "a task after", seconds=60)
    eventually(lambda: worker.logs().count("Task replicator.announce") == 2, "a doorbell after")
    # Ticks leave no line in a worker's log; without one they wait.
    ticking.teardown()
    eventually(lambda: waiting(rabbit, queue_name(NODE, "ticks")) > 0, "a tick after")


class Raw(amqp.Message):
    """A message whose properties are bytes."""

    def __init__(self, properties: bytes) -> None:
        super().__init__(body())
        self.raw = properties

    def _serialize_properties(self) -> bytes:
        return self.raw


def table(*fields: bytes) -> bytes:
    """Return the properties of a message that has JSON in UTF-8, and these fields of headers."""
    return b"".join(
        (
            b"\xe0\0",  # content type, content encoding, headers
            *(bytes([len(text)]) + text for text in (b"application/json", b"utf-8")),
            pack(">I", sum(map(len, fields))),
            *fields,
        )
    )


def nested(depth: int) -> bytes:
    """Return a field of a table that holds tables within each other."""
    value = b""
    for _ in range(depth):
        value = b"\1aF" + pack(">I", len(value)) + value
    return value


UNREADABLE = {
    "a name that is no text": table(b"\1\xffS\0\0\0\1x"),
    "a time that is none": table(b"\1tT" + b"\xff" * 8),
    "a content type that is no text": b"\x80\0\1\xff",
    "a deep nest": table(nested(500)),
    "a deeper one": table(nested(3_000)),
    "a table that is cut": table(b"\1aF\0\0\1"),
}


def test_properties_that_cannot_be_read_end_no_worker(
    rabbit: LocalRabbit,
    settings: Settings,
    start_worker: StartWorker,
    celery_setup_app: Celery,
    notes: Path,
) -> None:
    worker = start_worker("lanes")
    pid = worker.container.process.pid
    sent = 0
    for raw in UNREADABLE.values():
        with suppress(amqp.AMQPError, OSError), connection(rabbit) as link:
            channel = link.channel()
            channel.confirm_select()
            channel.basic_publish_confirm(
                Raw(raw), exchange=str(NODE), routing_key=LANE_OF["lanes"]
            )
            sent += 1  # the server refuses some itself
    assert sent >= 4
    celery_setup_app.send_task("test.note", (str(notes),), queue=LANE_OF["lanes"])
    eventually(lambda: lines(notes, "end"), "a task after them")
    work = RedisWorkState(settings.work, settings.prefix, settings.limits)
    assert work.count_malformed() == sent
    work.close()
    assert worker.container.process.pid == pid
    eventually(lambda: waiting(rabbit, LANE_OF["lanes"]) == 0, "an empty queue")
    assert "Unrecoverable" not in worker.logs()


def test_what_celery_would_drop_is_set_aside_and_nothing_is_decompressed(
    rabbit: LocalRabbit,
    settings: Settings,
    start_worker: StartWorker,
    celery_setup_app: Celery,
    notes: Path,
) -> None:
    worker = start_worker("lanes")
    pid = worker.container.process.pid
    hostile = [
        (b"\x00\xff", {}, {}),
        (body(), {"content_type": "application/x-python-serialize"}, headers()),
        (body(), {"content_encoding": "zlib"}, headers()),
        (BOMB, {}, headers(compression="application/x-gzip")),
        (b"{", {}, headers()),
        (body(), {}, headers(task="os.system")),
        (body(), {}, headers(eta="soon")),
        (body(chain=[SIGNATURE]), {}, headers()),
        (body(["No Such Node!"]), {}, headers()),
        (body(["x" * 20_000]), {}, headers()),
    ]
    with connection(rabbit) as link:
        channel = link.channel()
        for data, facts, head in hostile:
            kind = {"content_type": "application/json", "content_encoding": "utf-8", **facts}
            message = amqp.Message(data, application_headers=head, delivery_mode=2, **kind)
            channel.basic_publish(message, exchange=str(NODE), routing_key=LANE_OF["lanes"])
    celery_setup_app.send_task("test.note", (str(notes),), queue=LANE_OF["lanes"])
    eventually(lambda: lines(notes, "end"), "a task after them")
    work = RedisWorkState(settings.work, settings.prefix, settings.limits)
    reasons = [kept.reason for kept in work.malformed(100)]
    work.close()
    assert len(reasons) == len(hostile), reasons
    assert sum("compressed" in reason for reason in reasons) == 1
    assert worker.container.process.pid == pid
    eventually(lambda: waiting(rabbit, LANE_OF["lanes"]) == 0, "an empty queue")
    assert "Unrecoverable" not in worker.logs()
