"""Beat and Flower open no private key, and run where there is none; workers need theirs.

They are started as an operator starts them; whoever takes one of them over finds no key in it.
"""

import http.client
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_celery import RedisTestBroker

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.queue_names import queue_name
from replicator.adapters.queues import key_prefix
from replicator.settings import Settings, load_settings
from tests.integration.workers.conftest import NODE
from tests.support.celery_nodes import free_port, worker_environment
from tests.support.opened import opened
from tests.support.processes import LocalProcess
from tests.support.waiting import eventually

Start = Callable[..., LocalProcess]
PRIVATE = {"node-1.pem", "pool-1.pem"}


@pytest.fixture
def home(settings: Settings) -> Settings:
    """The home of a node with a pool key, too."""
    KeyFiles(settings.keys_folder).create_pool_key()
    toml = settings.home / "replicator.toml"
    toml.write_text(f'flower_listen = "127.0.0.1:{free_port()}"\n' + toml.read_text())
    assert {path.name for path in settings.keys_folder.glob("*.pem")} == PRIVATE
    return load_settings(settings.home, {})


@pytest.fixture
def start(home: Settings) -> Iterator[Start]:
    """Start processes by their commands; all are ended with the test."""
    started: list[LocalProcess] = []

    def run(*words: str) -> LocalProcess:
        command = [sys.executable, "-m", "replicator.cli", "--home", str(home.home), *words]
        environment = worker_environment({"PYTHONPATH": str(Path(__file__).parents[3])})
        started.append(LocalProcess(words[0], command, home.home / "logs", environment))
        return started[-1]

    yield run
    for process in started:
        process.remove()


def ticks(broker: RedisTestBroker) -> int:
    """Return how many ticks of the beat wait."""
    return int(broker.container.client.llen(key_prefix(NODE) + queue_name(NODE, "ticks")))


def healthy(address: str) -> bool:
    """Tell whether Flower answers."""
    link = http.client.HTTPConnection(address, timeout=5)
    try:
        link.request("GET", "/healthcheck")
        return link.getresponse().status == 200
    except OSError:
        return False
    finally:
        link.close()


def test_beat_and_flower_open_no_key_and_a_worker_does(
    home: Settings, start: Start, celery_broker: RedisTestBroker
) -> None:
    with opened(home.keys_folder) as keys:
        start("beat")
        start("flower")
        eventually(lambda: ticks(celery_broker) > 1, "the beat rings", seconds=30)
        eventually(lambda: healthy(home.flower_listen), "Flower answers", seconds=30)
        assert keys.names() == set()
        start("worker", "lanes")
        eventually(lambda: keys.names() >= PRIVATE, "a worker reads its keys", seconds=30)


def test_beat_and_flower_run_where_there_is_no_key(
    home: Settings, start: Start, celery_broker: RedisTestBroker
) -> None:
    shutil.rmtree(home.keys_folder)
    processes = [start("beat"), start("flower")]
    eventually(lambda: ticks(celery_broker) > 1, "the beat rings", seconds=30)
    eventually(lambda: healthy(home.flower_listen), "Flower answers", seconds=30)
    assert [process.status for process in processes] == ["running", "running"]
    assert not home.keys_folder.exists()
