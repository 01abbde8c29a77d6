"""Once the floor has passed everything, no row is left that posts, refs or decisions had."""

from collections.abc import Callable

from sqlalchemy import func, select

from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.schema import metadata
from replicator.adapters.sql.store import SqlStore
from replicator.node.ports import Keep
from tests.support.posts import OTHER_POOL, POOL, THERE, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

_STAY = {"log", "pool", "peer", "equivocation", "equivocator"}


def test_nothing_is_left_of_what_the_floor_has_passed(
    open_store: Callable[..., SqlStore], database_url: str
) -> None:
    store = open_store()
    store.add([published(post(number, tags=["a", "b"])) for number in range(30)], now=1)
    store.add([published(post(3, tags=["a", "b"]), pools=[POOL, OTHER_POOL])], now=1)
    store.add([received(post(5, text=text)) for text in "abc"], now=1)
    store.decide([post(7, text="unwanted")], [POOL], "policy", now=1)
    store.add_peer(THERE, None, now=1)
    store.record_pull(THERE, None, None, gaps=[post(40).ref], now=1)
    while store.expire(Keep(posts=10), now=1):
        pass
    store.raise_floor(100)
    while store.expire(Keep(posts=10), now=1):
        pass
    database = Database(database_url)
    with database.reading() as connection:
        rows = {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in metadata.sorted_tables
            if table.name not in _STAY
        }
    database.close()
    # the summary keeps one entry for each pool, which stands for nothing
    assert rows.pop("summary") == 2
    assert set(rows.values()) == {0}, rows
