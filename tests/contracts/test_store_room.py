"""What every store does where its quota is used up: posts wait, all else goes on."""

from collections.abc import Callable

import pytest

from replicator.errors import StoreFull
from replicator.limits import Limits
from replicator.node.ports import Keep, Query, Store
from tests.support.posts import HERE, THERE, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

MIB = 1024 * 1024
MakeStores = Callable[..., Store]


def fill(store: Store) -> int:
    """Add posts until there is no room for another; return how many fit."""
    number = 0
    while not store.is_full():
        items = [published(post(each, text="x" * 50_000)) for each in range(number, number + 5)]
        store.add(items, now=1)
        number += 5
        assert number < 200
    return number


def test_a_store_without_a_quota_has_room(store: Store) -> None:
    assert not store.is_full()
    assert not store.totals().full


def test_a_full_store_takes_no_posts_and_changes_nothing(make_stores: MakeStores) -> None:
    store = make_stores(Limits(), 2 * MIB)
    count = fill(store)
    store.add_peer(THERE, None, now=1)
    end, totals = store.end_cursor(), store.totals()
    assert totals.full
    another = post(1_000)
    for call in (
        lambda: store.add([received(another)], now=2),
        lambda: store.publish([published(another)], now=2),
        lambda: store.record_pull(THERE, None, end, posts=[received(another)], now=2),
    ):
        with pytest.raises(StoreFull):
            call()
    assert (store.end_cursor(), store.totals(), totals.posts) == (end, totals, count)
    peer = store.peer(THERE)
    assert peer is not None
    assert peer.pulled is None


def test_a_full_store_goes_on_with_all_but_posts(make_stores: MakeStores) -> None:
    store = make_stores(Limits(), 2 * MIB)
    fill(store)
    end = store.end_cursor()
    assert store.add([], now=2) == store.publish([], now=2) == []
    assert store.add_peer(THERE, None, now=2)
    store.record_pull(THERE, None, end, gaps=[post(1_000).ref], now=2)
    assert store.gaps(THERE, 9) == [post(1_000).ref]
    store.move_lane(THERE, 0, 3)
    store.decide([post(1_001)], [], "policy", now=2)
    assert store.page(Query(limit=1), None).posts


def test_room_that_expiry_made_is_used_again(make_stores: MakeStores) -> None:
    store = make_stores(Limits(), 2 * MIB)
    count = fill(store)
    while store.expire(Keep(posts=count // 2), now=2):
        pass
    assert not store.is_full()
    assert fill_again(store, count) > 0
    assert store.origin_floors([HERE])


def fill_again(store: Store, start: int) -> int:
    number = start
    while not store.is_full():
        store.add([published(post(number, text="y" * 50_000))], now=3)
        number += 1
        assert number < start + 200
    return number - start
