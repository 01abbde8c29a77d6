"""Comparing sets: what differs is found within bounds, whatever a peer answers."""

import random

import pytest

from replicator.errors import BadAnswer, PeerRefused
from replicator.limits import Limits
from replicator.node.comparing import Difference, compare
from replicator.protocol import codec
from replicator.protocol.ids import Cursor, Digest
from replicator.protocol.messages import Answer, PullAnswer, Reconcile, ReconcileAnswer
from replicator.protocol.signing import b64url
from replicator.rules import negentropy
from replicator.rules.policy import Policy
from tests.support.drifted import drifted, watched
from tests.support.pool import NOW_MS, Member, read, send

FOREVER = float("inf")


def compared(one: Member, other: Member, *, deadline: float = FOREVER) -> Difference:
    (pool,) = one.node.identity.pools
    return compare(one.node, one.peer(other), pool, deadline=deadline)


def only(one: Member, other: Member) -> set[Digest]:
    return one.digests() - other.digests()


@pytest.mark.parametrize(("here", "there", "common"), [(3, 2, 5), (0, 70, 0), (200, 1, 300)])
def test_a_comparison_finds_what_each_side_lacks(here: int, there: int, common: int) -> None:
    _, alpha, beta = drifted(here, there, common)
    found = compared(alpha, beta)
    assert found.complete
    assert (len(found.have), len(found.need)) == (here, there)
    assert set(found.have) == only(alpha, beta)
    assert set(found.need) == only(beta, alpha)


def test_equal_sets_are_told_by_one_question_under_a_kilobyte() -> None:
    _, alpha, beta = drifted(0, 0, 700)
    found = compared(alpha, beta)
    assert found.is_none
    assert found.rounds == 1
    assert found.sent + found.received < 1_000


def test_posts_that_come_while_sets_are_compared_do_no_harm() -> None:
    pool, alpha, beta = drifted(300, 300, 300)
    transport, alpha = watched(pool, alpha, beta)

    def say(_: codec.Tree) -> None:
        alpha.publish_many(40, f"late {sum(transport.calls.values())}")
        beta.publish_many(40, f"late {sum(transport.calls.values())}")

    transport.say = say
    before = only(alpha, beta), only(beta, alpha)
    found = compared(alpha, beta)
    assert found.complete
    assert before[0] <= set(found.have) <= only(alpha, beta)
    assert before[1] <= set(found.need) <= only(beta, alpha)


def test_a_comparison_ends_at_the_bound_of_what_is_needed_and_says_so() -> None:
    _, alpha, beta = drifted(0, 300, 0, limits=Limits(reconcile_items_max=100))
    found = compared(alpha, beta)
    assert not found.complete
    assert len(found.need) == 100


def test_more_that_the_peer_lacks_does_not_hide_what_is_needed() -> None:
    _, alpha, beta = drifted(300, 5, 0, limits=Limits(reconcile_items_max=100))
    found = compared(alpha, beta)
    assert not found.complete
    assert len(found.have) == 100
    assert set(found.need) == only(beta, alpha)


def test_no_question_is_asked_after_the_deadline() -> None:
    pool, alpha, beta = drifted()
    transport, alpha = watched(pool, alpha, beta)
    found = compared(alpha, beta, deadline=alpha.clock.monotonic())
    assert (found.rounds, found.complete) == (0, False)
    assert not transport.calls


def test_sets_are_compared_from_the_higher_floor_on_whoever_has_it() -> None:
    _, alpha, beta = drifted(0, 0, 0)
    alpha.publish("old", published=NOW_MS - 9_000_000)
    beta.publish("old too", published=NOW_MS - 9_000_000)
    alpha.publish("new", published=NOW_MS)
    new = {post.digest for post in alpha.posts() if post.content.text == "new"}
    beta.store.raise_floor(NOW_MS - 3_600_000)
    found = compared(alpha, beta)
    assert (set(found.have), found.need, found.complete) == (new, (), True)
    assert found.rounds == 2
    found = compared(beta, alpha)
    assert (found.have, set(found.need), found.rounds) == ((), new, 1)


def test_a_peer_whose_floor_rises_with_every_question_is_cut_off() -> None:
    pool, alpha, beta = drifted()
    transport, alpha = watched(pool, alpha, beta)
    transport.say = lambda request: ReconcileAnswer(since=request["since"] + 1)
    with pytest.raises(BadAnswer):
        compared(alpha, beta)
    assert transport.calls["reconcile"] == 4


@pytest.mark.parametrize(
    "said",
    [
        PullAnswer(refs=(), cursor=Cursor("c")),
        ReconcileAnswer(since=0),
        ReconcileAnswer(since=0, frame="Y"),
        ReconcileAnswer(since=0, frame=b64url(b"\x61\x00\x00")),
        ReconcileAnswer(since=0, frame=b64url(b"")),
        ReconcileAnswer(since=0, frame=b64url(bytes(range(200)))),
    ],
)
def test_nonsense_for_an_answer_is_a_bad_answer(said: Answer) -> None:
    pool, alpha, beta = drifted()
    transport, alpha = watched(pool, alpha, beta)
    transport.say = lambda _: said
    with pytest.raises(BadAnswer):
        compared(alpha, beta)


def test_a_peer_that_names_no_difference_and_no_end_is_cut_off() -> None:
    pool, alpha, beta = drifted(100, 0, 0)
    transport, alpha = watched(pool, alpha, beta)
    chance = random.Random(1)

    def say(_: codec.Tree) -> Answer:
        digests = [(NOW_MS, chance.randbytes(32)) for _ in range(100)]
        frame = negentropy.initiate(negentropy.SortedItems(digests), 4096)
        return ReconcileAnswer(since=0, frame=b64url(frame))

    transport.say = say
    with pytest.raises(BadAnswer):
        compared(alpha, beta)
    assert transport.calls["reconcile"] == Limits().reconcile_rounds_max


def test_digests_that_a_peer_invents_are_bounded() -> None:
    pool, alpha, beta = drifted(0, 0, 3, limits=Limits(reconcile_items_max=1_000))
    transport, alpha = watched(pool, alpha, beta)
    chance = random.Random(1)

    def say(_: codec.Tree) -> Answer:
        items = [(NOW_MS, chance.randbytes(32)) for _ in range(900)]
        listed = negentropy.SortedItems(sorted(items))
        ask = negentropy.initiate(negentropy.SortedItems([]))  # an empty list of all
        return ReconcileAnswer(since=0, frame=b64url(negentropy.respond(listed, ask)))

    transport.say = say
    found = compared(alpha, beta)
    assert len(found.need) <= 1_000
    assert transport.calls["reconcile"] <= 3


def test_a_node_that_does_not_compare_says_so() -> None:
    _, alpha, beta = drifted(policy=Policy(reconcile="off"))
    with pytest.raises(PeerRefused) as refused:
        compared(alpha, beta)
    assert refused.value.code == "not-supported"


@pytest.mark.parametrize("frame", ["", "YQ", "!", "YR", b64url(b"\x61\x00\x00"), "_" * 1_000])
def test_a_malformed_question_gets_an_error_or_a_short_answer(frame: str) -> None:
    _, alpha, beta = drifted()
    (pool,) = alpha.node.identity.pools
    request = {**codec.request_tree(Reconcile(scope=pool, since=0, frame="")), "frame": frame}
    answer = read(send(alpha, beta, request))
    if frame == "YQ":  # the version alone is a message that says nothing
        assert answer["status"] == "success"
    else:
        assert (answer["status"], answer["code"]) == ("error", "malformed")


def test_a_member_of_another_pool_is_refused() -> None:
    _, alpha, beta = drifted()
    (other,) = beta.node.identity.public_node_keys
    stranger = Reconcile(scope=other, since=0, frame="YQ")
    answer = read(send(alpha, beta, codec.request_tree(stranger)))
    assert answer["code"] == "forbidden"
