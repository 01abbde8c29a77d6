"""Stores of every kind, as fixtures.

A pytest plugin: a test module that says ``pytest_plugins = ["tests.support.store_fixtures"]`` may
use them (and must not import this). The PostgreSQL server lives as long as the session; each store
has a database to itself. Those of `make_stores` are migrated once and then copied, or emptied after
each use, which is many times quicker; migration is under test in ``tests/integration/store``.
"""

import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest

from replicator.adapters.memory.store import MemoryStore
from replicator.adapters.sql.migrate import migrate
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Store
from tests.support.postgres import MigratedSchemas, empty_schema, postgres_server

_SOURCES = {"sqlite": "sqlite_template", "postgres": "postgres_schemas"}
_SQL = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, for the session."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """The URL of an empty schema."""
    with empty_schema(postgres) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a database file that is not there yet."""
    return f"sqlite:///{tmp_path}/node.db"


@pytest.fixture(params=_SQL)
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file that nobody opens, to be copied."""
    path = tmp_path_factory.mktemp("template") / "node.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_schemas(postgres: str) -> Iterator[MigratedSchemas]:
    """Schemas with tables, which only stores work on."""
    with ExitStack() as stack:
        yield MigratedSchemas(postgres, stack)


@pytest.fixture
def database_url(empty_url: str) -> str:
    """The URL of a database with its tables, of each kind in turn; a test may change them."""
    migrate(empty_url)
    return empty_url


def _copied(made: Path, path: Path) -> str:
    """Copy a migrated file and make its log another one; return its URL."""
    shutil.copyfile(made, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE log SET id = ?", (secrets.token_bytes(8),))
    return f"sqlite:///{path}"


@pytest.fixture
def open_store(database_url: str) -> Iterator[Callable[..., SqlStore]]:
    """Open stores on one database; they are closed at the end."""
    with ExitStack() as stack:

        def opened(limits: Limits | None = None, *, read_only: bool = False) -> SqlStore:
            store = SqlStore(database_url, limits, read_only=read_only)
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture(params=["memory", *_SQL])
def make_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Make any number of stores, each of its own, of each kind in turn.

    Besides the limits, a quota may be given; the store in memory counts its posts' bytes alone.
    """
    source = None
    if request.param != "memory":
        source = request.getfixturevalue(_SOURCES[request.param])
    with ExitStack() as stack:
        numbers = count()

        def made(limits: Limits, quota_bytes: int | None = None) -> Store:
            if request.param == "memory":
                return MemoryStore(limits, quota_bytes=quota_bytes)
            if isinstance(source, MigratedSchemas):
                url = stack.enter_context(source.one())
            else:
                assert isinstance(source, Path)
                url = _copied(source, tmp_path / f"{next(numbers)}.db")
            store = SqlStore(url, limits, quota_bytes=quota_bytes)
            stack.callback(store.close)
            return store

        yield made


@pytest.fixture
def make_store(make_stores: Callable[[Limits], Store]) -> Callable[[Limits], Store]:
    """Make one store of each kind in turn, with limits of the test's own."""
    return make_stores


@pytest.fixture
def store(make_store: Callable[[Limits], Store]) -> Store:
    """A store with the limits every node has by default."""
    return make_store(Limits())
