"""Disks that end: SQLite without a page left in the middle of a batch, and a disk that is nearly
full. Nothing is half written, and the store goes on once there is room."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, exc

from replicator.adapters.sql import room
from replicator.adapters.sql.engine import Database, translated
from replicator.adapters.sql.migrate import migrate
from replicator.adapters.sql.store import SqlStore
from replicator.errors import StoreFull
from replicator.limits import Limits
from replicator.node.ports import Added, Keep
from tests.support.posts import POOL, THERE, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

PAGE_BYTES = 4096


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[SqlStore]:
    migrate(sqlite_url)
    store = SqlStore(sqlite_url)
    yield store
    store.close()


def pages_of(store: SqlStore) -> int:
    with store._database.reading() as connection:
        return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())


def bound(store: SqlStore, pages: int) -> None:
    """Let the database file have so many pages: SQLite then ends as on a full disk."""
    store.close()

    def prepare(connection: Any, _entry: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(store._database._engine, "connect", prepare)


def integrity(url: str) -> str:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        found: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    return found


def test_a_disk_that_ends_in_the_middle_of_a_batch_leaves_nothing_of_it(
    sqlite_store: SqlStore, sqlite_url: str
) -> None:
    store = sqlite_store
    store.add([published(post(number)) for number in range(20)], now=1)
    store.add_peer(THERE, None, now=1)
    end, totals, digests = store.end_cursor(), store.totals(), store.digests()
    bound(store, pages_of(store) + 100)
    large = [received(post(number, text="x" * 4_000)) for number in range(20, 520)]
    for call in (
        lambda: store.add(large, now=2),
        lambda: store.publish(large, now=2),
        lambda: store.record_pull(THERE, None, end, posts=large, now=2),
    ):
        with pytest.raises(StoreFull):
            call()
        assert (store.end_cursor(), store.totals(), store.digests()) == (end, totals, digests)
    with store.reconciled(POOL, 0) as items:
        assert len(items) == 20
        assert (
            items.total(0, 20)
            == sum(int.from_bytes(bytes.fromhex(digest), "little") for digest, _ in digests)
            % 2**256
        )
    assert integrity(sqlite_url) == "ok"
    # what fits is still taken
    assert store.add(large[:20], now=3) == [Added.STORED] * 20


def fill(store: SqlStore) -> int:
    """Add posts in tens until none fits; return how many did."""
    number = 0
    try:
        while number < 5_000:
            items = [published(post(each, text="x" * 3_000)) for each in range(number, number + 10)]
            store.add(items, now=1)
            number += 10
    except StoreFull:
        return number
    raise AssertionError("the disk never ended")


def test_a_full_disk_lets_posts_expire_and_takes_others_then(
    sqlite_store: SqlStore, sqlite_url: str
) -> None:
    store = sqlite_store
    bound(store, pages_of(store) + 400)
    number = fill(store)
    assert store.totals().posts == number
    while store.expire(Keep(posts=number // 2), now=2):
        pass
    assert store.totals().posts == number // 2
    items = [published(post(each, text="x" * 3_000)) for each in range(number, number + 10)]
    assert store.add(items, now=3) == [Added.STORED] * 10
    assert integrity(sqlite_url) == "ok"


def test_what_is_kept_free_of_a_disk_is_for_all_but_posts(sqlite_url: str, tmp_path: Path) -> None:
    migrate(sqlite_url)
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    store = SqlStore(sqlite_url, Limits(disk_reserve_bytes=2 * free))
    assert store.is_full()
    with pytest.raises(StoreFull, match="disk"):
        store.add([published(post(1))], now=1)
    assert store.add_peer(THERE, None, now=1)
    store.close()
    roomy = SqlStore(sqlite_url, Limits(disk_reserve_bytes=1))
    assert not roomy.is_full()
    roomy.close()


@pytest.mark.postgres
def test_a_full_disk_of_postgresql_is_told_as_full(postgres_url: str) -> None:
    migrate(postgres_url)
    database = Database(postgres_url)
    with pytest.raises(StoreFull), database.writing() as connection:
        connection.exec_driver_sql(
            "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
        )
    database.close()


def test_the_errors_of_full_disks_are_told_from_others() -> None:
    full = psycopg.errors.DiskFull("could not extend file")
    with pytest.raises(StoreFull), translated():
        raise exc.OperationalError("INSERT", {}, full)


def test_the_disk_of_a_server_is_not_looked_at() -> None:
    made = room.Room(Database("postgresql+psycopg://a@/b").url, None, 1 << 62)
    assert not made.is_full(SimpleNamespace())  # type: ignore[arg-type]
