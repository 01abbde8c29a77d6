"""The contract of `WorkState` for several holders of one post, over memory, Valkey and Redis."""

import itertools
from collections.abc import Callable

from replicator.adapters.redis.work import RedisWorkState
from replicator.limits import Limits
from replicator.node.ports import FetchLease, Settlement, Wanted, WorkState
from replicator.protocol.ids import NodeId
from tests.support.refs import digest, ref, refs
from tests.support.valkey import PrivateServer, new_prefix

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A, B, C = NodeId("a.example"), NodeId("b.example"), NodeId("c.example")
TICK_MS = int(Limits().tick_seconds * 1000)
MANY_BYTES = 1 << 40
MakeWork = Callable[[Limits], WorkState]
QUEUED, LATER, FULL, DEAD = Wanted.QUEUED, Wanted.LATER, Wanted.FULL, Wanted.DEAD


def leased(work: WorkState, holder: NodeId, now: int = NOW, limit: int = 500) -> FetchLease:
    """Lease, and fail where nothing is due."""
    lease = work.lease(holder, limit, MANY_BYTES, now)
    assert lease is not None
    return lease


def test_a_second_holder_is_told_later_and_is_queued_all_the_same(work: WorkState) -> None:
    assert work.want(A, refs(2), NOW) == [QUEUED, QUEUED]
    assert work.want(B, refs(3), NOW) == [LATER, LATER, QUEUED]
    assert work.want(A, refs(3), NOW) == [LATER, LATER, LATER]
    assert work.queued() == {A: 3, B: 3}


def test_a_ref_named_twice_is_not_its_own_other_holder(work: WorkState) -> None:
    assert work.want(A, [ref(0), ref(0)], NOW) == [QUEUED, QUEUED]
    assert work.want(B, [ref(0), ref(0)], NOW) == [LATER, LATER]


def test_whoever_is_left_alone_with_an_item_is_its_only_holder(work: WorkState) -> None:
    for holder in (A, B):
        work.want(holder, refs(3), NOW)
    outcome = Settlement(missing=(digest(0),), dead={digest(1): "no"}, failed={digest(2): NOW + 1})
    assert work.settle(leased(work, A), outcome, NOW)
    assert work.want(B, refs(3), NOW) == [QUEUED, QUEUED, LATER]
    assert work.want(A, refs(3), NOW) == [LATER, DEAD, LATER]


def test_what_is_done_has_no_holder_left(work: WorkState) -> None:
    for holder in (A, B, C):
        work.want(holder, refs(2), NOW)
    names = (digest(0), digest(1), digest(0))
    assert work.settle(leased(work, A), Settlement(done=names), NOW)
    assert work.queued() == {}
    assert work.want(C, refs(2), NOW) == [QUEUED, QUEUED]


def test_what_is_done_though_only_another_holder_had_it_leaves_that_queue(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    work.want(B, refs(1, first=1), NOW)
    assert work.settle(leased(work, A), Settlement(done=(digest(0), digest(1))), NOW)
    assert work.queued() == {}


def test_the_next_holder_is_asked_where_the_first_one_failed(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    work.want(B, refs(1), NOW)
    first = leased(work, A)
    assert work.lease(B, 500, MANY_BYTES, NOW) is None, "in flight once"
    work.settle(first, Settlement(failed={digest(0): NOW + 60_000}), NOW)
    assert leased(work, B, NOW + TICK_MS).items[0].ref == ref(0)


def test_leasing_ends_where_others_have_claimed_every_due_item(work: WorkState) -> None:
    work.want(A, refs(1200), NOW)
    work.want(B, refs(1200), NOW)
    leased(work, A, limit=1200)
    assert work.lease(B, 500, MANY_BYTES, NOW) is None
    assert work.due_holders(NOW, 10) == []
    assert work.lease(B, 500, MANY_BYTES, NOW + TICK_MS) is None


def test_a_full_queue_and_a_dead_letter_are_told_apart(make_work: MakeWork) -> None:
    work = make_work(Limits(fetch_queue_items_max=1))
    work.want(A, refs(1), NOW)
    work.settle(leased(work, A), Settlement(dead={digest(0): "no"}), NOW)
    assert work.want(A, refs(3), NOW) == [DEAD, QUEUED, FULL]
    assert work.want(A, refs(1), NOW) == [DEAD]


def test_a_forgotten_holder_is_no_holder(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    work.want(B, refs(2), NOW)
    work.forget(A)
    assert work.want(B, refs(2), NOW) == [QUEUED, QUEUED]


def test_a_queue_that_expired_stops_counting(valkey_server: PrivateServer) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    work.want(A, refs(1500), NOW)
    work.want(B, refs(1), NOW)
    with valkey_server.client() as client:
        client.delete(f"{prefix}fetch:queue:{A}")
        assert work.want(C, [ref(1)], NOW)[0] in (QUEUED, LATER), "a stale count says later"
        for number in itertools.count(2):
            if not client.exists(f"{prefix}fetch:items:{A}"):
                break
            work.want(C, [ref(number)], NOW)
            assert number < 500, "no want looked after the expired queue"
        counts = client.hgetall(f"{prefix}fetch:holders")
        assert sum(int(count) for count in counts.values()) == sum(work.queued().values())
    assert work.want(B, refs(1), NOW) == [QUEUED]
    work.close()


def test_what_is_done_is_counted_no_more_even_where_a_queue_was_lost(
    valkey_server: PrivateServer,
) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    work.want(A, refs(1), NOW)
    with valkey_server.client() as client:
        client.delete(f"{prefix}fetch:queue:{A}", f"{prefix}fetch:items:{A}")
    assert work.want(B, refs(1), NOW) == [LATER], "nobody knows that it is lost"
    assert work.settle(leased(work, B), Settlement(done=(digest(0),)), NOW)
    assert work.want(C, refs(1), NOW) == [QUEUED]
    work.close()


def test_a_queue_that_expired_is_wanted_anew(valkey_server: PrivateServer) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    work.want(A, refs(2), NOW)
    with valkey_server.client() as client:
        client.delete(f"{prefix}fetch:queue:{A}")
    assert work.want(A, refs(1), NOW) == [QUEUED]
    assert [item.ref for item in leased(work, A).items] == refs(1)
    assert work.queued() == {A: 1}
    work.close()


def test_the_counts_outlive_what_they_count_and_that_outlives_its_queue(
    valkey_server: PrivateServer,
) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    work.want(A, refs(2), NOW)
    with valkey_server.client() as client:
        lives = [client.ttl(f"{prefix}fetch:{n}") for n in (f"queue:{A}", f"items:{A}", "holders")]
    assert 0 < lives[0] < lives[1] < lives[2]
    work.close()
