"""Pulling: a node that missed everything ends up complete, page by page, whatever gets lost."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from replicator.adapters.memory.store import MemoryStore
from replicator.errors import CursorConflict, PeerUnavailable
from replicator.limits import Limits
from replicator.node.fetch import fetch
from replicator.node.ports import WireAnswer
from replicator.node.pull import pull
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.ids import Cursor
from replicator.protocol.messages import Pull
from tests.support.pool import NOW_MS, Member, Pool, know, pair, read, send, trio


class Slow:
    """A transport whose calls take time."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        self._pool.clock.advance(self._seconds)
        return self._pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError


class FailingAfter(Slow):
    """A transport that reaches nobody after some calls."""

    def __init__(self, pool: Pool, calls: int) -> None:
        super().__init__(pool, seconds=0)
        self.calls_left = calls

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise PeerUnavailable("gone")
        return super().post(url, headers, body, seconds=seconds, bytes_max=bytes_max)


def quiet(*members: Member) -> None:
    for member in members:
        member.doorbell.take()


def test_an_empty_node_catches_up_over_many_pages() -> None:
    _, alpha, beta = pair()
    alpha.publish_many(1_234)
    report = pull(beta.node, alpha.id)
    assert report.ended == "done"
    assert not report.more
    assert report.stored == 1_234
    assert beta.digests() == alpha.digests()
    assert beta.work.queued() == {}


def test_catching_up_asks_for_posts_at_once_after_the_first_page_of_refs() -> None:
    _, alpha, beta = pair()
    alpha.publish_many(1_000)
    report = pull(beta.node, alpha.id)
    assert report.wanted == 0
    assert report.pages == 3


def test_a_second_pull_brings_only_what_is_new() -> None:
    _, alpha, beta = pair()
    alpha.publish_many(700)
    pull(beta.node, alpha.id)
    alpha.publish("new")
    report = pull(beta.node, alpha.id)
    assert beta.digests() == alpha.digests()
    assert report.stored + report.wanted <= 1
    assert report.pages <= 2


def test_pulling_what_is_held_already_moves_the_cursor_and_stores_nothing() -> None:
    pool, alpha, beta = pair()
    alpha.publish_many(20)
    pool.settle()
    before = beta.store.last_change()
    report = pull(beta.node, alpha.id)
    assert (report.stored, report.wanted) == (0, 0)
    assert beta.store.last_change() == before
    assert beta.peer(alpha).pulled == alpha.store.end_cursor()


def test_pulled_posts_are_not_announced_to_the_pool_again() -> None:
    _, alpha, beta, _ = trio()
    alpha.publish("hello")
    quiet(alpha)
    pull(beta.node, alpha.id)
    assert beta.texts() == {"hello"}
    assert beta.doorbell.take() == []


def test_a_slice_ends_in_time_and_tells_that_there_is_more() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta", transport=Slow(pool, seconds=3))
    pool.acquaint(alpha, beta)
    alpha.publish_many(2_100)
    quiet(alpha)
    report = pull(beta.node, alpha.id)
    assert (report.more, report.ended) == (True, "done")
    assert len(beta.digests()) < 2_100
    rang = pool.settle()
    assert {ring.task for ring in rang} <= {"pull", "fetch"}
    assert beta.digests() == alpha.digests()


@pytest.mark.parametrize("calls", [0, 1, 3, 5])
def test_what_came_before_a_failure_is_kept_and_nothing_is_passed_over(calls: int) -> None:
    pool = Pool()
    transport = FailingAfter(pool, calls)
    alpha, beta = pool.add("alpha"), pool.add("beta", transport=transport)
    pool.acquaint(alpha, beta)
    alpha.publish_many(1_700)
    report = pull(beta.node, alpha.id)
    pages = max(0, calls - 1)  # the first call brought refs, which are asked for as models
    assert len(beta.digests()) == min(1_700, 500 * pages)
    assert (report.ended, report.more) == (
        ("PeerUnavailable", False) if calls < 5 else ("done", False)
    )
    transport.calls_left = 1_000
    pool.clock.advance(2)
    pull(beta.node, alpha.id)
    pool.settle()
    assert beta.digests() == alpha.digests()


def test_a_cursor_that_another_worker_moved_ends_the_run_without_a_hole() -> None:
    pool = Pool()

    class Overtaking(Slow):
        def post(
            self,
            url: str,
            headers: Mapping[str, str],
            body: bytes,
            *,
            seconds: float,
            bytes_max: int,
        ) -> WireAnswer:
            answer = super().post(url, headers, body, seconds=seconds, bytes_max=bytes_max)
            peer = beta.peer(alpha)
            if peer.pulled is not None:
                beta.store.record_pull(alpha.id, peer.pulled, None, now=NOW_MS)
            return answer

    alpha, beta = pool.add("alpha"), pool.add("beta", transport=Overtaking(pool, seconds=0))
    pool.acquaint(alpha, beta)
    alpha.publish_many(2_100)
    report = pull(beta.node, alpha.id)
    assert (report.ended, report.more) == ("overtaken", False)
    assert beta.peer(alpha).pulled is None


def test_a_peer_with_a_new_log_is_pulled_again_from_the_epoch() -> None:
    pool, alpha, beta = pair()
    alpha.publish_many(3)
    pull(beta.node, alpha.id)
    rebuilt = pool.add("alpha2")
    replacement = rebuild(pool, alpha, rebuilt)
    replacement.publish("after the loss")
    quiet(replacement)
    report = pull(beta.node, alpha.id)
    assert report.ended == "restarted from the epoch"
    assert beta.peer(alpha).pulled is None
    pool.settle()
    assert "after the loss" in beta.texts()
    assert beta.peer(alpha).pulled == replacement.store.end_cursor()


def rebuild(pool: Pool, lost: Member, spare: Member) -> Member:
    """Give the lost node an empty database, and let it know the others."""
    store = MemoryStore(Limits())
    node = replace(lost.node, store=store)
    pool.nodes[lost.address] = node
    again = replace(lost, node=node, store=store)
    pool.members.remove(lost)
    pool.members.remove(spare)
    pool.members.append(again)
    for other in pool.members:
        if other is not again:
            know(again, other)
    return again


def test_a_cursor_of_nobody_is_bad_and_the_epoch_is_not() -> None:
    _, alpha, beta = pair()
    answer = send(alpha, beta, codec.request_tree(Pull(after=Cursor("A" * 32))))
    assert (answer.status, read(answer)["code"]) == (410, "bad-cursor")
    assert read(send(alpha, beta, codec.request_tree(Pull())))["refs"] == []


def test_refs_that_cannot_be_had_at_once_become_gaps_that_survive_a_flush() -> None:
    pool, alpha, beta = pair()
    alpha.publish_many(5, "held")
    pool.settle()
    alpha.publish("late 1", "late 2")
    quiet(alpha)
    pull(beta.node, alpha.id)
    assert beta.store.totals().gaps == 2
    assert beta.work.queued() == {alpha.id: 2}
    beta.work.flush()
    quiet(beta)
    upkeep(beta.node)
    assert beta.work.queued() == {alpha.id: 2}
    pool.settle()
    assert beta.digests() == alpha.digests()
    assert beta.store.totals().gaps == 0


def test_a_gap_that_became_a_dead_letter_is_closed_so_that_pulling_goes_on() -> None:
    pool, alpha, beta = pair(limits=Limits(crash_attempts_max=1))
    alpha.publish_many(5, "held")
    pool.settle()
    alpha.publish("poison")
    quiet(alpha)
    pull(beta.node, alpha.id)
    quiet(beta)
    for _ in range(2):  # a worker leases the item and dies, twice
        beta.work.lease(alpha.id, 10, 1 << 20, beta.clock.now())
        beta.clock.advance(Limits().lease_seconds + 1)
    assert len(beta.work.dead(10)) == 1
    assert beta.store.totals().gaps == 1
    assert pull(beta.node, alpha.id).ended == "done"
    assert beta.store.totals().gaps == 0
    assert len(beta.work.dead(10)) == 1


def test_a_page_of_posts_from_the_future_does_not_stop_a_pull() -> None:
    pool, alpha, beta = pair()
    alpha.publish("ahead", published=NOW_MS + 90_000_000)
    alpha.publish_many(3)
    quiet(alpha)
    pull(beta.node, alpha.id)
    assert len(beta.digests()) == 3
    assert beta.store.totals().gaps == 1
    assert beta.peer(alpha).pulled == alpha.store.end_cursor()
    pool.clock.advance(5_000)
    upkeep(beta.node)
    pool.settle()
    assert beta.digests() == alpha.digests()


def test_two_pulls_of_one_peer_do_not_run_at_once() -> None:
    _, alpha, beta = pair()
    alpha.publish("hello")
    beta.work.hold("pull", alpha.id, "another worker", beta.clock.now())
    assert pull(beta.node, alpha.id).ended == "held elsewhere"
    beta.clock.advance(Limits().lease_seconds + 1)
    assert pull(beta.node, alpha.id).ended == "done"
    assert beta.texts() == {"hello"}


def test_a_pull_whose_cursor_was_moved_meanwhile_saves_nothing() -> None:
    _, alpha, beta = pair()
    alpha.publish("hello")
    with pytest.raises(CursorConflict):
        beta.store.record_pull(alpha.id, alpha.store.end_cursor(), None, now=beta.clock.now())
    assert beta.peer(alpha).pulled is None


def test_a_peer_that_is_away_is_left_alone_for_a_while() -> None:
    pool, alpha, beta = pair()
    alpha.publish("hello")
    pool.transport.cut(alpha.address)
    assert pull(beta.node, alpha.id).ended == "PeerUnavailable"
    pool.transport.mend(alpha.address)
    assert pull(beta.node, alpha.id).ended == "not reachable"
    beta.clock.advance(2)
    assert pull(beta.node, alpha.id).ended == "done"
    assert beta.texts() == {"hello"}


def test_pages_of_large_posts_fit_their_messages() -> None:
    _, alpha, beta = pair()
    alpha.publish(*(f"{number}" + "x" * 200_000 for number in range(12)))
    quiet(alpha)
    report = pull(beta.node, alpha.id)
    assert report.ended == "done"
    for _ in range(10):
        fetch(beta.node, alpha.id)
    assert beta.digests() == alpha.digests()


def test_three_nodes_that_missed_each_other_end_up_equal() -> None:
    pool, alpha, beta, gamma = trio()
    for member in (alpha, beta, gamma):
        member.publish_many(600, member.id)
        quiet(member)
    for member in (alpha, beta, gamma):
        for other in (alpha, beta, gamma):
            if other is not member:
                pull(member.node, other.id)
                pool.settle()
    assert alpha.digests() == beta.digests() == gamma.digests()
    assert len(alpha.digests()) == 1_800


def test_a_pull_outside_the_pool_is_forbidden() -> None:
    pool = Pool()
    alpha, stranger = pool.add("alpha"), pool.add("stranger", pools=[])
    pool.acquaint(alpha, stranger)
    alpha.publish("for members")
    assert pull(stranger.node, alpha.id).ended == "forbidden"
    assert stranger.digests() == set()


def test_a_long_way_through_a_log_is_noted_until_its_end() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta", transport=Slow(pool, seconds=3))
    pool.acquaint(alpha, beta)
    alpha.publish_many(2_600)
    quiet(alpha)
    began = pool.clock.now()
    seen = []
    while pull(beta.node, alpha.id).more:
        progress = beta.work.progresses([alpha.id])[alpha.id]
        assert progress.posts == len(beta.digests())
        assert progress.remaining == 2_600 - progress.posts
        assert began <= progress.started_at <= progress.at <= pool.clock.now()
        seen.append(progress)
    assert len(seen) >= 2
    assert {progress.started_at for progress in seen} == {seen[0].started_at}
    assert beta.digests() == alpha.digests()
    assert beta.work.progresses([alpha.id]) == {}


def test_a_short_way_through_a_log_is_not_worth_a_note() -> None:
    pool = Pool()
    transport = FailingAfter(pool, calls=2)
    alpha, beta = pool.add("alpha"), pool.add("beta", transport=transport)
    pool.acquaint(alpha, beta)
    alpha.publish_many(900)
    pull(beta.node, alpha.id)
    assert len(beta.digests()) == 500
    assert beta.work.progresses([alpha.id]) == {}


def test_a_long_way_goes_on_where_it_was_after_redis_lost_its_note() -> None:
    pool = Pool()
    transport = FailingAfter(pool, calls=2)
    alpha, beta = pool.add("alpha"), pool.add("beta", transport=transport)
    pool.acquaint(alpha, beta)
    alpha.publish_many(1_600)
    pull(beta.node, alpha.id)
    assert beta.work.progresses([alpha.id])[alpha.id].remaining == 1_100
    beta.work.flush()
    transport.calls_left = 1_000
    pool.clock.advance(5)
    assert pull(beta.node, alpha.id).stored == 1_100
    assert beta.work.progresses([alpha.id]) == {}
