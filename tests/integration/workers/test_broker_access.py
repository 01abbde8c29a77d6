"""A node's workers on a server with TLS both ways and a user that may only what the node needs.

The user is the one of deploy/redis.conf, word for word.
"""

import asyncio
import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import Celery

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.celery_commands import CeleryCommands
from replicator.adapters.queue_names import queue_name
from replicator.adapters.redis.connection import connect, connect_async
from replicator.adapters.redis.fitness import examine
from replicator.adapters.redis.work import RedisWorkState
from replicator.adapters.valkey import find_server
from replicator.cli.flower import flower_program
from replicator.errors import BrokerUnavailable, WorkUnavailable
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId
from replicator.settings import Settings, load_settings
from tests.integration.workers.conftest import NODE, StartWorker
from tests.support.celery_nodes import LocalValkey, free_port, worker_environment
from tests.support.home import make_home
from tests.support.processes import LocalProcess
from tests.support.tls import Authority, TlsProxy
from tests.support.waiting import eventually
from workers.app import make_app

CONF = Path(__file__).parents[3] / "deploy" / "redis.conf"
PASSWORD = "s3cret-of-the-broker"


def acl_of(conf: Path) -> list[str]:
    """Return the words of the user that the example configuration has."""
    line, _ = [line for line in conf.read_text().splitlines() if line.startswith("#user ")]
    return line.removeprefix("#user ").replace("PASSWORD", PASSWORD).split()


def test_with_the_users_of_the_example_nobody_is_let_in_without_a_password(tmp_path: Path) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text(CONF.read_text().replace("#user ", "user ").replace("PASSWORD", PASSWORD))
    port = free_port()
    command = [str(find_server()), str(conf), "--port", str(port), "--dir", str(tmp_path)]
    server = LocalProcess("guarded", command, tmp_path / "log")
    try:
        url = f"redis://alpha:{PASSWORD}@127.0.0.1:{port}/0"
        with redis.Redis.from_url(url, protocol=2) as client:
            eventually(lambda: answers(client), "the server")
        with (
            redis.Redis(port=port, protocol=2) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.flushall()
    finally:
        server.remove()


def test_a_unix_socket_serves_as_work_state_and_as_broker(tmp_path: Path) -> None:
    path = tmp_path / "valkey.sock"
    command = [str(find_server()), "--port", "0", "--unixsocket", str(path), "--save", ""]
    server = LocalProcess("local", command, tmp_path / "log")
    try:
        settings = make_home(tmp_path / "home", NODE, f"unix://{path}?db=3")
        with connect(settings.work) as client:
            eventually(lambda: answers(client), "the server")
            app = make_app(settings, bodies=False)
            with app.connection_for_write() as link:
                link.default_channel.client.set("by", "kombu")
            app.close()
            assert client.get("replicator:alpha.example:by") == b"kombu"
        assert asyncio.run(ping(settings.work))
    finally:
        server.remove()


async def ping(url: str) -> bool:
    async with connect_async(url) as client:
        return bool(await client.ping())


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@dataclass
class Secured:
    """A server behind TLS, and what the test may do there itself."""

    server: LocalValkey
    proxy: TlsProxy
    authority: Authority

    @property
    def url(self) -> str:
        return f"rediss://alpha:{PASSWORD}@127.0.0.1:{self.proxy.port}/0"

    def denied(self) -> list[str]:
        """Return what the server refused: command or key."""
        return [entry["object"] for entry in self.server.client.execute_command("ACL", "LOG")]


@pytest.fixture
def secured(default_redis_broker: LocalValkey, tmp_path: Path) -> Iterator[Secured]:
    default_redis_broker.client.execute_command("ACL", "SETUSER", *acl_of(CONF))
    authority = Authority(tmp_path / "tls")
    files = authority.issue("server", "127.0.0.1")
    authority.issue("client")
    proxy = TlsProxy(default_redis_broker.port, files, authority)
    yield Secured(default_redis_broker, proxy, authority)
    proxy.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalValkey]:
    """A server that tests share which change nothing in it."""
    server = LocalValkey(tmp_path_factory.mktemp("guarded"))
    try:
        assert server.ready()
        server.client.execute_command("ACL", "SETUSER", *acl_of(CONF))
        yield server
    finally:
        server.teardown()


@pytest.fixture
def settings(secured: Secured, tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    made = make_home(home, NODE, secured.url)
    tls = tmp_path / "tls"
    lines = [
        f'tls_ca = "{tls / "ca.pem"}"',
        f'tls_certificate = "{tls / "client.pem"}"',
        f'tls_key = "{tls / "client-key.pem"}"',
        f'flower_listen = "127.0.0.1:{free_port()}"',
    ]
    toml = home / "replicator.toml"
    toml.write_text("\n".join([*lines, toml.read_text()]))
    return load_settings(made.home, {})


def test_a_node_works_over_tls_as_a_user_that_may_do_nothing_else(
    settings: Settings,
    secured: Secured,
    start_worker: StartWorker,
    celery_setup_app: Celery,
    notes: Path,
) -> None:
    answers, lanes = start_worker("answers"), start_worker("lanes")
    commands = CeleryCommands(settings.home, settings.node_id)
    environment = worker_environment(commands.environment())
    logs = settings.home / "logs"
    flower = flower_program(settings)
    others = [
        LocalProcess("beat", commands.beat(), logs, environment),
        LocalProcess("flower", list(flower.command), logs, environment | dict(flower.environment)),
    ]
    doorbell = KombuDoorbell(settings.broker, settings.node_id)
    try:
        doorbell.ring([Ring("announce", NodeId("beta.example"))])
        eventually(lambda: "Task replicator.announce" in lanes.logs(), "a doorbell's task")
        queue = queue_name(NODE, "requests")
        celery_setup_app.send_task("test.note", (str(notes),), queue=queue)
        eventually(lambda: "end" in notes.read_text(), "a task of Celery's")
        address = settings.flower_listen
        eventually(lambda: metrics_of(address), "events that Flower heard", seconds=30)
        assert celery_setup_app.control.ping(timeout=1)
        assert examine(settings.work).name.startswith(("Valkey", "Redis"))
        assert secured.denied() == []
        assert secured.proxy.passed >= 8
        commandlines = [other.command for other in others] + [
            worker.container.process.command for worker in (answers, lanes)
        ]
        assert PASSWORD not in str(commandlines)
        written = [answers.logs(), lanes.logs(), *(other.logs().decode() for other in others)]
        assert not [text for text in written if PASSWORD in text]
    finally:
        doorbell.close()
        for other in others:
            other.remove()


def metrics_of(address: str) -> bool:
    """Tell whether Flower has counted an event of a worker; it must be up, and hear them."""
    link = http.client.HTTPConnection(address, timeout=5)
    try:
        link.request("GET", "/metrics")
        return b"flower_worker_online{" in link.getresponse().read()
    except OSError:
        return False
    finally:
        link.close()


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("MONITOR",),
        ("SHUTDOWN",),
        ("GET", "replicator:beta.example:refusals"),
        ("LPUSH", "replicator:beta.example:beta.example.requests", "x"),
        ("DEL", "replicator:alpha.example.evil:x"),
        ("EVAL", "return redis.call('GET', 'replicator:beta.example:x')", "0"),
        ("PUBLISH", "replicator:beta.example:/0.beta.example.control.pidbox", "x"),
    ],
    ids=lambda command: " ".join(command[:2])[:40],
)
def test_the_user_of_a_node_is_denied_everything_else(
    command: tuple[str, ...], guarded: LocalValkey
) -> None:
    url = f"redis://alpha:{PASSWORD}@127.0.0.1:{guarded.port}/0"
    with (
        redis.Redis.from_url(url, protocol=2) as client,
        pytest.raises(redis.ResponseError, match=r"(?i)permission|can't run this command"),
    ):
        client.execute_command(*command)


@pytest.mark.parametrize("wrong", ["no authority", "another authority", "no certificate", "name"])
def test_a_server_whose_certificate_is_not_right_is_not_spoken_to(
    wrong: str, secured: Secured, settings: Settings, tmp_path: Path
) -> None:
    changes: dict[str, str] = {}
    if wrong == "no authority":
        changes = {"tls_ca": ""}
    elif wrong == "another authority":
        changes = {"tls_ca": str(Authority(tmp_path / "other").file)}
    elif wrong == "no certificate":
        changes = {"tls_certificate": "", "tls_key": ""}
    else:
        files = secured.authority.issue("elsewhere", "127.0.0.9")
        secured.proxy.close()
        secured.proxy = TlsProxy(secured.server.port, files, secured.authority)
        changes = {"work_url": secured.url}
    toml = (settings.home / "replicator.toml").read_text().splitlines()
    kept = [line for line in toml if line.partition(" = ")[0] not in changes]
    given = [f'{name} = "{value}"' for name, value in changes.items() if value]
    (settings.home / "replicator.toml").write_text("\n".join([*given, *kept]))
    refused = load_settings(settings.home, {})
    work = RedisWorkState(refused.work, refused.prefix, refused.limits)
    with pytest.raises(WorkUnavailable) as found:
        work.refusals(1)
    work.close()
    doorbell = KombuDoorbell(refused.broker, refused.node_id)
    with pytest.raises(BrokerUnavailable) as unsent:
        doorbell.ring([Ring("upkeep")])
    doorbell.close()
    assert PASSWORD not in f"{found.value} {unsent.value}"
    assert secured.proxy.passed == 0
