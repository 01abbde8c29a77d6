"""The contract of `WorkState` for the fetch queue, over memory, Valkey and Redis."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from replicator.limits import Limits
from replicator.node.ports import DeadLetter, FetchItem, FetchLease, Settlement, Wanted, WorkState
from replicator.protocol.ids import NodeId
from tests.support.refs import digest, ref, refs
from tests.support.valkey import WorkBackend

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A, B, C = NodeId("a.example"), NodeId("b.example"), NodeId("c.example")
LEASE_MS = Limits().lease_seconds * 1000
TICK_MS = int(Limits().tick_seconds * 1000)
MANY_BYTES = 1 << 40
MakeWork = Callable[[Limits], WorkState]
QUEUED, LATER, FULL, DEAD = Wanted.QUEUED, Wanted.LATER, Wanted.FULL, Wanted.DEAD


def leased(work: WorkState, holder: NodeId, now: int, limit: int = 500) -> FetchLease:
    """Lease, and fail where nothing is due."""
    lease = work.lease(holder, limit, MANY_BYTES, now)
    assert lease is not None
    return lease


def numbers(lease: FetchLease | None) -> list[int]:
    """Return the numbers of a lease's refs."""
    return [] if lease is None else [int(item.ref.digest, 16) for item in lease.items]


# wanting


def test_what_is_wanted_is_queued_due_now_and_leased_as_it_came(work: WorkState) -> None:
    assert work.want(A, refs(3), NOW) == [QUEUED] * 3
    assert work.queued() == {A: 3}
    assert work.due_holders(NOW - 1, 10) == []
    assert work.due_holders(NOW, 10) == [A]
    lease = leased(work, A, NOW)
    assert lease.holder == A
    assert lease.items == tuple(FetchItem(wanted) for wanted in refs(3))


def test_wanting_nothing_queues_nothing(work: WorkState) -> None:
    assert work.want(A, [], NOW) == []
    assert work.queued() == {}
    assert work.lease(A, 500, MANY_BYTES, NOW) is None


def test_wanting_twice_keeps_attempts_and_time(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    work.settle(leased(work, A, NOW), Settlement(failed={digest(0): NOW + 5000}), NOW)
    assert work.want(A, [ref(0), ref(0), ref(1), ref(1)], NOW + 1) == [QUEUED] * 4
    assert work.queued() == {A: 2}
    assert numbers(leased(work, A, NOW + 4999)) == [1]
    assert leased(work, A, NOW + 5000).items == (FetchItem(ref(0), 1),)


def test_an_item_queued_before_the_clock_was_put_back_is_not_waited_for(work: WorkState) -> None:
    work.want(A, refs(3), NOW + 3_600_000)
    assert work.want(A, refs(2), NOW) == [QUEUED] * 2
    soon = NOW + int(Limits().retry_cap_seconds * 1000)
    assert numbers(work.lease(A, 500, MANY_BYTES, soon - 1)) == []
    assert work.due_holders(soon, 10) == [A]
    assert numbers(leased(work, A, soon)) == [0, 1]


def test_a_full_queue_takes_no_more_and_keeps_what_it_has(make_work: MakeWork) -> None:
    work = make_work(Limits(fetch_queue_items_max=3))
    assert work.want(A, refs(5), NOW) == [QUEUED, QUEUED, QUEUED, FULL, FULL]
    assert work.want(A, [ref(9), ref(0)], NOW) == [FULL, QUEUED]
    assert work.want(B, refs(2), NOW) == [LATER, LATER]
    assert work.queued() == {A: 3, B: 2}


def test_a_batch_beyond_what_one_command_takes_is_one_call(make_work: MakeWork) -> None:
    work = make_work(Limits())
    assert work.want(A, refs(5000), NOW) == [QUEUED] * 5000
    lease = leased(work, A, NOW, limit=5000)
    assert len(lease.items) == 5000
    done = tuple(item.ref.digest for item in lease.items)
    assert work.settle(lease, Settlement(done=done), NOW)
    assert work.queued() == {}


# leasing


def test_a_lease_takes_the_longest_due_first_within_its_bounds(work: WorkState) -> None:
    work.want(A, refs(2, first=10), NOW)
    work.want(A, refs(2), NOW + 1)
    assert numbers(leased(work, A, NOW + 1, limit=3)) == [10, 11, 0]
    assert numbers(work.lease(A, 500, MANY_BYTES, NOW + 1)) == [1]
    assert work.lease(A, 500, MANY_BYTES, NOW + 1) is None


def test_a_lease_is_bounded_in_bytes_but_never_empty(work: WorkState) -> None:
    work.want(A, [ref(0, 900), ref(1, 50), ref(2, 50), ref(3, 1)], NOW)
    assert numbers(work.lease(A, 500, 10, NOW)) == [0]
    assert numbers(work.lease(A, 500, 100, NOW)) == [1, 2]
    assert work.lease(A, 0, MANY_BYTES, NOW) is None


def test_an_item_has_one_worker_at_a_time(work: WorkState) -> None:
    work.want(A, refs(100), NOW)
    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(lambda _: work.lease(A, 7, MANY_BYTES, NOW), range(20)))
    taken = [number for lease in leases for number in numbers(lease)]
    assert sorted(taken) == list(range(100))


def test_a_digest_is_fetched_from_one_holder_at_a_time(work: WorkState) -> None:
    work.want(A, refs(3), NOW)
    work.want(B, refs(4), NOW)
    first = leased(work, A, NOW, limit=2)
    assert numbers(work.lease(B, 500, MANY_BYTES, NOW)) == [2, 3]
    assert work.lease(B, 500, MANY_BYTES, NOW) is None
    assert work.due_holders(NOW, 10) == [A], "a holder with nothing but claimed items is not due"
    assert work.settle(first, Settlement(), NOW)
    assert numbers(work.lease(B, 500, MANY_BYTES, NOW + TICK_MS)) == [0, 1]


def test_a_claim_ends_by_itself(make_work: MakeWork) -> None:
    work = make_work(Limits(claim_seconds=5))
    work.want(A, refs(1), NOW)
    work.want(B, refs(1), NOW)
    leased(work, A, NOW)
    assert work.lease(B, 500, MANY_BYTES, NOW) is None
    late = NOW
    while late < NOW + 4000:
        late += TICK_MS
        assert work.lease(B, 500, MANY_BYTES, late) is None
    assert leased(work, B, NOW + 5000).items == (FetchItem(ref(0)),)


def test_an_expired_lease_gives_its_items_back_with_a_suspicion_and_no_attempt(
    work: WorkState,
) -> None:
    work.want(A, refs(2), NOW)
    leased(work, A, NOW)
    assert work.lease(A, 500, MANY_BYTES, NOW + LEASE_MS - 1) is None
    assert work.due_holders(NOW + LEASE_MS - 1, 10) == []
    assert work.due_holders(NOW + LEASE_MS, 10) == [A]
    again = leased(work, A, NOW + LEASE_MS)
    assert again.items == (FetchItem(ref(0), 0, 1), FetchItem(ref(1), 0, 1))


def test_a_holders_own_claim_does_not_outlast_its_lease(make_work: MakeWork) -> None:
    work = make_work(Limits(claim_seconds=300))
    work.want(A, refs(1), NOW)
    leased(work, A, NOW)
    assert leased(work, A, NOW + LEASE_MS).items == (FetchItem(ref(0), 0, 1),)


# settling


def test_what_is_done_leaves_every_holders_queue(work: WorkState) -> None:
    work.want(A, refs(3), NOW)
    work.want(B, refs(2), NOW)
    work.want(C, refs(1), NOW)
    lease = leased(work, A, NOW)
    assert work.settle(lease, Settlement(done=(digest(0), digest(1))), NOW)
    assert work.queued() == {A: 1}
    assert work.due_holders(NOW, 10) == [A], "what the lease did not name is given back"


def test_what_is_done_elsewhere_leaves_a_standing_lease(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    work.want(B, refs(3), NOW)
    first = leased(work, A, NOW)
    second = leased(work, B, NOW)
    assert numbers(second) == [2]
    work.settle(second, Settlement(done=(digest(0), digest(2))), NOW)
    assert work.queued() == {A: 1, B: 1}
    assert work.settle(first, Settlement(failed={digest(0): NOW + 1, digest(1): NOW + 1}), NOW)
    assert work.queued() == {A: 1, B: 1}


def test_what_is_done_is_claimed_no_more(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    work.settle(leased(work, A, NOW), Settlement(done=(digest(0),)), NOW)
    work.want(B, refs(1), NOW)
    assert numbers(work.lease(B, 500, MANY_BYTES, NOW)) == [0]


def test_an_item_that_left_a_lease_and_came_back_is_its_next_workers(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    work.want(B, refs(1, first=5), NOW)
    first = leased(work, A, NOW)
    work.settle(leased(work, B, NOW), Settlement(done=(digest(0), digest(5))), NOW)
    work.want(A, refs(1), NOW)
    second = leased(work, A, NOW)
    assert numbers(second) == [0]
    assert work.settle(first, Settlement(missing=(digest(0), digest(1))), NOW)
    assert work.queued() == {A: 1}
    assert work.settle(second, Settlement(done=(digest(0),)), NOW)
    assert work.queued() == {}


def test_what_failed_waits_for_its_time_with_an_attempt_counted(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    outcome = Settlement(failed={digest(0): NOW + 9000, digest(1): NOW + 4000})
    assert work.settle(leased(work, A, NOW), outcome, NOW + 1)
    assert work.due_holders(NOW + 3999, 10) == []
    assert leased(work, A, NOW + 4000).items == (FetchItem(ref(1), 1),)
    assert leased(work, A, NOW + 9000).items == (FetchItem(ref(0), 1),)


def test_what_a_holder_does_not_give_leaves_its_queue_only(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    work.want(B, refs(1), NOW)
    lease = leased(work, A, NOW)
    assert work.settle(lease, Settlement(missing=(digest(0),)), NOW)
    assert work.queued() == {B: 1}
    assert numbers(leased(work, B, NOW)) == [0], "the claim went with the lease"


def test_what_a_lease_does_not_name_is_given_back_at_once(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    assert work.settle(leased(work, A, NOW), Settlement(), NOW + 7)
    assert work.due_holders(NOW + 6, 10) == []
    assert leased(work, A, NOW + 7).items == (FetchItem(ref(0)), FetchItem(ref(1)))


def test_a_lease_ends_once(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    lease = leased(work, A, NOW)
    assert work.settle(lease, Settlement(), NOW)
    assert not work.settle(lease, Settlement(missing=(digest(0),)), NOW)
    assert work.queued() == {A: 1}


def test_an_expired_lease_that_nobody_took_over_may_still_be_settled(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    lease = leased(work, A, NOW)
    assert work.settle(lease, Settlement(done=(digest(0),)), NOW + 2 * LEASE_MS)
    assert work.queued() == {}


def test_a_lease_that_was_taken_over_changes_nothing_any_more(work: WorkState) -> None:
    work.want(A, refs(3), NOW)
    late = leased(work, A, NOW)
    present = leased(work, A, NOW + LEASE_MS, limit=2)
    outcome = Settlement(done=(digest(0),), missing=(digest(1),), dead={digest(2): "no"})
    assert not work.settle(late, outcome, NOW + LEASE_MS)
    assert work.queued() == {A: 3}
    assert work.dead(10) == []
    assert work.settle(present, Settlement(done=(digest(0), digest(1))), NOW + LEASE_MS)
    assert leased(work, A, NOW + LEASE_MS).items == (FetchItem(ref(2), 0, 1),)


def test_a_digest_named_twice_takes_the_end_that_ends_most(work: WorkState) -> None:
    work.want(A, refs(3), NOW)
    lease = leased(work, A, NOW)
    everything = {digest(0): NOW + 1, digest(1): NOW + 1, digest(2): NOW + 1}
    outcome = Settlement(
        done=(digest(0),),
        missing=(digest(0), digest(1)),
        dead={digest(0): "x", digest(1): "x", digest(2): "x"},
        failed=everything,
    )
    assert work.settle(lease, outcome, NOW)
    assert work.queued() == {}
    assert [letter.ref for letter in work.dead(10)] == [ref(2)]


def test_an_outcome_for_what_was_not_leased_is_passed_over(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    lease = leased(work, A, NOW, limit=1)
    strange = {digest(1): NOW + 10**6, digest(7): NOW}
    outcome = Settlement(missing=(digest(1),), dead={digest(1): "x", digest(8): "x"})
    assert work.settle(lease, outcome, NOW)
    assert work.settle(leased(work, A, NOW, limit=1), Settlement(failed=strange), NOW)
    assert work.queued() == {A: 2}
    assert work.dead(10) == []


# dead letters


def bury(work: WorkState, holder: NodeId, number: int, now: int, reason: str = "refused") -> None:
    """Make one dead letter."""
    assert work.want(holder, [ref(number)], now) == [QUEUED]
    assert work.settle(leased(work, holder, now), Settlement(dead={digest(number): reason}), now)


def test_dead_letters_are_listed_newest_first_with_the_try_that_ended_them(
    work: WorkState,
) -> None:
    bury(work, A, 0, NOW)
    bury(work, B, 1, NOW + 1, "a longer reason: é")
    letters = [
        DeadLetter(ref(1), B, "a longer reason: é", 1, NOW + 1),
        DeadLetter(ref(0), A, "refused", 1, NOW),
    ]
    assert work.dead(10) == letters
    assert work.dead(1) == letters[:1]
    assert work.dead(0) == []


def test_a_dead_letter_is_not_wanted_again_from_its_holder_only(work: WorkState) -> None:
    bury(work, A, 0, NOW)
    assert work.want(A, refs(2), NOW) == [DEAD, QUEUED]
    assert work.want(B, refs(1), NOW) == [QUEUED]


def test_dead_letters_are_bounded_and_the_oldest_goes(make_work: MakeWork) -> None:
    work = make_work(Limits(dead_letters_max=3))
    for number in range(5):
        bury(work, A, number, NOW + number)
    assert [letter.ref for letter in work.dead(10)] == [ref(4), ref(3), ref(2)]
    assert work.want(A, [ref(0)], NOW) == [QUEUED]


def test_the_reason_of_a_dead_letter_is_cut_and_may_be_empty(make_work: MakeWork) -> None:
    work = make_work(Limits(record_chars_max=4))
    bury(work, A, 0, NOW, "é" * 100)
    bury(work, A, 1, NOW - 1, "")
    assert [letter.reason for letter in work.dead(10)] == ["éééé", ""]


def test_requeued_letters_are_due_at_once_with_no_attempts(make_work: MakeWork) -> None:
    work = make_work(Limits(fetch_queue_items_max=1))
    bury(work, A, 0, NOW)
    bury(work, B, 0, NOW)
    bury(work, A, 1, NOW)
    assert work.requeue([digest(0), digest(5)], NOW + 1) == 2
    assert work.want(B, [ref(0)], NOW) == [LATER]
    assert work.requeue([digest(0)], NOW + 1) == 0
    assert work.requeue([digest(1)], NOW + 1) == 0, "the queue is full: it stays a dead letter"
    assert [letter.ref for letter in work.dead(10)] == [ref(1)]
    assert leased(work, A, NOW + 1).items == (FetchItem(ref(0)),)


def test_dropped_letters_are_gone_and_may_be_wanted_again(work: WorkState) -> None:
    bury(work, A, 0, NOW)
    bury(work, B, 0, NOW)
    bury(work, A, 1, NOW)
    assert work.drop([digest(0), digest(7)]) == 2
    assert [letter.ref for letter in work.dead(10)] == [ref(1)]
    assert work.want(A, refs(1), NOW) == [QUEUED]
    assert work.requeue([], NOW) == work.drop([]) == 0


def test_letters_of_one_holder_may_be_meant(work: WorkState) -> None:
    for holder in (A, B, C):
        bury(work, holder, 0, NOW)
    assert work.requeue([digest(0)], NOW, A) == 1
    assert work.queued() == {A: 1}
    assert work.drop([digest(0)], B) == 1
    assert work.drop([digest(1)], C) == work.requeue([digest(0)], NOW, A) == 0
    assert [letter.holder for letter in work.dead(10)] == [C]


# hastening


def test_hastening_makes_what_waits_due_and_leaves_leases_and_counts(work: WorkState) -> None:
    work.want(A, refs(4), NOW)
    work.want(B, refs(1, first=9), NOW)
    failed = {digest(0): NOW + 9000, digest(1): NOW + 4000}
    work.settle(leased(work, A, NOW, limit=2), Settlement(failed=failed), NOW)
    standing = leased(work, A, NOW, limit=1)
    assert work.hasten(A, NOW + 1) == 2
    assert work.hasten(A, NOW + 1) == work.hasten(C, NOW) == 0
    assert leased(work, A, NOW + 1).items == (
        FetchItem(ref(3)),
        FetchItem(ref(0), 1),
        FetchItem(ref(1), 1),
    )
    assert numbers(standing) == [2]
    assert work.settle(standing, Settlement(done=(digest(2),)), NOW + 1)


# the index of holders


def test_due_holders_come_longest_due_first_and_bounded(work: WorkState) -> None:
    work.want(C, refs(1), NOW)
    work.want(A, refs(1, first=1), NOW + 1)
    work.want(B, refs(1, first=2), NOW + 2)
    assert work.due_holders(NOW + 1, 10) == [C, A]
    assert work.due_holders(NOW + 9, 2) == [C, A]
    assert work.due_holders(NOW + 9, 0) == []


# losing everything


def test_after_a_flush_everything_goes_on(work_backend: WorkBackend, work: WorkState) -> None:
    work.want(A, refs(3), NOW)
    work.want(B, refs(3), NOW)
    lease = leased(work, A, NOW)
    work_backend.flush()
    assert work.queued() == {}
    assert work.due_holders(NOW, 10) == []
    assert not work.settle(lease, Settlement(done=(digest(0),)), NOW)
    assert work.want(A, refs(3), NOW) == [QUEUED] * 3
    assert not work.settle(lease, Settlement(done=(digest(0),)), NOW)
    assert numbers(leased(work, A, NOW)) == [0, 1, 2]


def test_muted_items_wait_without_an_attempt_counted(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    lease = leased(work, A, NOW)
    outcome = Settlement(muted={digest(0): NOW + 50_000}, done=(digest(1),))
    assert work.settle(lease, outcome, NOW)
    assert work.lease(A, 500, MANY_BYTES, NOW + 49_999) is None
    assert leased(work, A, NOW + 50_000).items == (FetchItem(ref(0)),)
