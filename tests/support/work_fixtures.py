"""Work states of every kind, as fixtures.

A pytest plugin: a test module that says ``pytest_plugins = ["tests.support.work_fixtures"]`` may
use them (and must not import this). Servers live as long as the session; each work state has a
key prefix of its own.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.adapters.memory.work import MemoryWorkState
from replicator.adapters.redis.work import RedisWorkState
from replicator.adapters.valkey import find_server
from replicator.limits import Limits
from tests.support.valkey import PrivateServer, WorkBackend


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[PrivateServer]:
    """The server that a node would embed, for the session."""
    server = PrivateServer(find_server())
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[PrivateServer]:
    """A Redis server of this machine, for the session."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH; the suite ran on Valkey")
    server = PrivateServer(Path(binary))
    yield server
    server.remove()


@pytest.fixture
def own_server() -> Iterator[PrivateServer]:
    """A Valkey server for one test, which may kill it."""
    server = PrivateServer(find_server())
    yield server
    server.remove()


@pytest.fixture(params=["memory", "valkey", "redis"])
def work_backend(request: pytest.FixtureRequest) -> Iterator[WorkBackend]:
    """Each kind of work state in turn."""
    name = f"{request.param}_server"
    server = None if request.param == "memory" else request.getfixturevalue(name)
    backend = WorkBackend(server)
    yield backend
    backend.close()


@pytest.fixture
def make_work(
    work_backend: WorkBackend,
) -> Callable[[Limits], MemoryWorkState | RedisWorkState]:
    """Make a work state with limits of the test's own."""
    return work_backend.make


@pytest.fixture
def work(work_backend: WorkBackend) -> MemoryWorkState | RedisWorkState:
    """A work state with the limits every node has by default."""
    return work_backend.make(Limits())
