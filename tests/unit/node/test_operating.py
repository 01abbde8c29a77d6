"""The operator's verbs over twins: pause, resume, flush, resync, forget, roster, dead letters."""

from collections.abc import Callable

import pytest

from replicator.errors import ConfigurationError, CursorConflict
from replicator.node import node_page, operating, roster
from replicator.node.announce import announce
from replicator.node.health import ask, note_failure, reachable
from replicator.node.ports import Member as Introduced
from replicator.node.ports import Progress, Settlement
from replicator.node.pull import pull
from replicator.node.repair import repair
from replicator.protocol import node_document
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Pull
from replicator.rules.breaker import Breaker
from replicator.rules.policy import Policy
from tests.support.pool import Member, Pool, pair
from tests.support.refs import digest, refs

GONE = NodeId("gone.example")
PERIODIC = ("pull", "repair", "roster")


def fail(one: Member, other: Member) -> None:
    """Open the breaker of a peer."""
    note_failure(one.node, other.id, RuntimeError("gone"), one.clock.now())
    assert not reachable(one.node, one.peer(other))


def dues(one: Member, other: Member) -> list[int]:
    return [one.work.dues(kind, [other.id])[other.id] for kind in PERIODIC]


def rings(member: Member) -> set[str]:
    return {ring.task for ring in member.doorbell.take()}


def test_a_paused_peer_is_not_called_and_loses_nothing() -> None:
    pool, alpha, beta = pair()
    assert operating.pause(alpha.node, beta.id)
    assert not operating.pause(alpha.node, beta.id), "twice is once"
    alpha.publish("waits")
    pool.settle()
    for work in (announce, pull, repair):
        assert work(alpha.node, beta.id).ended == "not reachable"
    assert beta.texts() == set()
    assert operating.resume(alpha.node, beta.id)
    pool.settle()
    assert beta.texts() == {"waits"}
    assert not operating.resume(alpha.node, beta.id)


def test_a_paused_peer_may_call_and_is_answered() -> None:
    _, alpha, beta = pair()
    operating.pause(alpha.node, beta.id)
    alpha.publish("asked for")
    assert pull(beta.node, alpha.id).stored == 1
    assert beta.texts() == {"asked for"}


def test_resuming_forgives_and_rings() -> None:
    _, alpha, beta = pair()
    operating.pause(alpha.node, beta.id)
    note_failure(alpha.node, beta.id, RuntimeError("gone"), alpha.clock.now())
    alpha.doorbell.take()
    operating.resume(alpha.node, beta.id)
    assert reachable(alpha.node, alpha.peer(beta))
    assert rings(alpha) == {"announce", "fetch"}
    assert dues(alpha, beta) == [alpha.clock.now()] * 3


def test_a_flush_makes_all_that_waits_due_and_drops_nothing() -> None:
    _, alpha, beta = pair()
    now = alpha.clock.now()
    fail(alpha, beta)
    alpha.publish("one", "two")
    alpha.work.want(beta.id, refs(3), now)
    lease = alpha.work.lease(beta.id, 2, 1 << 40, now)
    assert lease is not None
    later = {item.ref.digest: now + 300_000 for item in lease.items}
    alpha.work.settle(lease, Settlement(failed=later), now)
    for kind in ("announce", "fetch", "pull", "repair", "roster"):
        alpha.work.ring(kind, beta.id, now)  # the messages of these are lost
    alpha.work.set_dues("announce", {beta.id: now + 30_000})
    alpha.doorbell.take()

    flushed = operating.flush(alpha.node, beta.id)
    assert (flushed.hastened, flushed.queued, flushed.behind) == (2, 3, 2)
    assert reachable(alpha.node, alpha.peer(beta))
    assert rings(alpha) == {"announce", "fetch"}
    assert dues(alpha, beta) == [now] * 3
    assert alpha.work.dues("announce", [beta.id]) == {beta.id: now}
    assert alpha.work.ring("pull", beta.id, now), "the tick may ring"
    again = alpha.work.lease(beta.id, 9, 1 << 40, now)
    assert again is not None
    assert sorted(item.attempts for item in again.items) == [0, 1, 1]
    assert operating.flush(alpha.node, beta.id).hastened == 0


def test_a_flush_of_a_paused_peer_says_what_to_do_first() -> None:
    _, alpha, beta = pair()
    operating.pause(alpha.node, beta.id)
    with pytest.raises(ConfigurationError, match="peers resume beta"):
        operating.flush(alpha.node, beta.id)


@pytest.mark.parametrize(
    "verb", [operating.pause, operating.resume, operating.flush, operating.resync]
)
def test_a_verb_for_nobody_is_refused(verb: Callable[..., object]) -> None:
    _, alpha, _ = pair()
    with pytest.raises(ConfigurationError, match="peers list"):
        verb(alpha.node, GONE)


def test_a_resync_brings_what_both_believed_to_be_there() -> None:
    _, alpha, beta = pair()
    beta.publish("lost")
    end = beta.store.end_cursor()
    alpha.store.record_pull(beta.id, None, end, now=alpha.clock.now())
    assert pull(alpha.node, beta.id).stored == 0
    alpha.work.note_progress(beta.id, Progress(1, 2, 3, 4))
    fail(alpha, beta)

    assert operating.resync(alpha.node, beta.id)
    assert operating.resync(alpha.node, beta.id), "twice is once"
    assert alpha.peer(beta).pulled is None
    assert alpha.work.progresses([beta.id]) == {}
    assert dues(alpha, beta) == [alpha.clock.now()] * 3
    assert reachable(alpha.node, alpha.peer(beta))
    assert pull(alpha.node, beta.id).stored == 1
    assert alpha.texts() == {"lost"}


def test_a_resync_tries_again_what_was_given_up() -> None:
    _, alpha, beta = pair()
    bury(alpha, beta.id, 1)
    operating.resync(alpha.node, beta.id)
    assert alpha.work.dead(10) == []
    assert alpha.work.queued() == {beta.id: 1}


def test_a_paused_peer_is_resynced_once_it_is_resumed() -> None:
    pool, alpha, beta = pair()
    beta.publish("post")
    pool.settle()
    pull(alpha.node, beta.id)
    operating.pause(alpha.node, beta.id)
    assert not operating.resync(alpha.node, beta.id)
    assert alpha.peer(beta).pulled is None
    assert alpha.peer(beta).paused


def test_a_resync_overtakes_a_pull_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    _, alpha, beta = pair()
    beta.publish("one")
    pull(alpha.node, beta.id)
    record = alpha.store.record_pull
    lost = iter((True, True, False))

    def contended(*args: object, **options: object) -> object:
        if next(lost):
            raise CursorConflict("moved")
        return record(*args, **options)

    monkeypatch.setattr(alpha.store, "record_pull", contended)
    operating.resync(alpha.node, beta.id)
    assert alpha.peer(beta).pulled is None


def test_a_forgotten_peer_leaves_nothing_in_hand() -> None:
    _, alpha, beta = pair()
    alpha.work.want(beta.id, refs(2), alpha.clock.now())
    bury(alpha, beta.id, 5)
    fail(alpha, beta)
    assert operating.forget(alpha.node, beta.id)
    assert not operating.forget(alpha.node, beta.id)
    assert alpha.store.peer(beta.id) is None
    assert alpha.work.queued() == {}
    assert alpha.work.dead(10) == []
    assert alpha.work.breakers([beta.id]) == {beta.id: Breaker()}


# the roster


def introduce(one: Member, other: Member, *, offered: bool = True) -> None:
    """Let a node keep another one's introduction."""
    tree = node_page.current(other.node)
    document = node_document.read_tree(tree)
    member = Introduced(
        other.id, frozenset(document.pools), node_document.compact(tree), document.time, offered
    )
    one.store.note_member(member, one.clock.now())


def strangers() -> tuple[Pool, Member, Member]:
    pool = Pool()
    policy = Policy(roster="ask")
    return pool, pool.add("alpha", policy=policy), pool.add("beta", policy=policy)


def test_an_offered_member_is_added_with_the_address_and_keys_of_its_introduction() -> None:
    _, alpha, beta = strangers()
    introduce(alpha, beta)
    assert [member.node for member in operating.offered(alpha.node)] == [beta.id]
    document = operating.introduced(alpha.node, beta.id)
    operating.add(alpha.node, beta.id, None, document)
    assert alpha.peer(beta).address == beta.address
    (pin,) = alpha.store.pins(beta.id)
    assert (pin.key, pin.source) == (beta.node.identity.node_keys[0].public, "roster")
    assert operating.offered(alpha.node) == [], "a peer is offered no more"
    assert dues(alpha, beta) == [alpha.clock.now()] * 3
    ask(alpha.node, alpha.peer(beta), Pull(limit=1))
    assert alpha.peer(beta).pools == alpha.node.identity.pools


def test_an_address_given_by_hand_goes_before_that_of_the_introduction() -> None:
    _, alpha, beta = strangers()
    introduce(alpha, beta)
    document = operating.introduced(alpha.node, beta.id)
    operating.add(alpha.node, beta.id, "http://elsewhere", document)
    assert alpha.peer(beta).address == "http://elsewhere"


def test_a_member_that_nobody_introduced_is_added_without_keys() -> None:
    _, alpha, beta = strangers()
    assert operating.introduced(alpha.node, beta.id) is None
    operating.add(alpha.node, beta.id, None, None)
    assert alpha.peer(beta).address is None
    assert alpha.store.pins(beta.id) == ()


def test_a_member_that_policy_kept_out_is_not_offered() -> None:
    _, alpha, beta = strangers()
    introduce(alpha, beta, offered=False)
    assert operating.offered(alpha.node) == roster.offered(alpha.node) == []


# dead letters


def bury(one: Member, holder: NodeId, number: int) -> None:
    """Make one dead letter."""
    now = one.clock.now()
    one.work.want(holder, refs(1, first=number), now)
    lease = None
    while lease is None or lease.items[0].ref.digest != digest(number):
        lease = one.work.lease(holder, 1, 1 << 40, now)
        assert lease is not None
    one.work.settle(lease, Settlement(dead={digest(number): "not given"}), now)


def test_dead_letters_are_chosen_by_digest_by_holder_or_all() -> None:
    _, alpha, beta = pair()
    for holder, number in ((beta.id, 1), (GONE, 1), (GONE, 2)):
        bury(alpha, holder, number)
    assert len(operating.letters(alpha.node)) == 3
    assert len(operating.letters(alpha.node, [digest(1)])) == 2
    assert len(operating.letters(alpha.node, holder=GONE)) == 2
    chosen = operating.letters(alpha.node, [digest(1)], GONE)
    assert [(one.holder, one.ref.digest) for one in chosen] == [(GONE, digest(1))]


def test_requeued_letters_ring_for_their_holder_and_leave_the_others() -> None:
    _, alpha, beta = pair()
    bury(alpha, beta.id, 1)
    bury(alpha, GONE, 1)
    alpha.doorbell.take()
    chosen = operating.letters(alpha.node, holder=beta.id)
    assert operating.requeue(alpha.node, chosen, beta.id) == 1
    assert [(ring.task, ring.peer) for ring in alpha.doorbell.take()] == [("fetch", beta.id)]
    assert alpha.work.queued() == {beta.id: 1}
    assert operating.requeue(alpha.node, [], beta.id) == 0
    assert [letter.holder for letter in alpha.work.dead(9)] == [GONE]


def test_dropped_letters_of_one_holder_leave_the_others() -> None:
    _, alpha, beta = pair()
    bury(alpha, beta.id, 1)
    bury(alpha, GONE, 1)
    chosen = operating.letters(alpha.node, holder=GONE)
    assert operating.drop(alpha.node, chosen, GONE) == 1
    assert operating.drop(alpha.node, chosen, GONE) == 0
    assert [letter.holder for letter in alpha.work.dead(9)] == [beta.id]


def test_a_letter_of_a_post_that_came_from_elsewhere_is_not_shown() -> None:
    _, alpha, beta = pair()
    alpha.publish("held")
    held, now = alpha.posts()[0].ref, alpha.clock.now()
    alpha.work.want(beta.id, [held], now)
    lease = alpha.work.lease(beta.id, 1, 1 << 40, now)
    assert lease is not None
    alpha.work.settle(lease, Settlement(dead={held.digest: "no"}), now)
    assert len(alpha.work.dead(9)) == 1
    assert operating.letters(alpha.node) == []
