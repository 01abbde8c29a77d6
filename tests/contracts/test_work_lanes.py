"""The contract of `WorkState` for doorbells and leases, over memory, Valkey and Redis."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from replicator.limits import Limits
from replicator.node.ports import WorkState
from replicator.protocol.ids import NodeId

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A = NodeId("a.example")
B = NodeId("b.example")


def test_a_doorbell_rings_once_until_it_is_heard(work: WorkState) -> None:
    assert work.ring("fetch", A, NOW)
    assert not work.ring("fetch", A, NOW + 1)
    assert work.ring("fetch", B, NOW)
    assert work.ring("announce", A, NOW)
    work.hear("fetch", A)
    assert work.ring("fetch", A, NOW + 2)


def test_hearing_a_doorbell_that_did_not_ring_is_nothing(work: WorkState) -> None:
    work.hear("pull", A)
    assert work.ring("pull", A, NOW)


def test_a_doorbell_whose_message_was_lost_rings_again(work: WorkState) -> None:
    after = NOW + Limits().doorbell_seconds * 1000
    assert work.ring("fetch", A, NOW)
    assert not work.ring("fetch", A, after - 1)
    assert work.ring("fetch", A, after)
    assert not work.ring("fetch", A, after)


def test_of_many_rings_at_once_one_sends_a_message(work: WorkState) -> None:
    with ThreadPoolExecutor(8) as threads:
        rung = list(threads.map(lambda _: work.ring("fetch", A, NOW), range(64)))
    assert rung.count(True) == 1


def test_work_for_a_peer_has_one_worker_until_it_gives_it_back(work: WorkState) -> None:
    assert work.hold("pull", A, "one", NOW)
    assert not work.hold("pull", A, "two", NOW + 1)
    assert work.hold("pull", B, "two", NOW)
    assert work.hold("fetch", A, "two", NOW)
    work.release("pull", A, "two")
    assert not work.hold("pull", A, "two", NOW + 2)
    work.release("pull", A, "one")
    assert work.hold("pull", A, "two", NOW + 3)


def test_a_lease_is_renewed_by_its_token_and_expires_without_it(work: WorkState) -> None:
    lease_ms = Limits().lease_seconds * 1000
    assert work.hold("pull", A, "one", NOW)
    assert work.hold("pull", A, "one", NOW + lease_ms - 1)
    assert not work.hold("pull", A, "two", NOW + lease_ms)
    assert work.hold("pull", A, "two", NOW + 2 * lease_ms - 1)
    assert not work.hold("pull", A, "one", NOW + 2 * lease_ms)


def test_a_lease_that_was_taken_over_is_not_released_by_its_first_owner(work: WorkState) -> None:
    lease_ms = Limits().lease_seconds * 1000
    work.hold("pull", A, "one", NOW)
    work.hold("pull", A, "two", NOW + lease_ms)
    work.release("pull", A, "one")
    assert not work.hold("pull", A, "three", NOW + lease_ms + 1)


def test_slots_for_slow_peers_are_leases_of_their_own(work: WorkState) -> None:
    slot = NodeId("slot-0")
    assert work.hold("slow", slot, "one", NOW)
    assert not work.hold("slow", slot, "two", NOW)
    work.release("slow", slot, "one")
    assert work.hold("slow", slot, "two", NOW)


def test_states_of_two_prefixes_do_not_meet(make_work: Callable[[Limits], WorkState]) -> None:
    first, second = make_work(Limits()), make_work(Limits())
    assert first.ring("fetch", A, NOW)
    assert second.ring("fetch", A, NOW)
    assert second.hold("fetch", A, "one", NOW)
    assert first.hold("fetch", A, "two", NOW)
