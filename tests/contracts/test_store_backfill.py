"""How every store keeps ways through logs that are not at their end."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Table

from replicator.adapters.sql.bulk import insert_rows
from replicator.adapters.sql.store import SqlStore
from replicator.errors import CursorConflict, StoreFull
from replicator.limits import Limits
from replicator.node.ports import Added, Backfill, Query, Store
from replicator.protocol.ids import Cursor, NodeId
from tests.support.posts import POOL, THERE, post, received

pytest_plugins = ["tests.support.store_fixtures"]

EVE = NodeId("eve.example")
ALL, AGAIN, SOME = "{}", '{"again":true}', '{"filter":{"nodes":["a"]}}'
WHOLE = (ALL, AGAIN)
MakeStore = Callable[..., Store]


def job(store: Store, peer: NodeId = THERE) -> Backfill:
    (found,) = store.backfills(peer)
    return found


def test_a_backfill_is_noted_for_each_peer_and_given_in_order(store: Store) -> None:
    assert store.backfills() == []
    store.add_backfills([THERE, EVE], ALL, "why", now=5)
    store.add_backfills([THERE], SOME, "other", now=6)
    first, second, third = store.backfills()
    assert (first.peer, second.peer, third.query) == (EVE, THERE, SOME)
    assert store.backfills(THERE) == [second, third]
    assert second == Backfill(second.id, THERE, ALL, None, "why", 5)
    store.add_backfills([], ALL, "none", now=7)
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
    store.add_backfills([THERE], SOME, "other", now=3)
    store.add_backfills([THERE], ALL, "again", now=9)
    assert [job.query for job in store.backfills()] == [SOME, ALL]
    anew = store.backfills()[1]
    assert anew.id > first.id
    assert anew == replace(first, id=anew.id, reason="again", created_at=9)


def test_a_page_from_before_a_new_start_does_not_move_it(store: Store) -> None:
    store.add_backfills([THERE], ALL, "why", now=1)
    under_way = job(store)
    store.add_backfills([THERE], ALL, "again", now=2)
    with pytest.raises(CursorConflict):
        store.move_backfill(under_way, Cursor("c1"), posts=[received(post(1))], now=3)
    with pytest.raises(CursorConflict):
        store.end_backfill(under_way)
    assert job(store).cursor is None
    assert store.held([post(1).digest]) == set()


def ask(store: Store, *names: str, peer: NodeId = THERE) -> None:
    """Start one after another, each for something else."""
    for name in names:
        store.add_backfills([peer], name, f"why {name}", now=1, whole=WHOLE)


def queries(store: Store, peer: NodeId = THERE) -> list[str]:
    return [job.query for job in store.backfills(peer)]


def test_beyond_the_bound_one_for_everything_takes_the_place_of_all_but_the_oldest(
    make_store: MakeStore,
) -> None:
    store = make_store(Limits(backfills_per_peer_max=3))
    ask(store, "a", "b", "c")
    oldest, second, _ = store.backfills(THERE)
    store.move_backfill(oldest, Cursor("c1"), posts=[received(post(1))], remaining=9, now=2)
    ask(store, "d")
    assert queries(store) == ["a", ALL]
    kept, widened = store.backfills(THERE)
    assert kept == replace(oldest, cursor=Cursor("c1"), posts=1, remaining=9)
    assert widened == Backfill(widened.id, THERE, ALL, None, "why d", 1)
    with pytest.raises(CursorConflict):
        store.move_backfill(second, Cursor("c1"), posts=[received(post(2))], now=3)
    assert store.held([post(2).digest]) == set()


def test_one_for_everything_waits_behind_one_that_is_under_way(make_store: MakeStore) -> None:
    store = make_store(Limits(backfills_per_peer_max=2))
    ask(store, ALL)
    store.move_backfill(job(store), Cursor("c1"), now=2)
    ask(store, "a")
    assert queries(store) == [ALL, "a"]
    for name in ("b", "c", "d"):
        ask(store, name)
        assert queries(store) == [ALL, AGAIN]
        assert [job.cursor for job in store.backfills(THERE)] == ["c1", None]
    store.end_backfill(store.backfills(THERE)[0])
    store.move_backfill(job(store), Cursor("c1"), now=3)
    ask(store, "e", "f")
    assert queries(store) == [AGAIN, ALL]
    assert [job.cursor for job in store.backfills(THERE)] == ["c1", None]


def test_the_bound_of_one_peer_is_not_that_of_others(make_store: MakeStore) -> None:
    store = make_store(Limits(backfills_per_peer_max=2))
    crowd = [NodeId(f"invented-{number}") for number in range(30)]
    for name in "abc":
        store.add_backfills(crowd, name, "why", now=1, whole=WHOLE)
    ask(store, "a", "b")
    ask(store, "a", peer=EVE)
    assert (queries(store), queries(store, EVE)) == (["a", "b"], ["a"])
    assert all(queries(store, peer) == ["a", ALL] for peer in crowd)
    store.add_backfills([THERE, EVE], "c", "why", now=2, whole=WHOLE)
    assert (queries(store), queries(store, EVE)) == (["a", ALL], ["a", "c"])


def test_ways_that_nothing_stands_for_are_not_joined(make_store: MakeStore) -> None:
    store = make_store(Limits(backfills_per_peer_max=2))
    for name in "abcde":
        store.add_backfills([THERE], name, "why", now=1)
    assert queries(store) == [*"abcde"]


def test_what_dies_while_it_joins_ways_has_changed_nothing(
    open_store: Callable[..., SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(Limits(backfills_per_peer_max=2))
    ask(store, "a", "b")
    ask(store, "a", peer=EVE)
    before = store.backfills()

    def dies(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        insert_rows(connection, table, rows)
        if rows[0][1] == THERE:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("replicator.adapters.sql.backfill.insert_rows", dies)
        with pytest.raises(RuntimeError, match="killed"):
            store.add_backfills([EVE, THERE], "c", "why", now=2, whole=WHOLE)
    assert store.backfills() == before
    store.add_backfills([EVE, THERE], "c", "why", now=3, whole=WHOLE)
    assert (queries(store), queries(store, EVE)) == (["a", ALL], ["a", "c"])


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
