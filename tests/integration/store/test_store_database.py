"""Making, checking and opening databases: what goes wrong is said in words that help."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, inspect, text

from replicator.adapters.sql.adding import add_posts
from replicator.adapters.sql.changes import read_lane
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.migrate import check_schema, migrate
from replicator.adapters.sql.schema import metadata
from replicator.adapters.sql.store import SqlStore
from replicator.errors import ConfigurationError, StoreUnavailable, Unavailable
from replicator.limits import Limits
from replicator.node.ports import Peer, Query
from tests.support.posts import POOL, THERE, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

OpenStore = Callable[..., SqlStore]


def revision(url: str, value: str) -> None:
    """Let a database say that it is at another revision."""
    database = Database(url)
    with database.writing() as connection:
        connection.execute(
            text("UPDATE alembic_version SET version_num = :value"), {"value": value}
        )
    database.close()


def test_migrating_an_empty_database_makes_it_fit_and_twice_is_once(empty_url: str) -> None:
    with pytest.raises(ConfigurationError, match="replicator migrate"):
        check_schema(empty_url)
    applied = migrate(empty_url)
    assert applied == sorted(applied)
    assert applied[0] == "0001"
    assert migrate(empty_url) == []
    check_schema(empty_url)


def test_the_migrations_make_what_the_schema_describes(database_url: str) -> None:
    database = Database(database_url, migrates=True)
    with database.reading() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        tables = inspect(connection).get_table_names()
    database.close()
    assert differences == []
    assert set(tables) == {*metadata.tables, "alembic_version"}


def test_a_database_of_a_newer_program_is_refused(database_url: str) -> None:
    revision(database_url, "9999")
    for call in (check_schema, migrate):
        with pytest.raises(ConfigurationError, match=r"9999.*newer"):
            call(database_url)


def test_a_store_without_tables_says_what_to_do(empty_url: str, tmp_path: Path) -> None:
    store = SqlStore(empty_url)
    for call in (store.totals, store.peers, lambda: store.add([published(post(1))], now=1)):
        with pytest.raises(ConfigurationError, match="replicator migrate"):
            call()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_each_database_has_a_log_of_its_own(tmp_path: Path) -> None:
    ends = set()
    for name in ("a", "b"):
        migrate(f"sqlite:///{tmp_path}/{name}.db")
        store = SqlStore(f"sqlite:///{tmp_path}/{name}.db")
        ends.add(store.end_cursor())
        store.close()
    assert len(ends) == 2


def test_a_separate_reader_reads_and_cannot_write(open_store: OpenStore) -> None:
    writer, reader = open_store(), open_store(read_only=True)
    writer.add([published(post(1))], now=1)
    assert reader.page(Query(), None).posts == (post(1),)
    writer.add([published(post(2))], now=1)
    assert reader.totals().posts == 2
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        reader.add([published(post(3))], now=1)
    with pytest.raises(Exception, match=r"(?i)read-?only"):
        reader.add_peer(post(1).id, None, now=1)  # type: ignore[arg-type]
    assert writer.totals().posts == 2


def test_a_reader_opens_a_database_that_nobody_has_open(
    open_store: OpenStore, database_url: str
) -> None:
    writer = open_store()
    writer.add([published(post(1))], now=1)
    writer.close()
    check_schema(database_url)
    assert open_store(read_only=True).totals().posts == 1


def test_a_store_goes_on_after_it_was_closed(open_store: OpenStore) -> None:
    store = open_store()
    store.add([published(post(1))], now=1)
    store.close()
    assert store.totals().posts == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "node.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://root@localhost/x",
        "postgresql://localhost/x",
        "postgresql+asyncpg://localhost/x",
        "sqlite:////tmp/x.db?mode=memory",
        "sqlite:////tmp/x.db?synchronous=off",
    ],
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    for call in (SqlStore, migrate, check_schema):
        with pytest.raises(ConfigurationError, match="database_url"):
            call(url)


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://somebody:hidden@/name?host={tmp_path}"
    store = SqlStore(url)
    for call in (store.totals, lambda: check_schema(url), lambda: migrate(url)):
        with pytest.raises(Unavailable) as caught:
            call()
        assert isinstance(caught.value, StoreUnavailable)
        assert "hidden" not in str(caught.value)
    assert "hidden" not in repr(store)


def test_a_file_that_is_no_database_is_not_taken_for_an_outage(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_bytes(b"no database at all, but long enough to be read" * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        check_schema(f"sqlite:///{tmp_path}/node.db")


def test_a_path_may_hold_spaces_signs_and_other_letters(tmp_path: Path) -> None:
    file = tmp_path / "a b%20?#ü" / "x%41'.db"
    url = f"sqlite:///{quote(str(file))}"
    migrate(url)
    check_schema(url)
    assert file.is_file()


@pytest.mark.postgres
def test_a_connection_that_the_server_ended_is_replaced(postgres_url: str) -> None:
    migrate(postgres_url)
    store, database = SqlStore(postgres_url), Database(postgres_url)
    store.add([published(post(1))], now=1)
    with database.reading() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND application_name = 'replicator'"
        )
    database.close()
    assert store.get(digests=[post(1).digest], scopes=frozenset({POOL})) == [post(1)]
    store.close()


def test_a_lane_looks_at_announced_posts_alone(database_url: str) -> None:
    """With any number of received posts, a lane with nothing to announce costs nothing."""
    database = Database(database_url)
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "JOIN post" in statement and not statement.startswith("EXPLAIN"):
            how = "EXPLAIN QUERY PLAN " if database_url.startswith("sqlite") else "EXPLAIN "
            rows = connection.exec_driver_sql(how + statement, parameters)
            plans.append("\n".join(str(tuple(row)) for row in rows))

    with database.writing() as connection:
        items = [received(post(number)) for number in range(50)]
        add_posts(connection, [*items, published(post(50))], 1, Limits())
    with database.reading() as connection:
        event.listen(connection, "before_cursor_execute", explain)
        page = read_lane(connection, Peer(THERE), frozenset({POOL}), 500, 1 << 40)
    database.close()
    assert page.positions == (51,)
    (plan,) = plans
    assert "announcement" in plan
    assert "change" not in plan
    assert "post_pool" not in plan
