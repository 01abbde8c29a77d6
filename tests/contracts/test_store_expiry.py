"""How every store forgets: floors, what is kept of an origin, and what readers notice of it."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.node.ports import Added, Keep, Peer, Query, Store
from replicator.protocol.cursor import decode_cursor, encode_cursor
from replicator.protocol.ids import Cursor, Digest
from replicator.protocol.post import Post, post_of
from tests.support.posts import (
    HERE,
    OTHER_POOL,
    POOL,
    THERE,
    content,
    post,
    published,
    received,
    signature,
)

pytest_plugins = ["tests.support.store_fixtures"]

IN_POOL = frozenset({POOL})


def expire(store: Store, keep: Keep | None = None) -> int:
    """Remove all that is not kept; return how much went."""
    removed = 0
    while step := store.expire(keep or Keep(), now=1):
        removed += step
    return removed


def held(store: Store) -> set[Digest]:
    return {digest for digest, _ in store.digests()}


def pages(store: Store, query: Query, after: Cursor | None = None) -> Iterator[list[Post]]:
    more = True
    while more:
        page = store.page(query, after)
        assert page.cursor != after or not page.more
        yield [*page.posts]
        after, more = page.cursor, page.more


def everything(store: Store, query: Query, after: Cursor | None = None) -> list[Post]:
    return [one for page in pages(store, query, after) for one in page]


def test_the_floor_moves_up_and_never_down(store: Store) -> None:
    assert store.floor() == 0
    store.raise_floor(50)
    store.raise_floor(20)
    assert store.floor() == store.totals().floor == 50


def test_what_the_floor_rose_past_since_it_was_judged_is_not_stored_again(store: Store) -> None:
    late = [received(post(number)) for number in range(3)]
    store.add(late, now=1)
    store.raise_floor(2)
    expire(store)
    store.add_peer(THERE, None, now=1)
    outcomes = [Added.DECIDED, Added.DECIDED, Added.KNOWN]
    assert store.add(late, now=2) == outcomes
    assert store.record_pull(THERE, None, None, posts=late, now=2) == outcomes
    assert held(store) == {post(2).digest}
    assert store.last_change() == 3


def test_what_is_below_the_floor_goes_and_is_forgotten(store: Store) -> None:
    posts = [post(number, tags=["a"], node=f"node-{number % 3}") for number in range(9)]
    store.add([published(each) for each in posts], now=1)
    store.decide([post(2, text="unwanted")], [POOL], "policy", now=1)
    store.raise_floor(5)
    assert expire(store) > 0
    assert held(store) == {each.digest for each in posts[5:]}
    assert everything(store, Query()) == everything(store, Query(scopes=IN_POOL)) == posts[5:]
    totals = store.totals()
    assert (totals.posts, totals.size) == (4, sum(each.size for each in posts[5:]))
    assert (totals.decided, totals.last_change) == (0, 9)
    assert store.known([each.digest for each in posts[:5]]) == set()
    assert store.lane(Peer(THERE), IN_POOL, 500, 1 << 40).refs == tuple(
        each.ref for each in posts[5:]
    )
    assert expire(store) == 0


def test_expiring_where_there_is_nothing_to_do_does_nothing(store: Store) -> None:
    assert expire(store, Keep(posts=1, size=1)) == 0
    store.add([published(post(1))], now=1)
    assert expire(store, Keep(posts=1, size=post(1).size)) == 0
    assert held(store) == {post(1).digest}


@pytest.mark.parametrize("by_size", [False, True])
def test_of_an_origin_its_newest_posts_are_kept(store: Store, by_size: bool) -> None:
    ours = [post(number) for number in (10, 11, 12, 13, 14, 15)]
    theirs = [post(number, node=THERE) for number in (1, 2)]
    store.add([published(each) for each in ours[::-1]], now=1)
    store.add([received(each) for each in theirs], now=1)
    size = sum(each.size for each in ours[-3:]) + 5
    assert expire(store, Keep(size=size) if by_size else Keep(posts=3)) == 3
    assert held(store) == {each.digest for each in (*ours[3:], *theirs)}
    assert store.origin_floors([HERE, THERE]) == {HERE: 13}
    assert store.floor() == 0


def many_at(moment: int, number: int) -> Post:
    """Return one of many posts of an origin that were published in one moment."""
    made = replace(content(moment * 100 + number), published=moment)
    return post_of(made, [signature(POOL, made.id)], Limits())


def test_posts_of_one_moment_go_together(store: Store) -> None:
    moment = [many_at(5, number) for number in range(3)]
    store.add([received(each) for each in (*moment, many_at(6, 0))], now=1)
    assert expire(store, Keep(posts=3)) == 3
    assert store.origin_floors([HERE]) == {HERE: 6}
    assert held(store) == {many_at(6, 0).digest}


def test_an_expired_post_is_decided_against_and_does_not_come_back(store: Store) -> None:
    store.add([received(post(number)) for number in range(6)], now=1)
    expire(store, Keep(posts=2))
    gone = [post(number).digest for number in range(4)]
    assert store.known(gone) == set(gone)
    assert store.held(gone) == set()
    assert store.add([received(post(0))], now=2) == [Added.DECIDED]
    with store.reconciled(POOL, 0) as items:
        assert len(items) == 6
    store.raise_floor(4)
    expire(store, Keep(posts=2))
    assert store.known(gone) == set()
    with store.reconciled(POOL, 0) as items:
        assert len(items) == 2
    assert store.origin_floors([HERE]) == {}


def test_one_call_removes_a_bounded_number(make_store: Callable[[Limits], Store]) -> None:
    store = make_store(Limits(expire_items_max=10))
    store.add([received(post(number)) for number in range(35)], now=1)
    store.raise_floor(25)
    left = []
    while store.expire(Keep(), now=1):
        left.append(store.totals().posts)
    assert left[:3] == [25, 15, 10]
    store.add([received(post(number, node="b")) for number in range(25, 60)], now=1)
    removed = store.expire(Keep(posts=4), now=1)
    assert 0 < removed <= 10
    expire(store, Keep(posts=4))
    assert held(store) == {
        *(post(number).digest for number in range(31, 35)),
        *(post(number, node="b").digest for number in range(56, 60)),
    }


def test_a_moment_with_more_posts_than_a_batch_goes_whole(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(expire_items_max=5))
    moment = [many_at(7, number) for number in range(23)]
    store.add([received(each) for each in (*moment, many_at(8, 0), many_at(9, 1))], now=1)
    expire(store, Keep(posts=4))
    assert held(store) == {many_at(8, 0).digest, many_at(9, 1).digest}
    assert store.origin_floors([HERE]) == {HERE: 8}


def test_the_floor_rises_where_too_many_digests_are_remembered(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(decided_items_max=10, expire_items_max=7))
    unwanted = [post(number, node=THERE) for number in range(30)]
    store.decide(unwanted, [POOL], "policy", now=1)
    store.add([received(post(25))], now=1)
    assert store.totals().decided == 30
    expire(store)
    assert store.totals().decided == 10
    assert store.floor() == 20
    assert held(store) == {post(25).digest}
    with store.reconciled(POOL, 0) as items:
        assert len(items) == 11


def test_whoever_has_posts_decided_against_removes_no_post_by_that(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(decided_items_max=10, expire_items_max=7))
    history = [received(post(number)) for number in (5, 25)]
    store.add(history, now=1)
    twice = [post(number, node=THERE, text=text) for number in range(100, 129) for text in "ab"]
    store.add([received(each) for each in twice], now=1)
    assert store.totals().decided == 29
    expire(store)
    assert {each.post.digest for each in history} <= held(store)
    assert store.floor() <= 5
    # nor does what is remembered grow without end: the oldest of it is forgotten
    assert store.totals().decided == 10
    with store.reconciled(POOL, 0) as items:
        count = 2 + 29 + 10
        assert len(items) == count
        assert (
            items.total(0, count)
            == sum(int.from_bytes(digest, "little") for _, digest in items.slice(0, count)) % 2**256
        )
    assert expire(store) == 0


def test_gaps_below_a_floor_are_closed(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    gaps = [post(number).ref for number in range(6)] + [post(2, node="b").ref]
    store.record_pull(THERE, None, None, gaps=gaps, now=1)
    store.raise_floor(2)
    expire(store)
    assert store.gaps(THERE, 99) == gaps[2:]
    store.add([received(post(number)) for number in range(10, 14)], now=1)
    expire(store, Keep(posts=1))
    assert store.gaps(THERE, 99) == [post(2, node="b").ref]


# what readers notice


def test_a_cursor_on_an_expired_entry_stays_good(store: Store) -> None:
    store.add([received(post(number)) for number in range(4)], now=1)
    cursor = store.page(Query(limit=2), None).cursor
    end = store.end_cursor()
    store.raise_floor(3)
    expire(store)
    assert everything(store, Query(), cursor) == [post(3)]
    store.raise_floor(9)
    expire(store)
    for place in (None, cursor, end):
        page = store.page(Query(), place)
        assert (page.posts, page.more, page.remaining) == ((), False, 0)
        assert store.page(Query(), page.cursor).cursor == page.cursor
    store.add([received(post(10))], now=2)
    assert everything(store, Query(), end) == everything(store, Query(), cursor) == [post(10)]


def test_sequences_of_expired_entries_are_not_drawn_again(store: Store) -> None:
    store.add([published(post(number)) for number in range(3)], now=1)
    store.raise_floor(9)
    expire(store)
    assert store.last_change() == store.totals().last_change == 3
    store.add([published(post(9))], now=2)
    assert store.last_change() == 4
    assert decode_cursor(store.end_cursor()).sequence == 4
    assert store.lane(Peer(THERE, pushed=3), IN_POOL, 5, 1 << 40).positions == (4,)


def test_a_cursor_past_the_end_or_of_another_log_stays_bad_after_expiry(store: Store) -> None:
    store.add([received(post(number)) for number in range(4)], now=1)
    own = decode_cursor(store.end_cursor())
    store.raise_floor(3)
    expire(store)
    for bad in (
        encode_cursor(own.log_id, 5, post(3).digest),
        encode_cursor(own.log_id, 4, Digest("0" * 64)),
        encode_cursor(b"\0" * 8, 1, post(0).digest),
    ):
        with pytest.raises(Refusal) as caught:
            store.page(Query(), bad)
        assert caught.value.code is ErrorCode.BAD_CURSOR


def test_any_number_of_removed_entries_are_passed_at_once(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(scan_rows_max=10))
    store.add([published(post(number)) for number in range(95)], now=1)
    store.raise_floor(90)
    expire(store)
    for query in (Query(), Query(scopes=IN_POOL)):
        page = store.page(query, None)
        assert [one.published for one in page.posts] == [90, 91, 92, 93, 94]
        assert not page.more
    store.add([published(post(number), pools=[OTHER_POOL]) for number in range(95, 120)], now=1)
    found = list(pages(store, Query(scopes=frozenset({OTHER_POOL}))))
    assert [len(page) for page in found] == [5, 10, 10]
    lane = store.lane(Peer(THERE), IN_POOL, 3, 1 << 40)
    assert (lane.positions, lane.upto) == ((91, 92, 93), 93)


def test_a_page_tells_how_many_entries_may_follow(store: Store) -> None:
    store.add([received(post(number)) for number in range(10)], now=1)
    page = store.page(Query(limit=4), None)
    refs = store.ref_page(Query(limit=4), None)
    assert page.remaining == refs.remaining == 6
    assert store.page(Query(), page.cursor).remaining == 0


def test_a_post_of_several_pools_goes_from_all(store: Store) -> None:
    store.add([published(post(1)), published(post(8))], now=1)
    store.add([published(post(1), pools=[POOL, OTHER_POOL])], now=1)
    store.raise_floor(5)
    expire(store)
    assert everything(store, Query(scopes=frozenset({OTHER_POOL}))) == []
    lane = store.lane(Peer(THERE), frozenset({POOL, OTHER_POOL}), 5, 1 << 40)
    assert (lane.refs, lane.upto) == ((post(8).ref,), 3)
    assert store.last_change() == 3
