"""A database of the first release, with posts in it, becomes one of this program."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from alembic import command
from sqlalchemy import text

from replicator.adapters.sql import migrate as migrating
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.migrate import check_schema, migrate
from replicator.adapters.sql.packing import pack_signatures
from replicator.adapters.sql.store import SqlStore
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.ports import Added, Equivocator, Keep, Query
from replicator.protocol.ids import origin_of
from replicator.protocol.post import Post
from replicator.rules.negentropy import SortedItems
from tests.support.posts import HERE, NODE_KEY, OTHER_POOL, POOL, THERE, post, received

pytest_plugins = ["tests.support.store_fixtures"]

COUNT = 1_500
LOST = b"\x07" * 32


def make_first(url: str, posts: list[Post]) -> None:
    """Make a database as revision 0001 did, with posts and one that lost an equivocation."""
    database = Database(url, migrates=True)
    with database.writing() as connection:
        config = migrating._config({"connection": connection})
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO pool (id, key) VALUES (1, :one), (2, :other)"),
            {"one": POOL, "other": OTHER_POOL},
        )
        rows = [row_of(number, one) for number, one in enumerate(posts, 1)]
        names = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        connection.execute(text(f"INSERT INTO post ({names}) VALUES ({marks})"), rows)  # noqa: S608 - names of columns
        entries = [{"id": row["id"], "digest": row["digest"]} for row in rows]
        change = "INSERT INTO change VALUES (:id, 'post', 1, :digest, :id)"
        connection.execute(text(change), [*entries, {"id": len(rows) + 1, "digest": LOST}])
        shown = "INSERT INTO post_pool VALUES (:pool, :id, :id)"
        connection.execute(
            text(shown), [{"pool": 1 + row["id"] % 2, "id": row["id"]} for row in entries]
        )
        connection.execute(
            text("INSERT INTO decision VALUES (:digest, 'equivocation', 5)"), {"digest": LOST}
        )
    database.close()


def row_of(number: int, one: Post) -> dict[str, object]:
    return {
        "id": number,
        "digest": bytes.fromhex(one.digest),
        "global_id": one.id,
        "node": origin_of(one.id),
        "published": one.published,
        "size": one.size,
        "thread": None,
        "received_at": 1,
        "received_from": "there.example",
        "signatures": pack_signatures(one.signatures),
        "content": one.canonical,
    }


def test_a_database_with_posts_gets_its_sets_and_counts(
    empty_url: str, open_later: Callable[[], SqlStore]
) -> None:
    posts = [
        post(number * 7 % COUNT, node=(HERE, THERE)[number % 3 == 0]) for number in range(COUNT)
    ]
    make_first(empty_url, posts)
    with pytest.raises(ConfigurationError, match="0004"):
        check_schema(empty_url)
    assert migrate(empty_url) == ["0002", "0003", "0004"]
    check_schema(empty_url)
    store = open_later()
    for offset, pool in ((1, POOL), (0, OTHER_POOL)):
        shown = [one for number, one in enumerate(posts, 1) if number % 2 != offset]
        expected = SortedItems((one.published, bytes.fromhex(one.digest)) for one in shown)
        with store.reconciled(pool, 0) as items:
            assert len(items) == len(expected) == COUNT // 2
            assert [*map(tuple, items.slice(0, COUNT))] == [*expected.slice(0, COUNT)]
            for begin, end in ((0, len(expected)), (3, 700), (400, 401)):
                assert items.total(begin, end) == expected.total(begin, end)
    totals = store.totals()
    assert (totals.posts, totals.size) == (COUNT, sum(one.size for one in posts))
    assert (totals.last_change, totals.decided) == (COUNT + 1, 1)
    first = store.page(Query(limit=2), None)
    assert list(first.posts) == posts[:2]


def test_a_migrated_database_goes_on(empty_url: str, open_later: Callable[[], SqlStore]) -> None:
    make_first(empty_url, [post(number) for number in range(COUNT)])
    migrate(empty_url)
    store = open_later()
    store.add([received(post(number)) for number in range(COUNT - 50, COUNT + 50)], now=1)
    assert store.last_change() > COUNT + 1
    while store.expire(Keep(posts=100), now=1):
        pass
    assert store.totals().posts == 100
    with store.reconciled(POOL, 0) as items:
        # half of the old ones, the other half of those that came again, and the new ones
        assert len(items) == COUNT // 2 + 25 + 50
    store.raise_floor(86_400_006)
    while store.expire(Keep(), now=1):
        pass
    assert (store.totals().posts, store.totals().decided) == (0, 0)


def test_proofs_of_before_flag_their_origins_and_are_read_with_what_is_held(
    empty_url: str, open_later: Callable[[], SqlStore]
) -> None:
    small, large = sorted((post(1, text=text) for text in "ab"), key=lambda one: one.digest)
    make_first(empty_url, [small])
    database = Database(empty_url, migrates=True)
    proof = (
        "INSERT INTO equivocation (id, global_id, kept, lost, noted_at, kept_signatures,"
        " lost_signatures, lost_content) VALUES (:id, :name, :kept, :lost, :id, :signed, :signed,"
        " :content)"
    )
    rows = [
        {
            "id": number,
            "name": small.id,
            "kept": bytes.fromhex(kept),
            "lost": bytes.fromhex(large.digest),
            "signed": pack_signatures(small.signatures),
            "content": large.canonical,
        }
        for number, kept in ((7, small.digest), (8, "0" * 64))
    ]
    with database.writing() as connection:
        connection.execute(text(proof), rows)
        decided = "INSERT INTO decision VALUES (:lost, 'equivocation', 5)"
        connection.execute(text(decided), [{"lost": bytes.fromhex(large.digest)}])
    database.close()
    migrate(empty_url)
    store = open_later()
    assert store.equivocators() == [Equivocator(HERE, 7, 8, 2)]
    not_held, held = store.equivocations()
    assert (not_held.kept_post, held.kept_post, held.lost) == (None, small, large)
    again = post(1, text="another")
    expected = Added.REPLACED if again.digest < small.digest else Added.LOST
    assert store.add([received(again)], now=9) == [expected]


def test_the_proofs_of_before_tell_who_signed_and_pinned_origins_are_judged_anew(
    empty_url: str, open_later: Callable[[], SqlStore]
) -> None:
    small, middle, large = sorted(
        (post(1, text=text) for text in "abc"), key=lambda one: one.digest
    )
    forged = post(1, text=small.content.text, signers=(POOL,))
    make_first(empty_url, [forged])
    database = Database(empty_url, migrates=True)
    proof = (
        "INSERT INTO equivocation (id, global_id, kept, lost, noted_at, kept_signatures,"
        " lost_signatures, lost_content) VALUES (:id, :name, :kept, :lost, 1, :bare, :signed,"
        " :content)"
    )
    rows = [
        {
            "id": number,
            "name": one.id,
            "kept": bytes.fromhex(forged.digest),
            "lost": bytes.fromhex(one.digest),
            "bare": pack_signatures(forged.signatures),
            "signed": pack_signatures(one.signatures),
            "content": one.canonical,
        }
        for number, one in enumerate((middle, large))
    ]
    with database.writing() as connection:
        connection.execute(text(proof), rows)
        decided = "INSERT INTO decision VALUES (:lost, 'equivocation', 5)"
        connection.execute(text(decided), [{"lost": row["lost"]} for row in rows])
        pinned = "INSERT INTO node_key VALUES (:node, :key, 'current', 1, 'operator')"
        connection.execute(text(pinned), {"node": HERE, "key": NODE_KEY})
    database.close()
    migrate(empty_url)
    store = open_later()
    step = store.reopen(9)
    assert step is not None
    assert (step.origin, step.digests, step.ended) == (HERE, (middle.digest,), True)
    assert store.known([one.digest for one in (forged, middle, large)]) == {
        middle.digest,
        large.digest,
    }
    assert store.get(ids=[forged.id]) == [middle]
    assert {proof.lost.digest for proof in store.equivocations()} >= {middle.digest, large.digest}


@pytest.fixture
def open_later(empty_url: str) -> Iterator[Callable[[], SqlStore]]:
    """Open the store of a database that is not migrated yet when the test begins."""
    with ExitStack() as stack:

        def opened() -> SqlStore:
            store = SqlStore(empty_url, Limits())
            stack.callback(store.close)
            return store

        yield opened
