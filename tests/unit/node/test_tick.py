"""The reconciler's tick: whatever doorbell was lost, what is due rings again, and nothing else."""

from replicator.node.announce import announce
from replicator.node.reconciler import tick
from replicator.protocol import codec
from replicator.protocol.messages import Put
from tests.support.pool import Member, Pool, pair, send, trio


def rung(member: Member) -> set[tuple[str, str | None]]:
    return {(ring.task, ring.peer) for ring in member.doorbell.take()}


def after_first_pulls(pool: Pool) -> None:
    """Let every member do its first periodic pulls."""
    for member in pool.members:
        tick(member.node)
    pool.settle()


def test_a_node_with_nothing_due_rings_nobody() -> None:
    pool, alpha, _, _ = trio()
    after_first_pulls(pool)
    report = tick(alpha.node)
    assert (report.announce, report.fetch, report.pull) == (0, 0, 0)
    assert rung(alpha) == set()


def test_a_lane_whose_doorbell_was_lost_is_rung_again() -> None:
    pool, alpha, beta, gamma = trio()
    after_first_pulls(pool)
    alpha.publish("hello")
    alpha.doorbell.take()
    assert tick(alpha.node).announce == 0, "the first message may still be on its way"
    pool.clock.advance(alpha.node.limits.doorbell_seconds + 1)
    assert tick(alpha.node).announce == 2
    pool.settle()
    assert beta.texts() == gamma.texts() == {"hello"}


def test_lanes_ring_at_once_after_a_flush_of_the_work_state() -> None:
    pool, alpha, beta, gamma = trio()
    alpha.publish("hello")
    alpha.doorbell.take()
    for member in (alpha, beta, gamma):
        member.work.flush()
    assert tick(alpha.node).announce == 2
    pool.settle()
    assert beta.texts() == gamma.texts() == {"hello"}


def test_due_fetches_ring_and_waiting_ones_do_not() -> None:
    pool, alpha, beta = pair()
    after_first_pulls(pool)
    alpha.publish("hello")
    refs = tuple(post.ref for post in alpha.posts())
    send(alpha, beta, codec.request_tree(Put(refs=refs)))
    beta.doorbell.take()
    beta.work.flush()
    beta.work.want(alpha.id, refs, beta.clock.now() + 60_000)
    tick(beta.node)
    assert ("fetch", alpha.id) not in rung(beta)
    pool.clock.advance(61)
    tick(beta.node)
    assert ("fetch", alpha.id) in rung(beta)


def test_pulls_come_round_at_their_pace() -> None:
    pool, alpha, beta = pair()
    seconds = alpha.node.limits.pull_seconds
    assert tick(alpha.node).pull == 1
    assert rung(alpha) == {("pull", beta.id)}
    alpha.work.hear("pull", beta.id)
    pool.clock.advance(seconds * 2 / 3 - 0.1)
    assert tick(alpha.node).pull == 0
    pool.clock.advance(seconds * 2 / 3 + 0.2)
    assert tick(alpha.node).pull == 1


def test_a_peer_in_back_off_is_not_rung_for() -> None:
    pool, alpha, beta = pair()
    after_first_pulls(pool)
    alpha.publish("hello")
    pool.transport.cut(beta.address)
    announce(alpha.node, beta.id)
    alpha.work.flush()
    announce(alpha.node, beta.id)
    alpha.doorbell.take()
    assert tick(alpha.node).announce == 0
    pool.clock.advance(2)
    alpha.work.hear("announce", beta.id)
    assert tick(alpha.node).announce == 1


def test_a_tick_moves_lanes_past_what_they_need_not_say() -> None:
    _, alpha, beta, gamma = trio()
    alpha.publish("hello")
    announce(alpha.node, beta.id)
    beta.doorbell.take()
    assert tick(beta.node).announce == 0
    assert beta.peer(gamma).pushed == beta.store.last_change() > 0


def test_nodes_that_only_know_addresses_find_their_pool_by_themselves() -> None:
    pool = Pool()
    members = [pool.add(name) for name in ("alpha", "beta", "gamma")]
    for one in members:
        for other in members:
            if one is not other:
                one.store.add_peer(other.id, other.address, one.clock.now())
    for member in members:
        member.publish(f"from {member.id}")
    for _ in range(3):
        for member in members:
            tick(member.node)
        pool.settle()
        pool.clock.advance(40)
    assert all(len(member.digests()) == 3 for member in members)


def test_a_node_that_was_away_ends_up_complete() -> None:
    pool, alpha, beta, gamma = trio()
    pool.transport.cut(gamma.address)
    alpha.publish_many(30)
    beta.publish_many(30)
    pool.settle()
    assert gamma.digests() == set()
    pool.transport.mend(gamma.address)
    for _ in range(4):
        pool.clock.advance(31)
        for member in pool.members:
            tick(member.node)
        pool.settle()
    assert alpha.digests() == beta.digests() == gamma.digests()
    assert len(gamma.digests()) == 60


def test_a_pool_converges_although_every_first_doorbell_is_lost() -> None:
    pool, *members = trio()
    for member in members:
        member.publish_many(10, member.id)
        member.doorbell.take()
        member.work.flush()
    for _ in range(4):
        pool.clock.advance(31)
        for member in members:
            tick(member.node)
        pool.settle()
    assert len({frozenset(member.digests()) for member in members}) == 1
    assert len(members[0].digests()) == 30
