"""Sweeps: a pool-mate's whole log is read again now and then, whatever was given up before."""

from dataclasses import replace

import pytest

from replicator.limits import Limits
from replicator.node import contact
from replicator.node.reconciler import tick
from replicator.node.pull import pull
from replicator.node.sweep import sweep
from replicator.node.upkeep import upkeep
from replicator.protocol.signing import PrivateKey
from tests.support.pool import NOW_MS, Member, Pool, know, pair

DAY = 86_400


def live(pool: Pool, seconds: float, step: float = 20) -> None:
    """Let time pass, with every member's ticks and upkeep."""
    for _ in range(int(seconds / step)):
        pool.clock.advance(step)
        for member in pool.members:
            tick(member.node)
            upkeep(member.node)
        pool.settle()


def test_a_post_from_the_future_arrives_once_its_time_has_come() -> None:
    pool, alpha, beta = pair()
    alpha.publish("ahead", published=NOW_MS + (DAY + 7_200) * 1000)
    pool.settle()
    live(pool, 3 * 3_600, step=200)
    assert beta.texts() == set()
    live(pool, 2 * DAY, step=1_000)
    assert beta.texts() == {"ahead"}


@pytest.mark.parametrize("flushed", [False, True])
def test_dead_letters_are_tried_again_some_day_even_after_a_flush(flushed: bool) -> None:
    pool, alpha, beta = pair(limits=Limits(fetch_attempts_max=1))
    alpha.publish_many(5, "held")
    pool.settle()
    alpha.publish("poison")
    alpha.doorbell.take()
    announce_nothing(alpha, beta)
    pull(beta.node, alpha.id)
    beta.doorbell.take()
    for _ in range(2):
        beta.work.lease(alpha.id, 10, 1 << 20, beta.clock.now())
        beta.clock.advance(Limits().lease_seconds + 1)
    pull(beta.node, alpha.id)
    assert beta.store.totals().gaps == 0
    if flushed:
        beta.work.flush()
    live(pool, 3 * DAY, step=1_000)
    assert "poison" in beta.texts()


def announce_nothing(sender: Member, recipient: Member) -> None:
    """Move a lane on as if its puts had been answered."""
    peer = sender.peer(recipient)
    sender.store.move_lane(recipient.id, peer.pushed, sender.store.last_change())


def test_what_a_peer_signed_with_a_new_key_arrives_after_the_operator_trusted_it() -> None:
    pool, alpha, beta = pair()
    gamma = pool.add("gamma")
    pool.acquaint(beta, gamma)
    know(gamma, alpha)
    pool.nodes[alpha.address] = replace(
        alpha.node, identity=replace(alpha.node.identity, node_keys=(PrivateKey.generate(),))
    )
    renewed = replace(alpha, node=pool.nodes[alpha.address])
    pool.members[0] = renewed
    gamma.store.repin(alpha.id, sorted(renewed.node.identity.public_node_keys), NOW_MS)
    know(renewed, gamma)
    renewed.publish("under a new key")
    live(pool, 3_600)
    assert gamma.texts() == {"under a new key"}
    assert beta.texts() == set()
    contact.trust(beta.node, alpha.id, sorted(renewed.node.identity.public_node_keys))
    pool.transport.cut(renewed.address)
    pool.members.remove(renewed)
    live(pool, 300)
    assert beta.texts() == {"under a new key"}


def test_a_sweep_waits_for_a_pull_under_way() -> None:
    _, alpha, beta = pair()
    alpha.publish("hello")
    pull(beta.node, alpha.id)
    cursor = beta.peer(alpha).pulled
    beta.work.hold("pull", alpha.id, "another worker", beta.clock.now())
    assert sweep(beta.node, alpha.id).ended == "held elsewhere"
    assert beta.peer(alpha).pulled == cursor
    beta.clock.advance(Limits().lease_seconds + 1)
    assert tick(beta.node).repair == 1
    assert sweep(beta.node, alpha.id).ended == "done"


def test_a_flush_makes_nobody_sweep_at_once() -> None:
    pool, alpha, beta = pair()
    assert [tick(member.node).repair for member in pool.members] == [0, 0]
    live(pool, 2 * DAY, step=3_600)
    for member in (alpha, beta):
        member.work.flush()
        assert tick(member.node).repair == 0
