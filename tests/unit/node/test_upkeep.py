"""Upkeep: every part has its turn, whatever becomes of the others."""

import dataclasses
from typing import Any

import pytest

from replicator.adapters.memory.store import MemoryStore
from replicator.adapters.memory.work import MemoryWorkState
from replicator.errors import StoreUnavailable, WorkUnavailable
from replicator.limits import Limits
from replicator.node.ports import DeadLetter, Settlement
from replicator.node.roster import ask_members
from replicator.node.upkeep import KeptUp, upkeep
from tests.support.pool import NOW_MS, Member, Pool, pair

DAY_SECONDS = 86_400
LONG_AGO = NOW_MS - 40 * DAY_SECONDS * 1000


class DeafWork(MemoryWorkState):
    """Redis that does not give dead letters."""

    def dead(self, limit: int) -> list[DeadLetter]:
        raise WorkUnavailable("it does not answer")


class StuckStore(MemoryStore):
    """A database that removes nothing."""

    failure: Exception = StoreUnavailable("it does not answer")

    def expire(self, *_: Any) -> int:
        raise self.failure


def forgetful(work: MemoryWorkState, store: MemoryStore) -> tuple[Pool, Member, Member]:
    """Return alpha, and beta that has something to do for every part of its upkeep.

    It has a gap towards alpha, a post that is too old, and a member that was not renewed.
    """
    pool, alpha, beta = pair()
    node = dataclasses.replace(beta.node, work=work, store=store, keep_days=30)
    pool.nodes[beta.address] = node
    beta = dataclasses.replace(beta, node=node, work=work, store=store)
    pool.acquaint(alpha, beta)
    ask_members(alpha.node, beta.id)
    pool.clock.advance(31 * DAY_SECONDS)
    beta.publish("old", published=LONG_AGO)
    alpha.publish("missing")
    gap = alpha.posts()[0].ref
    beta.store.record_pull(alpha.id, None, alpha.store.end_cursor(), gaps=[gap], now=0)
    beta.doorbell.take()
    return pool, alpha, beta


def test_every_part_is_done() -> None:
    work = MemoryWorkState(Limits())
    _, alpha, beta = forgetful(work, MemoryStore())
    beta.publish("known meanwhile")
    (known,) = (post.ref for post in beta.posts() if post.content.text == "known meanwhile")
    work.want(alpha.id, [known], beta.clock.now())
    lease = work.lease(alpha.id, 9, 1 << 20, beta.clock.now())
    assert lease is not None
    work.settle(lease, Settlement(dead={known.digest: "for the test"}), beta.clock.now())
    done = upkeep(beta.node)
    assert (done.gaps, done.members, done.letters) == (1, 1, 1)
    assert done.expired > 0
    assert beta.texts() == {"known meanwhile"}
    assert beta.work.queued() == {alpha.id: 1}
    assert upkeep(beta.node) == KeptUp(gaps=1)


def test_a_part_that_fails_does_not_keep_the_others_from_their_work() -> None:
    _, alpha, beta = forgetful(DeafWork(Limits()), MemoryStore())
    with pytest.raises(WorkUnavailable):
        upkeep(beta.node)
    assert (beta.posts(), beta.store.members()) == ([], [])
    assert beta.work.queued() == {alpha.id: 1}


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), ZeroDivisionError("a bug")])
def test_the_first_failure_is_told_after_all_parts_had_their_turn(failure: Exception) -> None:
    store = StuckStore()
    store.failure = failure
    _, alpha, beta = forgetful(MemoryWorkState(Limits()), store)
    with pytest.raises(type(failure)):
        upkeep(beta.node)
    assert beta.store.members() == []
    assert beta.work.queued() == {alpha.id: 1}
