"""How every store keeps ways through logs that are not at their end."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from replicator.errors import CursorConflict, StoreFull
from replicator.limits import Limits
from replicator.node.ports import Added, Backfill, Query, Store
from replicator.protocol.ids import Cursor, NodeId
from tests.support.posts import POOL, THERE, post, received

pytest_plugins = ["tests.support.store_fixtures"]

EVE = NodeId("eve.example")
ALL, SOME = "{}", '{"filter":{"nodes":["a"]}}'
MakeStore = Callable[..., Store]


def job(store: Store, peer: NodeId = THERE) -> Backfill:
    (found,) = store.backfills(peer)
    return found


def test_a_backfill_is_noted_for_each_peer_and_given_in_order(store: Store) -> None:
    assert store.backfills() == []
    assert store.add_backfills([THERE, EVE], ALL, "why", now=5) == [EVE, THERE]
    assert store.add_backfills([THERE], SOME, "other", now=6) == [THERE]
    first, second, third = store.backfills()
    assert (first.peer, second.peer, third.query) == (EVE, THERE, SOME)
    assert store.backfills(THERE) == [second, third]
    assert second == Backfill(second.id, THERE, ALL, None, "why", 5)
    assert store.add_backfills([], ALL, "none", now=7) == []
    store.add_peer(THERE, "http://there", 1)
    store.forget_peer(THERE)
    assert store.backfills() == [first]


def test_a_page_is_committed_with_the_cursor(store: Store) -> None:
    store.add_backfills([THERE], ALL, "why", now=1)
    gap = post(2).ref
    before = job(store)
    outcomes = store.move_backfill(
        before, Cursor("c1"), posts=[received(post(1))], gaps=[gap], remaining=7, now=2
    )
    assert outcomes == [Added.STORED]
    assert store.held([post(1).digest])
    assert store.gaps(THERE, 10) == [gap]
    moved = job(store)
    assert moved == replace(before, cursor=Cursor("c1"), posts=1, remaining=7)
    store.move_backfill(moved, Cursor("c2"), posts=[received(post(3))], now=3)
    assert job(store) == replace(moved, cursor=Cursor("c2"), posts=2, remaining=None)
    store.move_backfill(job(store), None, now=4)
    assert job(store) == before


def test_whoever_comes_second_with_a_backfill_saves_nothing(store: Store) -> None:
    store.add_backfills([THERE], ALL, "why", now=1)
    before = job(store)
    store.move_backfill(before, Cursor("c1"), now=2)
    with pytest.raises(CursorConflict):
        store.move_backfill(before, Cursor("c1"), posts=[received(post(1))], now=2)
    with pytest.raises(CursorConflict):
        store.end_backfill(before)
    assert store.held([post(1).digest]) == set()
    store.end_backfill(job(store))
    assert store.backfills() == []
    with pytest.raises(CursorConflict):
        store.move_backfill(replace(before, cursor=Cursor("c1")), Cursor("c2"), now=3)


def test_one_that_is_started_again_begins_at_the_epoch(store: Store) -> None:
    store.add_backfills([THERE], ALL, "why", now=1)
    first = job(store)
    store.move_backfill(first, Cursor("c1"), posts=[received(post(1))], remaining=3, now=2)
    assert store.add_backfills([THERE], ALL, "again", now=9) == [THERE]
    assert job(store) == replace(first, reason="again", created_at=9)


def test_the_number_of_backfills_is_bounded(make_store: MakeStore) -> None:
    store = make_store(Limits(backfills_max=2))
    assert store.add_backfills([NodeId(name) for name in "abc"], ALL, "why", now=1) == ["a", "b"]
    assert store.add_backfills([NodeId("c")], SOME, "why", now=1) == []
    assert store.add_backfills([NodeId("a")], ALL, "again", now=2) == ["a"]
    store.end_backfill(job(store, NodeId("b")))
    assert store.add_backfills([NodeId("c")], ALL, "why", now=3) == ["c"]


def test_without_room_no_page_is_committed(make_stores: MakeStore) -> None:
    store = make_stores(Limits(), quota_bytes=1)
    if not store.is_full():
        store.add([received(post(9))], now=1)
    store.add_backfills([THERE], ALL, "why", now=1)
    with pytest.raises(StoreFull):
        store.move_backfill(job(store), Cursor("c1"), posts=[received(post(1))], now=2)
    assert job(store).cursor is None


def test_what_backfills_were_started_for_is_kept(store: Store) -> None:
    assert store.filled() == set()
    store.note_filled({"a", "b"}, now=1)
    store.note_filled({"b", "c"}, now=2)
    assert store.filled() == {"b", "c"}
    store.note_filled(set(), now=3)
    assert store.filled() == set()


def test_a_held_post_is_shown_in_a_further_pool_as_if_it_had_come_then(store: Store) -> None:
    store.add([received(post(1), pools=())], now=1)
    store.add_backfills([THERE], ALL, "why", now=1)
    in_pool = Query(scopes=frozenset({POOL}))
    end = store.end_cursor()
    shown = received(post(1), node=THERE, pools=(POOL,))
    assert store.move_backfill(job(store), end, posts=[shown], now=2) == [Added.KNOWN]
    assert store.page(in_pool, None).posts == (post(1),)
    assert len(store.page(in_pool, end).posts) == 1
    with store.reconciled(POOL, 0) as items:
        assert len(items) == 1
