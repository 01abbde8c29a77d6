"""Filters computed in the database against the plain reference, over cases of all kinds."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.adapters.memory.store import MemoryStore
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.schema import metadata
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Incoming, Query, Store
from replicator.protocol.ids import Cursor, GlobalId, KeyText, NodeId
from replicator.protocol.messages import Filter
from replicator.protocol.post import Content, Post, post_of
from replicator.rules.filters import matches
from tests.support.posts import HERE, LIMITS, NODE_KEY, OTHER_POOL, POOL, THERE, signature

pytest_plugins = ["tests.support.store_fixtures"]

SMALL: Final = Limits(scan_rows_max=7)
"""Pages end at their scan bound here."""
NODES = (HERE, THERE, NodeId("here.example.org"), NodeId("h"))
# Pairs that differ only by case, by composition, by a code point above U+FFFF or in order
TAGS = ("a", "A", "b", "é", "e\u0301", "\uffee", "\U00010000", " ", "aa", "%", "_", "'")
THREADS = tuple(GlobalId(f"{node}/{local}") for node in NODES for local in ("1", "Q", "q"))
LAST = 2**53 - 1
TIMES = (0, 1, 2, 3, LAST - 1, LAST)


T = TypeVar("T")


def some_of(values: tuple[T, ...]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(st.sampled_from(values), max_size=3, unique=True).map(tuple)


@st.composite
def items(draw: st.DrawFn) -> Incoming:
    local = draw(st.sampled_from(("1", "Q", "q", "~", "a.b")))
    made = Content(
        attachments=(),
        author="",
        id=GlobalId(f"{draw(st.sampled_from(NODES))}/{local}"),
        published=draw(st.sampled_from(TIMES)),
        tags=draw(some_of(TAGS)),
        text=draw(st.sampled_from(("", "x", "x" * 300))),
        thread=draw(st.none() | st.sampled_from(THREADS)),
        title="",
    )
    one = post_of(made, [signature(NODE_KEY)], LIMITS)
    pools = frozenset(draw(some_of((POOL, OTHER_POOL))))
    return Incoming(one, draw(st.sampled_from((None, THERE))), pools, pools)


filters = st.builds(
    Filter,
    nodes=some_of(NODES),
    except_nodes=some_of(NODES),
    since=st.none() | st.sampled_from(TIMES),
    until=st.none() | st.sampled_from(TIMES),
    tags=some_of((*TAGS, "\0", "\ud800")),
    threads=some_of(THREADS),
)
# Half of the filters ask for one thing only: three conditions at once match next to nothing
queries = st.builds(
    Query,
    filter=st.none() | filters | st.builds(Filter, tags=some_of(TAGS)),
    scopes=st.none() | some_of((POOL, OTHER_POOL)).map(frozenset[KeyText]),
    limit=st.integers(1, 6),
    bytes_max=st.sampled_from((0, 400, 1 << 40)),
)


def walk(store: Store, query: Query) -> Iterator[tuple[tuple[Post, ...], bool]]:
    after: Cursor | None = None
    more = True
    while more:
        page = store.page(query, after)
        refs = store.ref_page(query, after)
        assert refs.refs == tuple(each.ref for each in page.posts)
        yield page.posts, page.more
        after, more = page.cursor, page.more


def agree(store: SqlStore, given_batches: list[list[Incoming]], query: Query) -> None:
    plain = MemoryStore(SMALL)
    for batch in given_batches:
        assert store.add(batch, now=1) == plain.add(batch, now=1)
    assert list(walk(store, query)) == list(walk(plain, query))
    every = [each for posts, _ in walk(plain, Query()) for each in posts]
    found = [each for posts, _ in walk(store, Query(filter=query.filter)) for each in posts]
    assert found == [each for each in every if matches(query.filter, each.content)]
    assert store.digests() == plain.digests()


@pytest.fixture
def emptied(database_url: str) -> Iterator[Callable[[], SqlStore]]:
    """Give the same store again and again, without rows."""
    database = Database(database_url)
    store = SqlStore(database_url, SMALL)

    def without_rows() -> SqlStore:
        with database.writing() as connection:
            for table in metadata.tables.values():
                if table.name != "log":
                    connection.execute(table.delete())
        return store

    yield without_rows
    store.close()
    database.close()


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(st.lists(items(), max_size=12), max_size=4), query=queries)
def test_the_database_filters_as_the_plain_reference_does(
    emptied: Callable[[], SqlStore], batches: list[list[Incoming]], query: Query
) -> None:
    agree(emptied(), batches, query)
