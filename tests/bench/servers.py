"""What is measured on besides our own processes: databases and a Valkey, started when asked for."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import psycopg
from sqlalchemy import make_url

from replicator.adapters.sql.migrate import migrate
from replicator.adapters.valkey import find_server
from tests.support.postgres import postgres_server
from tests.support.valkey import PrivateServer

DATABASES: Final = ("sqlite", "postgresql")


class Servers:
    """The servers of one run of the bench; they end with it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._postgres: str | None = None
        self._valkey: PrivateServer | None = None

    def __enter__(self) -> "Servers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def folder(self) -> Path:
        """Return a new folder that is removed at the end."""
        made = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="replicator-bench-"))
        return Path(made)

    def valkey_url(self) -> str:
        """Return the URL of an empty Valkey."""
        if self._valkey is None:
            self._valkey = PrivateServer(find_server())
            self._stack.callback(self._valkey.remove)
        return self._valkey.url

    @contextmanager
    def database(self, kind: str) -> Iterator[str]:
        """Yield the URL of a new migrated database of one of `DATABASES`."""
        if kind == "sqlite":
            with tempfile.TemporaryDirectory(prefix="replicator-bench-") as folder:
                url = f"sqlite:///{Path(folder) / 'replicator.db'}"
                migrate(url)
                yield url
            return
        with self._postgres_database() as url:
            migrate(url)
            yield url

    @contextmanager
    def _postgres_database(self) -> Iterator[str]:
        if self._postgres is None:
            # durable: a node's database is never run without waiting for the disk
            self._postgres = self._stack.enter_context(postgres_server(durable=True))
        server = make_url(self._postgres)
        name = f"bench_{secrets.token_hex(6)}"
        plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        yield server.set(database=name).render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
