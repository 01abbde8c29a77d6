"""The reconciler's tick: whatever doorbell was lost, what is due rings again, and nothing else."""

from dataclasses import replace

import pytest

from replicator.adapters.memory.store import MemoryStore
from replicator.limits import Limits
from replicator.node.announce import announce
from replicator.node.contact import forgive
from replicator.node.conversation import call
from replicator.node.ports import LanePage, Peer
from replicator.node.pull import pull
from replicator.node.reconciler import Ticked, tick, wake
from replicator.node.repair import repair
from replicator.protocol import codec
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.messages import Pull, Put
from replicator.rules.breaker import Breaker
from replicator.rules.pacing import Periodic, period_seconds
from replicator.rules.policy import Policy
from tests.support.pool import Member, Pool, know, pair, send, trio


def rung(member: Member) -> set[tuple[str, str | None]]:
    return {(ring.task, ring.peer) for ring in member.doorbell.take()}


def after_first_pulls(pool: Pool) -> None:
    """Let every member do its first periodic work, so that none of it is due for a while."""
    for member in pool.members:
        for peer in member.store.peers():
            forgive(member.node, peer.id)
        tick(member.node)
    pool.settle()


PERIODIC: tuple[Periodic, ...] = ("pull", "repair", "roster")


def crowd(count: int, limits: Limits | None = None) -> Member:
    """Return a node with many peers."""
    pool = Pool()
    alpha = pool.add("alpha", limits=limits)
    for number in range(count):
        node = NodeId(f"peer-{number}")
        alpha.store.add_peer(node, f"http://{node}", alpha.clock.now())
        alpha.store.join_pools(node, alpha.node.identity.pools)
    return alpha


def test_a_node_with_nothing_due_rings_nobody() -> None:
    pool, alpha, _, _ = trio()
    after_first_pulls(pool)
    assert tick(alpha.node) == Ticked()
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


@pytest.mark.parametrize("kind", PERIODIC)
def test_a_turn_that_was_never_set_comes_at_a_random_time_within_the_period(
    kind: Periodic,
) -> None:
    period = {"pull": 15.0, "repair": 300.0, "roster": 600.0}[kind]
    alpha = crowd(20)
    peers = [peer.id for peer in alpha.store.peers()]
    tick(alpha.node)
    now = alpha.clock.now()
    waits = [(at - now) / 1000 for at in alpha.work.dues(kind, peers).values()]
    assert 0 < min(waits) < period / 3
    assert period * 2 / 3 < max(waits) <= period
    assert len(set(waits)) == 20


def test_whoever_is_new_or_trusted_anew_has_its_turns_at_once() -> None:
    _, alpha, beta = pair()
    tick(alpha.node)
    assert rung(alpha) == set()
    forgive(alpha.node, beta.id)
    tick(alpha.node)
    assert rung(alpha) == {(kind, beta.id) for kind in PERIODIC}


def test_a_membership_that_is_new_is_followed_up_at_once_on_both_sides() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    beta.store.add_peer(alpha.id, alpha.address, beta.clock.now())
    alpha.store.add_peer(beta.id, beta.address, alpha.clock.now())
    pull(beta.node, alpha.id)
    for member, other in ((alpha, beta), (beta, alpha)):
        tick(member.node)
        assert rung(member) >= {(kind, other.id) for kind in PERIODIC}


def test_pulls_come_round_at_their_pace() -> None:
    pool, alpha, beta = pair()
    seconds = alpha.node.limits.pull_seconds
    forgive(alpha.node, beta.id)
    assert tick(alpha.node).pull == 1
    rung(alpha)
    alpha.work.hear("pull", beta.id)
    pool.clock.advance(seconds * 2 / 3 - 0.1)
    assert tick(alpha.node).pull == 0
    pool.clock.advance(seconds * 2 / 3 + 0.2)
    assert tick(alpha.node).pull == 1


def test_a_peer_in_back_off_is_not_rung_for_and_then_once_for_its_probe() -> None:
    pool, alpha, beta = pair()
    after_first_pulls(pool)
    alpha.publish("hello")
    pool.transport.cut(beta.address)
    announce(alpha.node, beta.id)
    alpha.doorbell.take()
    assert tick(alpha.node) == Ticked()
    assert alpha.publish("more")
    assert rung(alpha) == set(), "not even for a new post"
    pool.clock.advance(700)
    assert tick(alpha.node) == Ticked(announce=1), "all else is due too, and waits for the probe"
    assert tick(alpha.node) == Ticked(), "its message is on its way"
    pool.transport.mend(beta.address)
    announce(alpha.node, beta.id)
    assert tick(alpha.node) == Ticked(pull=1, repair=1, roster=1)


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
    for _ in range(4):
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


def test_a_restarted_node_wakes_its_lanes_in_turns_and_says_what_is_new_at_once() -> None:
    alpha = crowd(30)
    alpha.publish("before")
    rung(alpha)
    alpha.work.flush()
    assert wake(alpha.node) == 30
    lanes: list[int] = []
    for _ in range(31):
        lanes.append(tick(alpha.node).announce)
        alpha.clock.advance(1)
    assert sum(lanes) == 30
    assert max(lanes) < 8
    rung(alpha)
    alpha.clock.advance(alpha.node.limits.doorbell_seconds)
    wake(alpha.node)
    alpha.publish("after")
    assert len(rung(alpha)) == 30


def test_a_lane_to_a_member_that_proved_itself_after_a_restart_does_not_wait_to_wake() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    alpha.store.add_peer(beta.id, beta.address, 0)
    beta.store.add_peer(alpha.id, alpha.address, 0)
    alpha.publish("hello")
    alpha.work.set_dues("announce", {beta.id: alpha.clock.now() + 20_000})  # as `wake` does
    assert tick(alpha.node).announce == 0
    call(beta.node, beta.peer(alpha), Pull())
    assert tick(alpha.node).announce == 1


def test_a_clock_that_is_put_back_stops_no_lane_and_no_pull() -> None:
    alpha = crowd(3)
    alpha.publish("hello")
    tick(alpha.node)
    wake(alpha.node)
    alpha.work.flush()
    alpha.clock.set_wall(alpha.clock.now() + 3_600_000)
    wake(alpha.node)
    tick(alpha.node)
    alpha.clock.set_wall(alpha.clock.now() - 3_600_000)
    rung(alpha)
    assert tick(alpha.node).announce == 3
    alpha.clock.advance(alpha.node.limits.pull_seconds)
    assert tick(alpha.node).pull == 3


def test_a_node_without_room_asks_for_no_posts_and_goes_on_delivering() -> None:
    _, alpha, beta = pair()
    store = MemoryStore(Limits(), quota_bytes=0)
    node = replace(beta.node, store=store)
    full = replace(beta, node=node, store=store)
    know(full, alpha)
    forgive(node, alpha.id)
    full.work.want(alpha.id, [post.ref for post in alpha.posts()], 0)
    store._quota_bytes = None
    full.publish("hello")
    rung(full)
    full.work.flush()
    forgive(node, alpha.id)
    store._quota_bytes = 1
    report = tick(node)
    assert (report.fetch, report.pull) == (0, 0)
    assert (report.announce, report.repair, report.roster) == (1, 1, 1)


def test_nobody_is_asked_for_members_where_the_roster_is_off() -> None:
    _, alpha, beta = pair(policy=Policy(roster="off"))
    forgive(alpha.node, beta.id)
    assert tick(alpha.node) == Ticked(pull=1, repair=1)


def test_slow_peers_are_rung_for_a_few_at_a_time_and_each_has_its_turn() -> None:
    alpha = crowd(100)
    for peer in alpha.store.peers():
        alpha.work.set_breaker(peer.id, Breaker(), Breaker(slow=True))
    alpha.publish("hello")
    assert rung(alpha) == set()
    seen: set[str | None] = set()
    for _ in range(100):
        tick(alpha.node)
        now = {peer for task, peer in rung(alpha) if task == "announce"}
        assert len(now) <= 4 * alpha.node.limits.slow_slots_max
        seen |= now
        alpha.clock.advance(alpha.node.limits.doorbell_seconds)
    assert len(seen) == 100


def test_a_thousand_peers_cost_a_bounded_number_of_calls_per_second() -> None:
    alpha = crowd(1_000)
    for peer in alpha.store.peers():
        forgive(alpha.node, peer.id)
    assert tick(alpha.node).pull == 20, "what is due all at once is worked off in turns"
    seconds, rings = 2_000, 0
    for _ in range(seconds // 10):
        alpha.clock.advance(10)
        report = tick(alpha.node)
        rings += report.pull + report.repair + report.roster
        alpha.doorbell.take()
    # besides the average: each of the three turns that were due at once
    assert rings - 3_000 < 1.2 * seconds * alpha.node.limits.maintenance_calls_per_second


def test_a_repair_of_one_among_a_thousand_comes_again_no_earlier_than_by_the_tick() -> None:
    _, alpha, beta = pair()
    for number in range(999):
        alpha.store.add_peer(NodeId(f"peer-{number}"), "http://x", alpha.clock.now())
    pull(alpha.node, beta.id)
    assert repair(alpha.node, beta.id).ended == "done"
    wait = alpha.work.dues("repair", [beta.id])[beta.id] - alpha.clock.now()
    assert wait >= 1000 * 2 / 3 * period_seconds("repair", 1_000, alpha.node.limits) - 1


class Counting(MemoryStore):
    """A store that counts what is asked per lane."""

    looks = moves = 0

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        self.looks += 1
        return super().lane(peer, pools, limit, bytes_max)

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        self.moves += 1
        super().move_lane(node, before, after)


def test_lanes_at_one_place_are_looked_at_together_and_moved_on_a_few_at_a_time() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    store = Counting(Limits())
    beta = replace(beta, node=replace(beta.node, store=store), store=store)
    know(alpha, beta)
    know(beta, alpha)
    for number in range(199):
        node = NodeId(f"peer-{number}")
        store.add_peer(node, f"http://{node}", 0)
        store.join_pools(node, beta.node.identity.pools)
    alpha.publish("hello")
    pool.nodes[beta.address] = beta.node
    announce(alpha.node, beta.id)
    for count in range(1, 6):
        assert tick(beta.node).announce == 0
        assert (store.looks, store.moves) == (min(count, 4), min(50 * count, 200))


def test_a_thousand_lanes_whose_doorbells_were_lost_ring_within_a_few_ticks() -> None:
    alpha = crowd(1_000)
    alpha.publish("hello")
    rung(alpha)
    alpha.work.flush()
    counts = []
    for _ in range(40):
        counts.append(tick(alpha.node).announce)
        for task, peer in rung(alpha):
            if task == "announce" and peer is not None:
                known = alpha.store.peer(NodeId(peer))
                assert known is not None
                alpha.store.move_lane(known.id, known.pushed, alpha.store.last_change())
    assert max(counts) <= 250
    assert sum(counts) == 1_000
    assert counts.index(0) < 10
