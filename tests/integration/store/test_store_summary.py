"""What a fingerprint costs: rows read are counted, where a set has fifty thousand items."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import insert

from replicator.adapters.sql import bulk, summary
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.schema import pool
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.rules.negentropy import Item, SortedItems, initiate
from tests.support.posts import POOL

pytest_plugins = ["tests.support.store_fixtures"]

COUNT = 50_000
LIMITS = Limits()
OpenStore = Callable[..., SqlStore]


def items_of(count: int) -> list[Item]:
    """Return items of clustered times: several share one."""
    return [(at // 3, hashlib.sha256(str(at).encode()).digest()) for at in range(count)]


def fill(url: str, items: list[Item], batch: int) -> None:
    database = Database(url)
    with database.writing() as connection:
        connection.execute(insert(pool), [{"id": 1, "key": POOL}])
        for start in range(0, len(items), batch):
            summary.enter_items(
                connection, 1, items[start : start + batch], LIMITS.summary_items_max
            )
    database.close()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the rows that statements of the summary give."""
    rows: list[int] = []

    def rows_of(*arguments: object) -> list[object]:
        found = bulk.rows_of(*arguments)  # type: ignore[arg-type]
        rows.append(len(found))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(summary, "rows_of", rows_of)
        yield rows


def test_a_fingerprint_reads_the_summary_and_few_items(
    database_url: str, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = items_of(COUNT)
    fill(database_url, items, 500)
    expected = SortedItems(items)
    with counted(monkeypatch) as rows, open_store().reconciled(POOL, 0) as view:
        leaves = sum(rows)
        assert leaves <= 4 * COUNT // LIMITS.summary_items_max
        for parts in (1, 2, 16):
            size = COUNT // parts
            for begin in range(0, COUNT, size):
                assert view.total(begin, begin + size) == expected.total(begin, begin + size)
        read = sum(rows) - leaves
        # sixteen parts have fifteen places between them
        assert 0 < read <= 15 * LIMITS.summary_items_max
        initiate(view)
        assert sum(rows) - leaves - read <= 15 * (2 + LIMITS.summary_items_max)


@pytest.mark.parametrize("batch", [500, 7])
def test_a_set_that_grows_in_any_order_has_entries_of_bounded_size(
    database_url: str, open_store: OpenStore, batch: int
) -> None:
    items = items_of(3_000 if batch == 7 else 10_000)
    random.Random(7).shuffle(items)
    fill(database_url, items, batch)
    database = Database(database_url)
    with database.reading() as connection:
        leaves = summary.read_leaves(connection, 1)
    database.close()
    assert leaves[0].lower == summary.FIRST
    assert max(leaf.items for leaf in leaves) <= LIMITS.summary_items_max
    assert len(leaves) <= 1 + 4 * len(items) // LIMITS.summary_items_max
    expected, chance = SortedItems(items), random.Random(8)
    with open_store(LIMITS).reconciled(POOL, 0) as view:
        assert len(view) == len(items)
        for _ in range(100):
            begin, end = sorted(chance.choices(range(len(items) + 1), k=2))
            assert view.total(begin, end) == expected.total(begin, end)


def test_a_set_that_grows_in_order_of_time_reads_no_items(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(monkeypatch) as rows:
        fill(database_url, [(at, digest) for at, (_, digest) in enumerate(items_of(10_000))], 500)
    # per batch: the entry it falls under, and the last item of it
    assert sum(rows) <= 3 * 10_000 // 500
