"""How SQLite answers the store's statements: by keys and indexes, never reading a whole table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from replicator.adapters.sql.migrate import migrate
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Keep, Peer, Query, Waiting
from tests.support.posts import OTHER_POOL, POOL, THERE, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

_LARGE = "post|post_pool|post_tag|reconciled|change|decision|gap|announcement"
_READS_ALL = re.compile(rf"SCAN ({_LARGE})\b|SEARCH reconciled USING PRIMARY KEY \(pool=\?\)")
_MAY = re.compile(r"SELECT count\(\*\)|FROM decision ORDER BY published LIMIT 1 OFFSET")
"""Whether too much is remembered is counted in an index, when nothing else is left to do."""


@contextmanager
def explained() -> Iterator[dict[str, str]]:
    """Collect the plans of all statements."""
    plans: dict[str, str] = {}

    def explain(
        connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        asked = statement.split(" ", 1)[0] in ("SELECT", "DELETE", "UPDATE")
        if not asked or statement in plans:
            return
        plans[statement] = ""
        given = parameters[0] if many else parameters
        rows = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, given)
        plans[statement] = "\n".join(row[3] for row in rows)

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(Engine, "before_cursor_execute", explain)


def test_what_adds_compares_and_expires_reads_no_whole_table(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = SqlStore(sqlite_url, Limits(summary_items_max=16, decided_items_max=5))
    with explained() as plans:
        use_all(store)
    store.close()
    assert len(plans) > 40
    bad = {
        statement: plan
        for statement, plan in plans.items()
        if _READS_ALL.search(plan) and not _MAY.search(statement)
    }
    assert bad == {}


def use_all(store: SqlStore) -> None:
    posts = [post(number, tags=["a"]) for number in range(100)]
    store.add([published(each) for each in posts[::2]], now=1)
    store.add([received(each) for each in posts], now=1)
    store.add([received(each, pools=[POOL, OTHER_POOL]) for each in posts[:9]], now=1)
    store.add([received(post(5, text=text)) for text in "abc"], now=1)
    unwanted = [post(number, node="unwanted.example") for number in range(20)]
    store.decide(unwanted, [POOL], "policy", now=1)
    store.add([received(each) for each in unwanted], now=1)
    store.add_peer(THERE, None, now=1)
    store.record_pull(THERE, None, None, gaps=[post(200).ref], now=1)
    with store.reconciled(POOL, 7) as items:
        items.total(3, 40)
        items.slice(1, 60)
    cursor = store.page(Query(limit=3), None).cursor
    for scopes in (None, frozenset({POOL})):
        store.page(Query(scopes=scopes, limit=5), cursor)
    store.lane(Peer(THERE), frozenset({POOL, OTHER_POOL}), 5, 1 << 40)
    store.raise_floor(30)
    while store.expire(Keep(posts=20), now=1):
        pass
    assert store.totals().posts == 20


def test_any_number_of_values_is_asked_for_by_few_statements(tmp_path) -> None:
    """The driver keeps each text, per connection: one per number of values filled the memory."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate(url)
    store = SqlStore(url, Limits())
    digests = [post(number).digest for number in range(520)]
    with explained() as plans:
        for count in range(1, len(digests)):
            store.known(digests[:count])
    store.close()
    tables = {statement.split(" WHERE ")[0] for statement in plans}
    assert len(tables) == 2, "what is held, and what was decided against"
    assert len(plans) <= 10 * len(tables)


def test_what_waits_for_its_origin_is_found_and_counted_in_indexes(sqlite_url: str) -> None:
    migrate(sqlite_url)
    store = SqlStore(sqlite_url, Limits())
    copies = [Waiting(post(number), THERE) for number in range(20)]
    with explained() as plans:
        store.quarantined(THERE, [one.post.digest for one in copies])
        assert len(plans) == 1  # all that it costs where nothing waits
        store.quarantine(copies, now=1)
        store.quarantined(THERE, [one.post.digest for one in copies])
        store.waiting_origins()
        numbers = [entry.id for entry in store.waiting(5, 10)]
        store.waiting_copies(numbers)
        store.drop_waiting(numbers)
        store.forget_peer(THERE)
    store.close()
    reads_all = re.compile(r"SCAN quarantine(?! USING COVERING INDEX)")
    bad = {statement: plan for statement, plan in plans.items() if reads_all.search(plan)}
    assert {one for one in bad if "LIMIT 1" not in one and "max(id)" not in one} == set()
