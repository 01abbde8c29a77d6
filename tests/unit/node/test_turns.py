"""Turns: one run per peer and kind, and slow peers never in more than a few at a time."""

from contextlib import ExitStack

import pytest

from replicator.limits import Limits
from replicator.node.announce import announce
from replicator.node.fetch import fetch
from replicator.node.pull import pull
from replicator.node.turns import HELD, NO_SLOT, turn
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import Breaker
from tests.support.pool import Member, Pool, pair

LIMITS = Limits()


def slow_peers(count: int) -> tuple[Member, list[NodeId]]:
    """Return a node, and peers that were slow the last time."""
    alpha = Pool().add("alpha")
    peers = [NodeId(f"slow-{number}") for number in range(count)]
    for peer in peers:
        alpha.work.set_breaker(peer, Breaker(), Breaker(slow=True))
    return alpha, peers


def test_one_worker_has_the_turn_of_a_kind_and_another_kind_has_its_own() -> None:
    _, alpha, beta = pair()
    with turn(alpha.node, "pull", beta.id) as first, turn(alpha.node, "pull", beta.id) as second:
        assert (first, second) == (None, HELD)
        with turn(alpha.node, "fetch", beta.id) as other:
            assert other is None
    with turn(alpha.node, "pull", beta.id) as third:
        assert third is None, "given back"


def test_whoever_did_not_get_a_turn_does_not_give_it_back() -> None:
    _, alpha, beta = pair()
    with turn(alpha.node, "pull", beta.id):
        with turn(alpha.node, "pull", beta.id):
            pass
        with turn(alpha.node, "pull", beta.id) as third:
            assert third == HELD


def test_a_turn_ends_with_an_error_and_the_turn_of_a_dead_worker_with_its_lease() -> None:
    _, alpha, beta = pair()
    with pytest.raises(ZeroDivisionError), turn(alpha.node, "announce", beta.id):
        raise ZeroDivisionError
    dead = turn(alpha.node, "announce", beta.id)
    assert dead.__enter__() is None
    alpha.clock.advance(LIMITS.lease_seconds - 1)
    with turn(alpha.node, "announce", beta.id) as early:
        assert early == HELD
    alpha.clock.advance(1)
    with turn(alpha.node, "announce", beta.id) as late:
        assert late is None


def test_a_ring_during_the_work_is_a_new_ring() -> None:
    _, alpha, beta = pair()
    now = alpha.clock.now()
    assert alpha.work.ring("pull", beta.id, now)
    with turn(alpha.node, "pull", beta.id):
        assert alpha.work.ring("pull", beta.id, now)


def test_slow_peers_never_have_more_turns_at_once_than_there_are_slots() -> None:
    alpha, peers = slow_peers(5)
    with ExitStack() as running:
        turns = [running.enter_context(turn(alpha.node, "fetch", peer)) for peer in peers]
        assert turns == [None] * LIMITS.slow_slots_max + [NO_SLOT] * (5 - LIMITS.slow_slots_max)
        with turn(alpha.node, "fetch", NodeId("healthy")) as healthy:
            assert healthy is None
    with turn(alpha.node, "fetch", peers[-1]) as later:
        assert later is None, "the slots were given back"


def test_one_slow_peer_with_work_of_all_kinds_takes_no_more_than_the_slots() -> None:
    alpha, (peer,) = slow_peers(1)
    with ExitStack() as running:
        kinds = ("announce", "fetch", "pull", "repair", "roster")
        turns = [running.enter_context(turn(alpha.node, kind, peer)) for kind in kinds]
    assert turns.count(None) == LIMITS.slow_slots_max


def test_slots_are_given_back_on_errors_and_expire_with_their_worker() -> None:
    alpha, peers = slow_peers(9)
    for peer in peers:
        with pytest.raises(ZeroDivisionError), turn(alpha.node, "pull", peer):
            raise ZeroDivisionError
    dead = [turn(alpha.node, "pull", peer) for peer in peers[: LIMITS.slow_slots_max]]
    assert [one.__enter__() for one in dead] == [None] * LIMITS.slow_slots_max
    with turn(alpha.node, "pull", peers[-1]) as early:
        assert early == NO_SLOT
    alpha.clock.advance(LIMITS.lease_seconds)
    with turn(alpha.node, "pull", peers[-1]) as late:
        assert late is None


@pytest.mark.parametrize("work", [announce, fetch, pull])
def test_work_without_a_slot_makes_no_call_and_leaves_its_turn_to_others(work) -> None:
    pool, alpha, beta = pair()
    alpha.publish("hello")
    pool.transport.cut(beta.address)
    alpha.work.set_breaker(beta.id, Breaker(), Breaker(slow=True))
    for number in range(LIMITS.slow_slots_max):
        alpha.work.hold("slow", NodeId(f"slot-{number}"), "others", alpha.clock.now())
    assert work(alpha.node, beta.id).ended == NO_SLOT
    assert work(alpha.node, beta.id).ended == NO_SLOT
    assert alpha.work.breakers([beta.id])[beta.id] == Breaker(slow=True)
