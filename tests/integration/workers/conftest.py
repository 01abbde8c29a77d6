"""pytest-celery without Docker: real workers of a real node on a private Valkey."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from pytest_celery import RedisTestBroker

from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.queue_names import queue_name
from replicator.adapters.queues import key_prefix
from replicator.protocol.ids import NodeId
from replicator.settings import Settings
from tests.support.celery_nodes import LocalValkey, LocalWorker, NamedWorker, worker_environment
from tests.support.home import make_home
from workers.app import make_app

NODE = NodeId("alpha.example")
VISIBILITY_SECONDS = 3
LIMITS = {"visibility_seconds": VISIBILITY_SECONDS, "doorbell_seconds": 2}

StartWorker = Callable[..., NamedWorker]


@pytest.fixture
def default_redis_broker(tmp_path: Path) -> Iterator[LocalValkey]:
    """Replace pytest-celery's container by a local server."""
    server = LocalValkey(tmp_path / "valkey")
    assert server.ready()
    yield server
    server.teardown()


@pytest.fixture
def celery_broker(celery_redis_broker: RedisTestBroker) -> RedisTestBroker:
    """Run on Valkey alone; the RabbitMQ lane has a fixture of its own."""
    return celery_redis_broker


@pytest.fixture
def celery_backend_cluster() -> None:
    """Keep no results: the node's state is in its store."""
    return None


@pytest.fixture
def celery_backend_cluster_config() -> None:
    """Keep no results."""
    return None


@pytest.fixture
def settings(celery_broker: RedisTestBroker, tmp_path: Path) -> Settings:
    """The settings of a node whose messages are taken over soon."""
    url = celery_broker.container.host_url
    return make_home(tmp_path / "home", NODE, url, limits=LIMITS)


@pytest.fixture
def celery_setup_app(settings: Settings) -> Iterator[Celery]:
    """The node's own application, as the tests publish with it."""
    app = make_app(settings)
    app.conf.include = ()
    yield app
    app.close()


@pytest.fixture
def start_worker(
    settings: Settings, tmp_path: Path, celery_setup_app: Celery
) -> Iterator[StartWorker]:
    """Start workers by kind and name; all are ended with the test."""
    started: list[NamedWorker] = []

    def start(kind: str, name: str = "", size: int = 2, *, wait: bool = True) -> NamedWorker:
        commands = CeleryCommands(settings.home, settings.node_id)
        command = getattr(commands, kind)(size)
        if name:
            place = command.index("--hostname") + 1
            command[place] = f"{name}@{settings.node_id}"
        env = worker_environment(commands.environment())
        container = LocalWorker(command, tmp_path / "logs", env)
        node = NamedWorker(container, celery_setup_app)
        started.append(node)
        if wait:
            assert node.ready()
        return node

    yield start
    for node in started:
        node.teardown()


@pytest.fixture
def default_worker_container(start_worker: StartWorker) -> LocalWorker:
    """The worker that pytest-celery's `celery_setup` begins with."""
    return start_worker("answers").container


@pytest.fixture
def default_worker_cls() -> type[NamedWorker]:
    """Workers are named by their command line."""
    return NamedWorker


@pytest.fixture
def default_worker_app(celery_setup_app: Celery) -> Celery:
    """The node's own application."""
    return celery_setup_app


class Queues:
    """Looks into the server, as an operator would."""

    def __init__(self, broker: RedisTestBroker) -> None:
        self._client = broker.container.client
        self.prefix = key_prefix(NODE)

    def waiting(self, lane: str) -> int:
        """Return how many messages wait in a lane."""
        return int(self._client.llen(self.prefix + queue_name(NODE, lane)))

    def unacknowledged(self) -> int:
        """Return how many messages workers hold."""
        return int(self._client.hlen(self.prefix + "unacked"))


@pytest.fixture
def queues(celery_broker: RedisTestBroker) -> Queues:
    """The queues of the node under test."""
    return Queues(celery_broker)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file that `test.note` writes to."""
    path = tmp_path / "notes"
    path.touch()
    return path
