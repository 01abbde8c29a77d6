"""How every store reads its change log: in order, in pages, within scopes, by a cursor."""

from collections.abc import Callable, Iterator

import pytest

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.node.ports import Query, Store
from replicator.protocol.cursor import decode_cursor, encode_cursor
from replicator.protocol.ids import Cursor, Digest
from replicator.protocol.messages import Filter
from replicator.protocol.post import Post
from tests.support.posts import OTHER_POOL, POOL, key, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

IN_POOL = frozenset({POOL})


def walk(store: Store, query: Query, after: Cursor | None = None) -> Iterator[tuple[Post, ...]]:
    """Give page after page until there is no more."""
    more = True
    while more:
        page = store.page(query, after)
        assert page.cursor != after or not page.more
        yield page.posts
        after, more = page.cursor, page.more


def everything(store: Store, query: Query, after: Cursor | None = None) -> list[Post]:
    return [each for page in walk(store, query, after) for each in page]


def test_an_empty_log_has_an_empty_page_and_the_cursor_stays(store: Store) -> None:
    page = store.page(Query(), None)
    assert (page.posts, page.more, page.cursor) == ((), False, store.end_cursor())
    assert store.page(Query(), page.cursor) == page


def test_pages_follow_the_order_of_storing(store: Store) -> None:
    posts = [post(number) for number in (5, 3, 9, 1, 7)]
    for each in posts:
        store.add([published(each)], now=1)
    assert list(walk(store, Query(limit=2))) == [
        (posts[0], posts[1]),
        (posts[2], posts[3]),
        (posts[4],),
    ]


def test_a_cursor_at_the_end_gives_what_comes_later(store: Store) -> None:
    store.add([published(post(1))], now=1)
    cursor = store.end_cursor()
    assert store.page(Query(), cursor).cursor == cursor
    assert not store.page(Query(), cursor).more
    store.add([published(post(2))], now=1)
    page = store.page(Query(), cursor)
    assert (page.posts, page.more, page.cursor) == ((post(2),), False, store.end_cursor())


def test_a_page_of_refs_is_a_page_of_posts(store: Store) -> None:
    store.add([published(post(number, tags=["a"])) for number in range(7)], now=1)
    query = Query(scopes=IN_POOL, filter=Filter(tags=("a",)), limit=3, bytes_max=700)
    after = None
    for _ in range(4):
        page, refs = store.page(query, after), store.ref_page(query, after)
        assert tuple(each.ref for each in page.posts) == refs.refs
        assert (page.cursor, page.more) == (refs.cursor, refs.more)
        after = page.cursor


def test_a_page_stays_within_its_bytes_but_gives_at_least_one(store: Store) -> None:
    posts = [post(number, text="x" * size) for number, size in enumerate((900, 10, 10, 900, 10))]
    store.add([published(each) for each in posts], now=1)
    room = posts[1].size * 2
    assert [len(page) for page in walk(store, Query(bytes_max=room))] == [1, 2, 1, 1]
    assert everything(store, Query(bytes_max=0)) == posts


def test_a_page_looks_at_a_bounded_number_of_entries(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(scan_rows_max=10))
    store.add([published(post(number)) for number in range(25)], now=1)
    store.add([published(post(25, tags=["rare"]))], now=1)
    query = Query(filter=Filter(tags=("rare",)))
    assert list(walk(store, query)) == [(), (), (post(25, tags=["rare"]),)]
    assert [len(page) for page in walk(store, Query())] == [10, 10, 6]


def test_readers_see_their_pools_alone(store: Store) -> None:
    one, two, both, none = post(1), post(2), post(3), post(4)
    store.add([published(one), received(two, pools=[OTHER_POOL])], now=1)
    store.add([received(both, pools=[POOL, OTHER_POOL]), received(none, pools=[])], now=1)
    assert everything(store, Query(scopes=IN_POOL)) == [one, both]
    assert everything(store, Query(scopes=frozenset({POOL, OTHER_POOL}))) == [one, two, both]
    assert everything(store, Query(scopes=frozenset({key("unheard of")}))) == []
    assert everything(store, Query(scopes=frozenset())) == []
    assert everything(store, Query()) == [one, two, both, none]


def test_a_reader_past_a_post_sees_it_when_it_joins_the_readers_pool(store: Store) -> None:
    store.add([received(post(1), pools=[OTHER_POOL]), received(post(2))], now=1)
    cursor = store.end_cursor()
    store.add([received(post(1), pools=[POOL, OTHER_POOL])], now=2)
    assert everything(store, Query(scopes=IN_POOL), cursor) == [post(1)]
    assert everything(store, Query(scopes=IN_POOL)) == [post(2), post(1)]
    # whoever saw it before does not see it again
    assert everything(store, Query(scopes=frozenset({OTHER_POOL})), cursor) == []
    assert everything(store, Query(), cursor) == []


def test_a_follower_of_everything_sees_each_post_once(store: Store) -> None:
    seen: list[Post] = []
    cursor = None
    for number in range(6):
        store.add([received(post(number), pools=[])], now=1)
        store.add([received(post(number // 2), pools=[POOL])], now=1)
        page = store.page(Query(), cursor)
        seen += page.posts
        cursor = page.cursor
    assert [each.id for each in seen] == [post(number).id for number in range(6)]


def test_a_cursor_may_stand_on_an_entry_that_its_reader_does_not_see(store: Store) -> None:
    store.add([received(post(1), pools=[]), received(post(2), pools=[])], now=1)
    page = store.page(Query(scopes=IN_POOL), None)
    assert page.cursor == store.end_cursor()
    store.add([received(post(1), pools=[POOL])], now=1)
    page = store.page(Query(), page.cursor)
    assert (page.posts, page.cursor) == ((), store.end_cursor())
    assert store.page(Query(), page.cursor).cursor == page.cursor


def test_the_cursor_of_a_post_that_lost_stays_good(store: Store) -> None:
    small, large = sorted((post(1, text="a"), post(1, text="b")), key=lambda one: one.digest)
    store.add([received(large)], now=1)
    cursor = store.end_cursor()
    store.add([received(small)], now=1)
    assert store.page(Query(), cursor).posts == (small,)


def cursors_of_others(store: Store) -> dict[str, Cursor]:
    own = decode_cursor(store.end_cursor())
    digest = store.page(Query(), None).posts[-1].digest
    return {
        "another log": encode_cursor(b"\0" * 8, own.sequence, digest),
        "past the end": encode_cursor(own.log_id, own.sequence + 1, digest),
        "far past the end": encode_cursor(own.log_id, 2**63 - 1, digest),
        "beyond what a database counts": encode_cursor(own.log_id, 2**64 - 1, digest),
        "another digest": encode_cursor(own.log_id, own.sequence, Digest("0" * 64)),
        "an epoch with a digest": encode_cursor(own.log_id, 0, digest),
        "too short": Cursor("AAAA"),
        "no cursor at all": Cursor("x" * 128),
        "no ASCII": Cursor("é" * 32),
        "standard base64": Cursor("+" * 32),
    }


def test_a_cursor_that_is_not_of_this_log_is_refused(store: Store) -> None:
    store.add([published(post(1)), published(post(2))], now=1)
    for cursor in cursors_of_others(store).values():
        for read in (store.page, store.ref_page):
            with pytest.raises(Refusal) as caught:
                read(Query(), cursor)
            assert caught.value.code is ErrorCode.BAD_CURSOR


@pytest.mark.parametrize("tag", ["\0", "a\0b", "\ud800", "'; DROP TABLE post; --", "%", "\u0301"])
def test_a_filter_may_name_tags_that_no_post_can_have(store: Store, tag: str) -> None:
    store.add([published(post(1, tags=["a"]))], now=1)
    assert everything(store, Query(filter=Filter(tags=(tag,)))) == []
    assert everything(store, Query(filter=Filter(tags=(tag, "a")))) == [post(1, tags=["a"])]
