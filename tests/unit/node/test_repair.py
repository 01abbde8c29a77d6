"""Repair: sets become equal and stay so, within a budget, whatever a peer says of its posts."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.limits import Limits
from replicator.node import contact
from replicator.node.ports import Incoming, Keep, Progress
from replicator.node.reconciler import tick
from replicator.node.repair import Repaired, repair, repair_soon
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.messages import Answer, GetAnswer, ReconcileAnswer
from replicator.protocol.post import Ref
from replicator.protocol.signing import PrivateKey, b64url
from replicator.rules import negentropy
from replicator.rules.policy import Policy
from tests.support.drifted import drifted, repair_from, synced, watched
from tests.support.pool import NOW_MS, Member, Pool, know, pair
from tests.support.refs import ref

DAY = 86_400
OFF = Policy(reconcile="off")


def live(pool: Pool, seconds: float, step: float = 20) -> None:
    """Let time pass, with every member's ticks and upkeep."""
    for _ in range(int(seconds / step)):
        pool.clock.advance(step)
        for member in pool.members:
            tick(member.node)
            upkeep(member.node)
        pool.settle()


def found_nothing(report: Repaired) -> bool:
    return (report.ended, report.wanted, report.taken, report.given) == ("done", 0, 0, 0)


def pause(member: Member, mate: Member) -> float:
    """Return the seconds until the next turn of repair."""
    return (member.work.dues("repair", [mate.id])[mate.id] - member.clock.now()) / 1000


# What becomes equal


def test_one_run_of_one_side_closes_both_sides_of_a_difference() -> None:
    pool, alpha, beta = drifted(here=7, there=40)
    report = repair_from(pool, alpha, beta)
    assert (report.given, report.wanted, report.ended) == (7, 40, "done")
    assert alpha.digests() == beta.digests()
    assert found_nothing(repair_from(pool, alpha, beta))
    assert found_nothing(repair_from(pool, beta, alpha))


@settings(max_examples=12, deadline=None)
@given(sides=st.lists(st.integers(1, 3), max_size=80))
def test_any_two_sets_end_equal(sides: list[int]) -> None:
    pool, alpha, beta = pair()
    author = pool.add("author")
    author.publish(*(f"post {number}" for number in range(len(sides))))
    made = author.posts()
    for member, bit in ((alpha, 1), (beta, 2)):
        chosen = [post for post, side in zip(made, sides, strict=True) if side & bit]
        received = [Incoming(post, author.id, frozenset({pool.key.public})) for post in chosen]
        member.store.add(received, NOW_MS)
    synced(alpha, beta)
    repair_from(pool, alpha, beta)
    repair_from(pool, beta, alpha)
    assert alpha.digests() == beta.digests()
    assert len(alpha.digests()) == len(sides)


def test_a_run_that_met_its_bound_goes_on_soon_until_the_sets_are_equal() -> None:
    pool, alpha, beta = drifted(0, 350, 0, limits=Limits(reconcile_items_max=100))
    for _ in range(4):
        assert repair_from(pool, alpha, beta).wanted
        pool.clock.advance(pause(alpha, beta))
    assert alpha.digests() == beta.digests()
    assert pool.clock.now() - NOW_MS < Limits().reconcile_seconds * 1000


def test_of_two_contents_under_one_id_both_sides_keep_the_same_and_find_no_difference() -> None:
    pool, alpha, beta = drifted(0, 0, 2)
    forger = Pool()
    forger.key = pool.key
    one, two = (forger.add("twice", pools=(pool.key,)) for _ in range(2))
    for member, author in ((alpha, one), (beta, two)):
        author.publish(f"by {member.id}", id="same")
        (made,) = author.posts()
        member.store.add([Incoming(made, None, frozenset({pool.key.public}))], NOW_MS)
    synced(alpha, beta)
    for asker, mate in ((alpha, beta), (beta, alpha)):
        repair_from(pool, asker, mate)
    assert alpha.digests() == beta.digests()
    assert found_nothing(repair_from(pool, alpha, beta))
    assert found_nothing(repair_from(pool, beta, alpha))


def test_posts_that_nobody_has_any_more_do_not_hide_what_is_lacking() -> None:
    pool, alpha, beta = pair(limits=Limits(reconcile_items_max=10))
    for second in range(40):
        beta.publish(f"second {second}", published=NOW_MS - 100_000 + second)
    while beta.store.expire(Keep(posts=0), NOW_MS):
        pass
    for each in range(8):
        alpha.publish(f"since then {each}", published=NOW_MS + each)
        beta.publish(f"lacking {each}", published=NOW_MS + each)
    synced(alpha, beta)
    for _ in range(12):
        repair_from(pool, alpha, beta)
        pool.clock.advance(pause(alpha, beta))
    assert beta.digests() <= alpha.digests()


def test_posts_that_a_peer_never_takes_do_not_hide_what_it_lacks() -> None:
    pool, alpha, beta = pair()
    alpha.publish("kept", published=NOW_MS)
    alpha.publish("before", published=NOW_MS - 1)
    pool.settle()
    while beta.store.expire(Keep(posts=1), NOW_MS):
        pass
    for number in range(600):
        alpha.publish(f"too old for beta {number}", published=NOW_MS - 100_000 + number)
    alpha.publish("lacking", published=NOW_MS + 1)
    synced(alpha, beta)
    for _ in range(20):
        repair_from(pool, alpha, beta)
        pool.clock.advance(pause(alpha, beta))
        if "lacking" in beta.texts():
            break
    assert beta.texts() == {"kept", "lacking"}


def test_a_post_that_came_before_its_pools_key_did_is_given_on_in_that_pool_too() -> None:
    pool = Pool()
    further = PrivateKey.generate()
    alpha, beta = pool.add("alpha"), pool.add("beta", pools=(pool.key, further))
    pool.acquaint(alpha, beta)
    beta.publish("of both pools")
    pool.settle()
    identity = replace(alpha.node.identity, pool_keys=(pool.key, further))
    alpha = replace(alpha, node=replace(alpha.node, identity=identity))
    pool.nodes[alpha.address], pool.members[0] = alpha.node, alpha
    know(alpha, beta)
    synced(alpha, beta)
    assert repair_from(pool, alpha, beta).taken == 1
    assert alpha.store.refs(digests=alpha.digests(), scopes=frozenset({further.public}))
    assert found_nothing(repair_from(pool, alpha, beta))


# What is decided


def test_posts_that_one_side_is_too_full_for_are_looked_at_once() -> None:
    pool, alpha, beta = pair()
    for second in range(6):
        alpha.publish(f"second {second}", published=NOW_MS + second * 1_000)
    pool.settle()
    while beta.store.expire(Keep(posts=2), NOW_MS):
        pass
    assert len(beta.digests()) == 2
    alpha.publish("from before", published=NOW_MS + 500)
    synced(alpha, beta)
    assert repair_from(pool, beta, alpha).taken == 1
    assert "from before" not in beta.texts()
    assert found_nothing(repair_from(pool, beta, alpha))
    assert found_nothing(repair_from(pool, alpha, beta))


def test_a_post_larger_than_this_node_takes_is_looked_at_once() -> None:
    pool = Pool()
    alpha = pool.add("alpha", limits=Limits(post_bytes_max=400_000))
    beta = pool.add("beta")
    pool.acquaint(alpha, beta)
    alpha.publish("x" * 300_000)
    synced(alpha, beta)
    assert repair_from(pool, beta, alpha).taken == 1
    assert not beta.digests()
    assert found_nothing(repair_from(pool, beta, alpha))
    assert found_nothing(repair_from(pool, alpha, beta))


def test_differing_floors_leave_nothing_to_repair() -> None:
    pool, alpha, beta = pair()
    for hours in range(6):
        alpha.publish(f"{hours} hours old", published=NOW_MS - hours * 3_600_000)
    beta.store.raise_floor(NOW_MS - 7_200_000)
    synced(alpha, beta)
    assert repair_from(pool, alpha, beta).given == 3
    assert len(beta.digests()) == 3
    assert found_nothing(repair_from(pool, alpha, beta))
    assert found_nothing(repair_from(pool, beta, alpha))


def test_a_post_of_the_future_is_left_until_its_time() -> None:
    pool, alpha, beta = pair()
    alpha.publish("ahead", published=NOW_MS + (DAY + 7_200) * 1000)
    synced(alpha, beta)
    assert found_nothing(repair_from(pool, beta, alpha))
    pool.clock.advance(7_300)
    repair_from(pool, beta, alpha)
    assert beta.texts() == {"ahead"}


def test_a_post_that_is_held_in_another_pool_gets_its_membership() -> None:
    pool, further = Pool(), PrivateKey.generate()
    alpha, beta = (pool.add(name, pools=(pool.key, further)) for name in ("alpha", "beta"))
    pool.acquaint(alpha, beta)
    alpha.publish("in both")
    (post,) = alpha.posts()
    part = tuple(one for one in post.signatures if one.key != further.public)
    beta.store.add(
        [Incoming(replace(post, signatures=part), alpha.id, frozenset({pool.key.public}))], NOW_MS
    )
    synced(alpha, beta)
    assert repair_from(pool, beta, alpha).taken == 1
    assert beta.store.refs(digests=[post.digest], scopes=frozenset({further.public}))
    assert found_nothing(repair_from(pool, beta, alpha))


def test_a_mate_that_left_one_pool_is_compared_with_in_the_other() -> None:
    pool, further = Pool(), PrivateKey.generate()
    alpha, beta = (pool.add(name, pools=(pool.key, further)) for name in ("alpha", "beta"))
    pool.acquaint(alpha, beta)
    beta.publish_many(3)
    synced(alpha, beta)
    identity = replace(beta.node.identity, pool_keys=(pool.key,))
    pool.nodes[beta.address] = replace(beta.node, identity=identity)
    report = repair_from(pool, alpha, beta)
    assert (report.pools, report.wanted, report.ended) == (1, 3, "done")
    assert not alpha.work.breakers([beta.id])[beta.id].failures


# Peers that lie


@pytest.mark.parametrize(
    "lie", [{"size": Limits().post_bytes_max + 1}, {"published": 1}, {"published": NOW_MS * 2}]
)
def test_what_a_peer_says_of_a_post_talks_nobody_out_of_it(lie: dict[str, int]) -> None:
    pool, alpha, beta = drifted(1, 0, 0)
    beta.store.raise_floor(1_000)
    transport, beta = watched(pool, beta, alpha)

    def say(request: codec.Tree) -> Answer | None:
        if request["type"] != "get" or request.get("want") != "refs":
            return None
        return GetAnswer(refs=tuple(lied(post.ref, lie) for post in alpha.posts()))

    transport.say = say
    repair_from(pool, beta, alpha)
    transport.say = lambda _: None
    pool.clock.advance(400)
    repair_from(pool, beta, alpha)
    assert beta.digests() == alpha.digests()


def lied(honest: Ref, lie: dict[str, int]) -> Ref:
    published = lie.get("published", honest.published)
    return Ref(honest.id, honest.digest, published, lie.get("size", honest.size))


def test_digests_that_nobody_has_cost_a_look_and_no_hurry() -> None:
    pool, alpha, beta = drifted(0, 0, 3, limits=Limits(reconcile_items_max=1_000))
    transport, beta = watched(pool, beta, alpha)

    def say(request: codec.Tree) -> Answer | None:
        if request["type"] != "reconcile":
            return None
        invented = negentropy.SortedItems([(NOW_MS, bytes([9] * 31 + [n])) for n in range(200)])
        asked = negentropy.initiate(negentropy.SortedItems([]))
        return ReconcileAnswer(since=0, frame=b64url(negentropy.respond(invented, asked)))

    transport.say = say
    report = repair_from(pool, beta, alpha)
    assert (report.wanted, report.more) == (0, False)
    assert pause(beta, alpha) >= Limits().reconcile_seconds * 2 / 3
    assert transport.calls["get"] == 1
    assert not beta.work.queued()


def test_refs_that_were_not_asked_for_are_left() -> None:
    pool, alpha, beta = drifted(2, 0, 0)
    transport, beta = watched(pool, beta, alpha)
    other = ref(1)

    def say(request: codec.Tree) -> Answer | None:
        return GetAnswer(refs=(other,)) if request["type"] == "get" else None

    transport.say = say
    assert repair_from(pool, beta, alpha).wanted == 0
    assert not beta.work.queued()


def test_a_bad_answer_opens_the_breaker_as_malformed() -> None:
    pool, alpha, beta = drifted()
    transport, beta = watched(pool, beta, alpha)
    transport.say = lambda _: ReconcileAnswer(since=0, frame=b64url(b"?nonsense"))
    assert repair_from(pool, beta, alpha).ended == "BadAnswer"
    breaker = beta.work.breakers([alpha.id])[alpha.id]
    assert (breaker.end, breaker.failures) == ("malformed", 1)
    assert repair(beta.node, alpha.id).ended == "not reachable"


def test_a_node_that_knows_no_want_gives_posts_that_are_taken() -> None:
    pool, alpha, beta = drifted(3, 0, 0)
    transport, beta = watched(pool, beta, alpha)

    def say(request: codec.Tree) -> Answer | None:
        if request["type"] != "get":
            return None
        return GetAnswer(models=tuple(codec.model_tree(post) for post in alpha.posts()))

    transport.say = say
    assert repair_from(pool, beta, alpha).taken == 3
    assert beta.digests() == alpha.digests()


# Turns and budget


def test_a_usual_run_is_followed_by_the_usual_pause() -> None:
    pool, alpha, beta = drifted()
    repair_from(pool, alpha, beta)
    usual = Limits().reconcile_seconds
    assert usual * 2 / 3 <= pause(alpha, beta) <= usual * 4 / 3


def test_after_a_long_run_follows_a_pause_in_proportion() -> None:
    pool, alpha, beta = drifted(0, 0, 3)
    transport, alpha = watched(pool, alpha, beta)

    def say(_: codec.Tree) -> None:
        pool.clock.advance(30)

    transport.say = say
    repair_from(pool, alpha, beta)
    assert pause(alpha, beta) == pytest.approx(30 / Limits().reconcile_share)


def test_after_many_bytes_follows_a_pause_in_proportion() -> None:
    pool, alpha, beta = drifted(60, 60, 0, limits=Limits(reconcile_bytes_per_second=1))
    report = repair_from(pool, alpha, beta)
    assert pause(alpha, beta) == pytest.approx(report.size)
    assert report.size > 1_000


def test_one_worker_at_a_time_repairs_with_a_peer() -> None:
    _, alpha, beta = drifted()
    alpha.work.hold("repair", beta.id, "another worker", alpha.clock.now())
    assert repair(alpha.node, beta.id).ended == "held elsewhere"


@pytest.mark.parametrize("pulled", [True, False])
def test_nothing_is_compared_while_a_log_is_being_caught_up_with(pulled: bool) -> None:
    pool, alpha, beta = drifted()
    transport, alpha = watched(pool, alpha, beta)
    if pulled:
        alpha.work.note_progress(beta.id, Progress(0, alpha.clock.now(), 10, 501))
    else:
        now = alpha.clock.now()
        alpha.store.record_pull(beta.id, alpha.peer(beta).pulled, None, now=now)
    assert repair(alpha.node, beta.id).ended == "catching up"
    assert not transport.calls
    if pulled:  # a note that nobody renews is no reason for ever
        alpha.clock.advance(Limits().reconcile_seconds)
        assert repair(alpha.node, beta.id).ended == "done"


def test_of_much_that_a_mate_lacks_it_is_given_a_batch_and_comes_for_the_rest() -> None:
    pool, alpha, beta = drifted(1_200, 0, 0)
    report = repair_from(pool, alpha, beta)
    assert (report.given, report.more) == (500, False)


def test_a_mate_that_cannot_call_is_given_all_that_it_lacks() -> None:
    pool, alpha, beta = drifted(1_200, 0, 0)
    pool.nodes[alpha.address] = replace(alpha.node, address=None)
    pool.members[0] = replace(alpha, node=pool.nodes[alpha.address])
    report = repair_from(pool, pool.members[0], beta)
    assert report.given == 1_200
    assert alpha.digests() == beta.digests()


def test_a_run_that_finds_nobody_is_over() -> None:
    pool, alpha, beta = drifted()
    pool.transport.cut(beta.address)
    assert repair(alpha.node, beta.id).ended == "PeerUnavailable"
    assert repair(alpha.node, beta.id).ended == "not reachable"


# Peers that cannot compare


def test_the_log_of_a_peer_that_cannot_compare_is_read_again_once_in_a_while() -> None:
    pool, alpha, beta = drifted(3, 0, 0, policy=OFF)
    transport, beta = watched(pool, beta, alpha)
    assert repair_from(pool, beta, alpha).ended == "not supported"
    assert not beta.texts() & {"only alpha's 0"}
    assert 0 < pause(beta, alpha) <= Limits().sweep_seconds
    pool.clock.advance(pause(beta, alpha))
    assert repair_from(pool, beta, alpha).ended == "reading its log again"
    assert beta.digests() == alpha.digests()
    assert transport.calls["reconcile"] == 2
    assert pause(beta, alpha) >= Limits().sweep_seconds * 2 / 3


def test_a_flush_has_nobody_read_whole_logs_at_once() -> None:
    pool, alpha, beta = drifted(3, 0, 0, policy=OFF)
    for _ in range(3):
        beta.work.flush()
        assert repair_from(pool, beta, alpha).ended == "not supported"
    assert beta.digests() != alpha.digests()


def test_reading_a_log_again_waits_for_a_pull_under_way() -> None:
    pool, alpha, beta = drifted(3, 0, 0, policy=OFF)
    cursor = beta.peer(alpha).pulled
    repair_soon(beta.node)
    beta.work.hold("pull", alpha.id, "another worker", beta.clock.now())
    assert repair(beta.node, alpha.id).ended == "held elsewhere"
    assert beta.peer(alpha).pulled == cursor
    assert pause(beta, alpha) <= 0
    beta.clock.advance(Limits().lease_seconds + 1)
    assert repair_from(pool, beta, alpha).ended == "reading its log again"


# What was given up


def test_a_post_from_the_future_arrives_once_its_time_has_come() -> None:
    pool, alpha, beta = pair()
    alpha.publish("ahead", published=NOW_MS + (DAY + 7_200) * 1000)
    pool.settle()
    live(pool, 3_600, step=200)
    assert beta.texts() == set()
    live(pool, 3 * 3_600, step=200)
    assert beta.texts() == {"ahead"}


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("policy", [Policy(), OFF])
def test_dead_letters_are_tried_again_some_day_even_after_a_flush(
    flushed: bool, policy: Policy
) -> None:
    limits = Limits(fetch_attempts_max=1, crash_attempts_max=1)
    pool, alpha, beta = pair(limits=limits, policy=policy)
    alpha.publish_many(5, "held")
    pool.settle()
    alpha.publish("poison")
    synced(alpha, beta)
    (poison,) = (post.ref for post in alpha.posts() if post.content.text == "poison")
    beta.work.want(alpha.id, [poison], NOW_MS)
    beta.work.lease(alpha.id, 10, 1 << 20, beta.clock.now())
    beta.clock.advance(limits.lease_seconds + 1)
    beta.work.lease(alpha.id, 10, 1 << 20, beta.clock.now())
    assert [letter.ref for letter in beta.work.dead(10)] == [poison]
    if flushed:
        beta.work.flush()
    live(pool, 3 * DAY, step=2_000)
    assert "poison" in beta.texts()


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


def test_the_operators_word_has_all_peers_repaired_at_the_next_tick() -> None:
    pool, alpha, beta = drifted()
    repair_from(pool, alpha, beta)
    repair_soon(alpha.node)
    assert pause(alpha, beta) == 0
    repair_soon(alpha.node, [])
    repair_soon(alpha.node, [beta.id])
    assert pause(alpha, beta) == 0
