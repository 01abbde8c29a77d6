"""RabbitMQ over TLS both ways: workers and doorbells speak with the right server, and no other.

Selected by ``-m rabbitmq``; where it is selected and no server is installed, it fails.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from pytest_celery import RedisTestBroker

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.queue_names import queue_name
from replicator.errors import BrokerUnavailable
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId
from replicator.settings import Settings, load_settings
from tests.integration.workers.conftest import LIMITS, NODE, StartWorker
from tests.support.celery_nodes import RABBITMQ, LocalRabbit
from tests.support.home import make_home
from tests.support.tls import Authority, TlsProxy
from tests.support.waiting import eventually, holds

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(180)]

RING = Ring("announce", NodeId("beta.example"))
WRONG = ("no authority", "another authority", "no certificate", "name")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom server and node believe."""
    made = Authority(tmp_path_factory.mktemp("tls"))
    made.issue("client")
    return made


@pytest.fixture(scope="module")
def rabbit(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRabbit]:
    """One server for the module; its certificate is for 127.0.0.1."""
    if not RABBITMQ.exists():
        pytest.fail("the rabbitmq tests were selected, but rabbitmq-server is not installed")
    files = (*authority.issue("server", "127.0.0.1"), authority.file)
    server = LocalRabbit(tmp_path_factory.mktemp("rabbit"), files)
    assert server.ready()
    yield server
    server.teardown()


@pytest.fixture(scope="module")
def elsewhere(rabbit: LocalRabbit, authority: Authority) -> Iterator[TlsProxy]:
    """The way to the same server, with a certificate that is for another name."""
    proxy = TlsProxy(rabbit.port, authority.issue("elsewhere", "127.0.0.9"), authority)
    yield proxy
    proxy.close()


def url_of(port: int) -> str:
    return f"amqps://guest:guest@127.0.0.1:{port}//"


@pytest.fixture
def settings(
    rabbit: LocalRabbit, celery_broker: RedisTestBroker, authority: Authority, tmp_path: Path
) -> Settings:
    """The node under test: messages on RabbitMQ over TLS, work state on Valkey."""
    home, work_url = tmp_path / "home", celery_broker.container.host_url
    make_home(home, NODE, work_url, broker_url=url_of(rabbit.tls_port), limits=LIMITS)
    tls = authority.file.parent
    lines = [
        f'tls_ca = "{tls / "ca.pem"}"',
        f'tls_certificate = "{tls / "client.pem"}"',
        f'tls_key = "{tls / "client-key.pem"}"',
    ]
    toml = home / "replicator.toml"
    toml.write_text("\n".join([*lines, toml.read_text()]))
    return load_settings(home, {})


def spoil(settings: Settings, elsewhere: TlsProxy, wrong: str, folder: Path) -> Settings:
    """Return the settings of the node with one thing wrong, also on disk."""
    changes = {
        "no authority": {"tls_ca": ""},
        "another authority": {"tls_ca": str(Authority(folder / "other").file)},
        "no certificate": {"tls_certificate": "", "tls_key": ""},
        "name": {"broker_url": url_of(elsewhere.port)},
    }[wrong]
    toml = settings.home / "replicator.toml"
    lines = toml.read_text().splitlines()
    kept = [line for line in lines if line.partition(" = ")[0] not in changes]
    given = [f'{name} = "{value}"' for name, value in changes.items() if value]
    toml.write_text("\n".join([*given, *kept]))
    return load_settings(settings.home, {})


def logins(rabbit: LocalRabbit) -> int:
    """Return how often somebody has proved to the server who it is."""
    return rabbit.logs().count("authenticated and granted access")


def test_a_doorbell_and_a_worker_speak_with_the_right_server(
    settings: Settings,
    rabbit: LocalRabbit,
    start_worker: StartWorker,
    celery_setup_app: Celery,
    notes: Path,
) -> None:
    worker = start_worker("lanes")
    doorbell = KombuDoorbell(settings.broker, settings.node_id)
    doorbell.ring([RING])
    doorbell.close()
    eventually(lambda: "Task replicator.announce" in worker.logs(), "a doorbell's task")
    queue = queue_name(NODE, "fanout")
    celery_setup_app.send_task("test.note", (str(notes),), queue=queue)
    eventually(lambda: "end" in notes.read_text(), "a task of Celery's")
    assert "guest:guest" not in worker.logs()
    assert logins(rabbit) >= 3


@pytest.mark.parametrize("wrong", WRONG)
def test_a_doorbell_does_not_speak_where_something_is_wrong(
    wrong: str, settings: Settings, elsewhere: TlsProxy, tmp_path: Path
) -> None:
    spoiled = spoil(settings, elsewhere, wrong, tmp_path)
    doorbell = KombuDoorbell(spoiled.broker, spoiled.node_id)
    with pytest.raises(BrokerUnavailable) as found:
        doorbell.ring([RING])
    doorbell.close()
    assert "guest:guest" not in str(found.value)


@pytest.mark.parametrize("wrong", ["another authority", "name"])
def test_a_worker_does_not_speak_with_a_server_that_is_not_the_right_one(
    wrong: str,
    settings: Settings,
    rabbit: LocalRabbit,
    elsewhere: TlsProxy,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    before = logins(rabbit)
    spoil(settings, elsewhere, wrong, tmp_path)
    worker = start_worker("lanes", wait=False)
    eventually(
        lambda: "certificate verify failed" in worker.container.logs(), "the refusal", seconds=30
    )
    holds(lambda: logins(rabbit) == before, "nobody has logged in", seconds=2)
