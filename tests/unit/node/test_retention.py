"""Retention: what is too old, or too much, goes, and comes back by no way."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from replicator.adapters.memory.clock import ManualClock
from replicator.adapters.memory.store import MemoryStore
from replicator.limits import Limits
from replicator.node import node_page
from replicator.node.fetch import fetch
from replicator.node.ports import Keep, WireAnswer
from replicator.node.pull import pull
from replicator.node.repair import repair
from replicator.node.retention import Expired, expire
from replicator.node.upkeep import upkeep
from replicator.protocol import codec, node_document
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Put
from tests.support.pool import NOW_MS, Member, Pool, pair, read, send

DAY_SECONDS = 86_400
DAY_MS = DAY_SECONDS * 1000
LONG_AGO = NOW_MS - 40 * DAY_MS
KEEP_DAYS = 30


def keeping(pool: Pool, member: Member, **settings: Any) -> Member:
    """Return a member as it is after a restart with other settings."""
    node = dataclasses.replace(member.node, **settings)
    pool.nodes[member.address] = node
    changed = dataclasses.replace(member, node=node)
    pool.members[pool.members.index(member)] = changed
    return changed


def forgetful_pair(**settings: Any) -> tuple[Pool, Member, Member]:
    """Return alpha, which keeps everything, and beta, which does not."""
    pool, alpha, beta = pair()
    return pool, alpha, keeping(pool, beta, **(settings or {"keep_days": KEEP_DAYS}))


def put(sender: Member, recipient: Member, kind: str) -> list[tuple[str, str | None]]:
    """Put all posts of ``sender`` as models or refs; return result and reason of each."""
    posts = sorted(sender.posts(), key=lambda post: post.published)
    items = [codec.model_tree(post) if kind == "models" else post.ref for post in posts]
    document = codec.request_tree(Put(**{kind: tuple(items)}))
    answer = read(send(sender, recipient, document))
    return [(item["result"], item.get("reason")) for item in answer["items"]]


def nothing_came(member: Member) -> bool:
    """Tell whether a node neither holds nor waits for anything."""
    totals = member.store.totals()
    return (totals.posts, totals.gaps, member.work.queued()) == (0, 0, {})


class Counted:
    """A transport that counts the calls made through it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls = 0

    def post(self, url: str, headers: Mapping[str, str], body: bytes, **rest: Any) -> WireAnswer:
        self.calls += 1
        answer: WireAnswer = self._inner.post(url, headers, body, **rest)
        return answer


def test_what_is_older_than_kept_goes_and_the_rest_stays() -> None:
    pool, alpha, beta = pair()
    for member in (alpha, beta):
        member.publish("old", published=LONG_AGO)
        member.publish("new")
    pool.settle()
    assert len(beta.posts()) == 4
    beta = keeping(pool, beta, keep_days=KEEP_DAYS)
    assert upkeep(beta.node).expired > 0
    assert beta.texts() == {"new"}
    assert len(alpha.posts()) == 4
    assert upkeep(beta.node).expired == 0


def test_without_a_setting_nothing_ever_goes() -> None:
    _, alpha, _ = pair()
    alpha.publish("from the first day", published=0)
    assert expire(alpha.node) == Expired()
    assert alpha.texts() == {"from the first day"}


def test_the_floor_stands_in_the_node_document() -> None:
    _, _, beta = forgetful_pair()
    assert _floor_told(beta) == 0
    expire(beta.node)
    assert _floor_told(beta) == beta.store.floor() > NOW_MS - 31 * DAY_MS


def _floor_told(member: Member) -> int:
    body = codec.encode(codec.JSON, node_page.current(member.node))
    return node_document.read(codec.JSON, body, Limits()).floor


def test_a_floor_never_moves_down_whatever_is_set_later() -> None:
    pool, alpha, beta = forgetful_pair()
    expire(beta.node)
    floor = beta.store.floor()
    for days in (365, None):
        beta = keeping(pool, beta, keep_days=days)
        expire(beta.node)
        assert beta.store.floor() == floor
    beta.clock.set_wall(NOW_MS - 20 * DAY_MS)
    expire(keeping(pool, beta, keep_days=KEEP_DAYS).node)
    assert beta.store.floor() == floor
    assert alpha.store.floor() == 0


@pytest.mark.parametrize("kind", ["models", "refs"])
def test_a_put_of_what_has_expired_is_refused(kind: str) -> None:
    _, alpha, beta = forgetful_pair()
    expire(beta.node)
    alpha.publish("old", published=LONG_AGO)
    assert put(alpha, beta, kind) == [("refused", "expired")]
    assert nothing_came(beta)


@pytest.mark.parametrize("kind", ["models", "refs"])
def test_what_was_held_and_expired_is_not_taken_again(kind: str) -> None:
    pool, alpha, beta = pair()
    alpha.publish("old", published=LONG_AGO)
    pool.settle()
    beta = keeping(pool, beta, keep_days=KEEP_DAYS)
    expire(beta.node)
    assert [result for result, _ in put(alpha, beta, kind)] in (["known"], ["refused"])
    assert nothing_came(beta)


def test_a_pull_passes_what_has_expired_be_it_refs_or_models() -> None:
    _, alpha, beta = forgetful_pair()
    expire(beta.node)
    texts = [f"old {number}" for number in range(600)]
    alpha.publish(*texts, published=LONG_AGO)
    alpha.publish("new")
    pull(beta.node, alpha.id)
    pull(beta.node, alpha.id)
    assert beta.peer(alpha).pulled == alpha.store.end_cursor()
    fetch(beta.node, alpha.id)
    assert beta.texts() == {"new"}
    assert (beta.store.totals().gaps, beta.work.queued()) == (0, {})


def test_what_expires_while_it_waits_to_be_fetched_is_not_asked_for() -> None:
    pool = Pool()
    counted = Counted(pool.transport)
    alpha, beta = pool.add("alpha"), pool.add("beta", transport=counted)  # type: ignore[arg-type]
    pool.acquaint(alpha, beta)
    beta = keeping(pool, beta, keep_days=KEEP_DAYS)
    alpha.publish("old soon", published=NOW_MS - 29 * DAY_MS)
    alpha.publish("new")
    assert put(alpha, beta, "refs") == [("wanted", None), ("wanted", None)]
    pool.clock.advance(2 * DAY_SECONDS)
    expire(beta.node)
    fetch(beta.node, alpha.id)
    assert beta.texts() == {"new"}
    assert beta.work.queued() == {}
    assert beta.work.dead(9) == []
    alpha.publish("old soon too", published=NOW_MS - 28 * DAY_MS)
    alpha.publish("newer")
    put(alpha, beta, "refs")
    calls = counted.calls
    pool.clock.advance(60 * DAY_SECONDS)
    expire(beta.node)
    fetch(beta.node, alpha.id)
    assert (counted.calls, beta.work.queued()) == (calls, {})


def test_a_gap_that_expires_is_closed_without_a_question() -> None:
    pool = Pool()
    counted = Counted(pool.transport)
    alpha, beta = pool.add("alpha"), pool.add("beta", transport=counted)  # type: ignore[arg-type]
    pool.acquaint(alpha, beta)
    beta = keeping(pool, beta, keep_days=KEEP_DAYS)
    alpha.publish("old soon", published=NOW_MS - 29 * DAY_MS)
    gap = alpha.posts()[0].ref
    beta.store.record_pull(alpha.id, None, alpha.store.end_cursor(), gaps=[gap], now=NOW_MS)
    assert upkeep(beta.node).gaps == 1
    calls = counted.calls
    pool.clock.advance(2 * DAY_SECONDS)
    upkeep(beta.node)
    fetch(beta.node, alpha.id)
    assert counted.calls == calls
    assert nothing_came(beta)


def test_mates_with_other_floors_agree_that_nothing_is_missing() -> None:
    pool, alpha, beta = pair()
    alpha.publish(*(f"old {number}" for number in range(30)), published=LONG_AGO)
    alpha.publish("new")
    pool.settle()
    beta = keeping(pool, beta, keep_days=KEEP_DAYS)
    expire(beta.node)
    for one, other in ((beta, alpha), (alpha, beta)):
        pull(one.node, other.id)
        report = repair(one.node, other.id)
        assert report.pools == 1
        assert (report.wanted, report.taken, report.given, report.more) == (0, 0, 0, False)
    assert beta.texts() == {"new"}
    assert len(alpha.posts()) == 31


def test_a_post_dated_before_the_floor_is_not_published_and_the_board_is_told_why() -> None:
    _, _, beta = forgetful_pair()
    expire(beta.node)
    floor = beta.store.floor()
    refused, stored = (beta.publish("x", published=time)[0] for time in (floor - 1, floor))
    assert (refused.status, stored.status) == ("refused", "stored")
    assert refused.reason is not None
    assert refused.reason.startswith("published: posts dated before 2023-10-15T")
    assert len(beta.posts()) == 1


@pytest.mark.parametrize("keep", ["posts", "size"])
def test_of_each_origin_the_newest_are_kept_and_the_others_never_asked_for(keep: str) -> None:
    pool, alpha, beta = pair()
    for number in range(10):
        alpha.publish(f"post {number}", published=NOW_MS + number)
    beta.publish("its own", published=0)
    size = max(post.ref.size for post in alpha.posts())
    bound = Keep(posts=5) if keep == "posts" else Keep(size=5 * size)
    beta = keeping(pool, beta, keep=bound)
    pool.settle()
    assert upkeep(beta.node).expired > 0
    newest = {"its own", *(f"post {number}" for number in range(5, 10))}
    assert beta.texts() == newest
    assert {result for result, _ in put(alpha, beta, "refs")[:6]} <= {"known", "refused"}
    beta.store.forget_peer(alpha.id)
    pool.acquaint(alpha, beta)
    beta.work.flush()
    pull(beta.node, alpha.id)
    fetch(beta.node, alpha.id)
    assert beta.texts() == newest
    assert (beta.store.totals().gaps, beta.work.queued()) == (0, {})


def test_a_node_that_keeps_few_of_its_own_refuses_what_it_would_remove_at_once() -> None:
    pool, alpha, _ = pair()
    alpha = keeping(pool, alpha, keep=Keep(posts=2))
    for number in range(4):
        alpha.publish(f"post {number}", published=NOW_MS + number)
    expire(alpha.node)
    assert alpha.texts() == {"post 2", "post 3"}
    (result,) = alpha.publish("older", published=NOW_MS)
    assert result.status == "refused"
    assert alpha.texts() == {"post 2", "post 3"}


class SlowStore(MemoryStore):
    """A store whose removing takes five seconds a time."""

    clock: ManualClock

    def expire(self, keep: Keep, now: int) -> int:
        self.clock.advance(5)
        return super().expire(keep, now)


def test_much_to_remove_is_removed_slice_by_slice() -> None:
    limits = Limits(expire_items_max=10)
    pool = Pool()
    alpha = pool.add("alpha", limits=limits)
    store = SlowStore(limits)
    store.clock = pool.clock
    alpha = dataclasses.replace(
        alpha, store=store, node=dataclasses.replace(alpha.node, store=store, keep_days=KEEP_DAYS)
    )
    alpha.publish(*(f"old {number}" for number in range(50)), published=LONG_AGO)
    left = []
    while expire(alpha.node).more:
        left.append(len(alpha.posts()))
        assert len(left) < 20
    assert left[:3] == [30, 10, 0]
    assert alpha.posts() == []


def test_an_origin_that_nobody_knows_has_no_floor() -> None:
    _, alpha, _ = pair()
    assert alpha.store.origin_floors([NodeId("nobody")]) == {}
