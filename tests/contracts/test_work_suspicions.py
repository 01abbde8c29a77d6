"""The contract of `WorkState` for items that kill their worker, over memory, Valkey and Redis."""

from collections.abc import Callable

from replicator.limits import Limits
from replicator.node.ports import DeadLetter, FetchItem, FetchLease, Settlement, WorkState
from replicator.protocol.ids import NodeId
from tests.support.refs import digest, ref, refs

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A, B = NodeId("a.example"), NodeId("b.example")
LEASE_MS = Limits().lease_seconds * 1000
MANY_BYTES = 1 << 40
MakeWork = Callable[[Limits], WorkState]


def leased(work: WorkState, now: int, limit: int = 500, holder: NodeId = A) -> FetchLease:
    """Lease, and fail where nothing is due."""
    lease = work.lease(holder, limit, MANY_BYTES, now)
    assert lease is not None
    return lease


def numbers(lease: FetchLease) -> list[int]:
    """Return the numbers of a lease's refs."""
    return [int(item.ref.digest, 16) for item in lease.items]


def suspect(work: WorkState, now: int, reason: str = "unusable answer") -> FetchLease:
    """Lease, and settle all of it as suspected."""
    lease = leased(work, now)
    outcome = Settlement(suspects={item.ref.digest: reason for item in lease.items})
    assert work.settle(lease, outcome, now)
    return lease


def test_a_lost_lease_comes_back_in_small_company(make_work: MakeWork) -> None:
    work = make_work(Limits(suspects_max=3))
    work.want(A, refs(8), NOW)
    leased(work, NOW)
    later = NOW + LEASE_MS
    leases = [leased(work, later) for _ in range(3)]
    assert [numbers(lease) for lease in leases] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert {item.suspicions for lease in leases for item in lease.items} == {1}
    assert work.lease(A, 500, MANY_BYTES, later) is None


def test_one_with_two_suspicions_is_leased_alone(work: WorkState) -> None:
    work.want(A, refs(3), NOW)
    suspect(work, NOW)
    suspect(work, NOW)
    work.want(A, refs(2, first=5), NOW + 1)
    leases = [leased(work, NOW + 1) for _ in range(4)]
    assert [numbers(lease) for lease in leases] == [[0], [1], [2], [5, 6]]


def test_a_suspected_one_does_not_join_a_lease_that_is_too_large_for_it(
    make_work: MakeWork,
) -> None:
    work = make_work(Limits(suspects_max=3))
    work.want(A, refs(1, first=9), NOW)
    suspect(work, NOW + 5)
    work.want(A, refs(2), NOW)
    assert numbers(leased(work, NOW + 5)) == [0, 1, 9], "three are company enough"
    work.want(A, refs(3, first=20), NOW)
    work.want(A, refs(1, first=30), NOW + 6)
    suspect(work, NOW + 6 + LEASE_MS)
    taken = [numbers(leased(work, NOW + 7 + LEASE_MS)) for _ in range(2)]
    assert all(len(lease) <= 3 for lease in taken)


def test_the_one_that_kills_its_worker_is_found_and_the_others_get_through(
    work: WorkState,
) -> None:
    poison = digest(137)
    work.want(A, refs(300), NOW)
    now, leases = NOW, 0
    while work.queued():
        lease = work.lease(A, 500, MANY_BYTES, now)
        if lease is None:
            now += LEASE_MS
            continue
        leases += 1
        names = tuple(item.ref.digest for item in lease.items)
        if poison not in names:
            assert work.settle(lease, Settlement(done=names), now)
    letter = DeadLetter(ref(137), A, "worker lost", Limits().crash_attempts_max, now - LEASE_MS)
    assert work.dead(10) == [letter]
    assert leases <= 2 + 300 // Limits().suspects_max + Limits().suspects_max + 5


def test_an_item_that_outlived_too_many_leases_is_dead(make_work: MakeWork) -> None:
    work = make_work(Limits(crash_attempts_max=3))
    work.want(A, refs(1), NOW)
    now = NOW
    for suspicions in range(3):
        assert leased(work, now).items == (FetchItem(ref(0), 0, suspicions),)
        now += LEASE_MS
    assert work.lease(A, 500, MANY_BYTES, now) is None
    assert work.dead(10) == [DeadLetter(ref(0), A, "worker lost", 3, now)]
    assert work.queued() == {}
    assert work.due_holders(now + LEASE_MS, 10) == []


def test_suspects_of_a_settlement_are_due_at_once_with_a_suspicion(work: WorkState) -> None:
    work.want(A, refs(2), NOW)
    work.settle(leased(work, NOW), Settlement(suspects={digest(0): "unusable"}), NOW + 3)
    assert work.due_holders(NOW + 2, 10) == []
    assert leased(work, NOW + 3).items == (FetchItem(ref(0), 0, 1), FetchItem(ref(1)))


def test_the_last_suspicion_gives_the_dead_letter_its_reason(make_work: MakeWork) -> None:
    work = make_work(Limits(crash_attempts_max=2, record_chars_max=8))
    work.want(A, refs(1), NOW)
    work.settle(leased(work, NOW), Settlement(failed={digest(0): NOW}), NOW)
    suspect(work, NOW, "first")
    suspect(work, NOW + 1, "answer too large")
    assert work.dead(10) == [DeadLetter(ref(0), A, "answer t", 3, NOW + 1)]


def test_attempts_and_suspicions_are_counted_apart(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    suspect(work, NOW)
    work.settle(leased(work, NOW), Settlement(failed={digest(0): NOW}), NOW)
    work.settle(leased(work, NOW), Settlement(), NOW)
    assert leased(work, NOW).items == (FetchItem(ref(0), 1, 1),)


def test_suspicions_end_with_success_and_with_requeueing(make_work: MakeWork) -> None:
    work = make_work(Limits(crash_attempts_max=2))
    work.want(A, refs(2), NOW)
    suspect(work, NOW)
    work.settle(leased(work, NOW), Settlement(done=(digest(0),)), NOW)
    work.want(A, refs(1), NOW + 1)
    suspect(work, NOW + 1)
    assert [letter.ref for letter in work.dead(10)] == [ref(1)]
    assert work.requeue([digest(1)], NOW + 2) == 1
    again = {item.ref: item.suspicions for item in leased(work, NOW + 2).items}
    assert again == {ref(0): 1, ref(1): 0}


def test_suspicions_are_of_one_holder(work: WorkState) -> None:
    work.want(A, refs(1), NOW)
    work.want(B, refs(1), NOW)
    suspect(work, NOW)
    assert leased(work, NOW, holder=B).items == (FetchItem(ref(0)),)
