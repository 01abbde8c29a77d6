"""Lanes: one durable cursor per peer that moves on success and stays on anything else."""

import gzip
from collections.abc import Mapping
from dataclasses import replace

import pytest

from replicator.errors import ErrorCode, Refusal
from replicator.limits import Limits
from replicator.node.announce import announce
from replicator.node.ports import WireAnswer
from replicator.node.replies import Asker, ReplyTo, error_answer, reply
from replicator.protocol import codec, envelope
from replicator.rules.breaker import Breaker
from tests.support.pool import Member, Pool, breaker_of, pair, trio


class Objecting:
    """A transport whose peer refuses puts of more than some posts, or says `busy`."""

    def __init__(self, pool: Pool, recipient: Member) -> None:
        self.pool = pool
        self.recipient = recipient
        self.refusals: list[Refusal] = []
        self.posts_max = 1_000
        self.sizes: list[int] = []

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        size = _items(headers, body)
        self.sizes.append(size)
        if self.refusals:
            return self._refuse(headers, self.refusals.pop(0))
        if size > self.posts_max:
            return self._refuse(headers, Refusal(ErrorCode.TOO_LARGE, "too many for me"))
        return self.pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError

    def _refuse(self, headers: Mapping[str, str], refusal: Refusal) -> WireAnswer:
        node = self.recipient.node
        message = envelope.parse(headers, node.limits)
        asker = Asker(message.sender, message.base_digest, message.keys_of("pool"))
        made = reply(node, error_answer(refusal, node.clock.now()), ReplyTo("", codec.JSON, asker))
        return WireAnswer(made.status, dict(made.headers), made.body, made.body)


def _items(headers: Mapping[str, str], body: bytes) -> int:
    plain = gzip.decompress(body) if "content-encoding" in headers else body
    tree = codec.decode(codec.JSON, plain, Limits())
    return len(tree.get("models") or tree.get("refs") or ())


def objecting() -> tuple[Objecting, Member, Member]:
    pool, alpha, beta = pair()
    transport = Objecting(pool, beta)
    node = replace(alpha.node, transport=transport)
    pool.nodes[alpha.address] = node
    return transport, replace(alpha, node=node), beta


def test_a_lane_delivers_in_batches_and_moves_its_cursor_to_the_end() -> None:
    _, alpha, beta = pair()
    alpha.publish_many(1_100)
    report = announce(alpha.node, beta.id)
    assert (report.puts, report.posts, report.more) == (3, 1_100, False)
    assert beta.digests() == alpha.digests()
    assert alpha.peer(beta).pushed == alpha.store.last_change()


def test_a_lane_that_has_nothing_to_say_makes_no_call() -> None:
    transport, alpha, beta = objecting()
    assert announce(alpha.node, beta.id).puts == 0
    assert transport.sizes == []


def test_a_lane_passes_what_others_brought_without_a_call() -> None:
    pool, alpha, beta, gamma = trio()
    alpha.publish_many(10)
    pool.settle()
    pool.transport.cut(gamma.address)
    report = announce(beta.node, gamma.id)
    assert (report.puts, report.ended) == (0, "done")
    assert beta.peer(gamma).pushed == beta.store.last_change()


@pytest.mark.parametrize("code", [ErrorCode.TOO_LARGE, ErrorCode.MALFORMED])
def test_a_refused_batch_is_halved_until_it_is_taken(code: ErrorCode) -> None:
    transport, alpha, beta = objecting()
    alpha.publish_many(40)
    transport.refusals = [Refusal(code, "no"), Refusal(code, "no")]
    report = announce(alpha.node, beta.id)
    assert transport.sizes[:3] == [40, 20, 10]
    assert report.posts == 40
    assert beta.digests() == alpha.digests()


def test_a_post_that_is_not_taken_even_alone_is_passed() -> None:
    transport, alpha, beta = objecting()
    alpha.publish_many(2)
    transport.refusals = [Refusal(ErrorCode.TOO_LARGE, "no")] * 2
    announce(alpha.node, beta.id)
    assert transport.sizes == [2, 1, 1]
    assert len(beta.digests()) == 1
    assert alpha.peer(beta).pushed == alpha.store.last_change()


def test_a_lane_stays_where_it_is_when_the_peer_is_busy() -> None:
    transport, alpha, beta = objecting()
    alpha.publish_many(3)
    before = alpha.peer(beta).pushed
    transport.refusals = [Refusal(ErrorCode.BUSY, "later", retry_after=5)]
    assert announce(alpha.node, beta.id).ended == "PeerUnavailable"
    assert alpha.peer(beta).pushed == before
    assert announce(alpha.node, beta.id).ended == "not reachable"
    assert len(transport.sizes) == 1
    alpha.clock.advance(5.001)
    assert announce(alpha.node, beta.id).posts == 3
    assert beta.digests() == alpha.digests()


def test_the_wait_that_a_busy_peer_asks_for_is_no_failure() -> None:
    transport, alpha, beta = objecting()
    alpha.publish("hello")
    transport.refusals = [Refusal(ErrorCode.BUSY, "later", retry_after=5)]
    announce(alpha.node, beta.id)
    breaker = breaker_of(alpha, beta)
    assert breaker == Breaker(busy_until=alpha.clock.now() + 5_000)


def test_failures_in_a_row_wait_longer_up_to_the_cap() -> None:
    pool, alpha, beta = pair()
    alpha.publish("hello")
    pool.transport.cut(beta.address)
    limits = alpha.node.limits
    for failures in range(1, 16):
        assert announce(alpha.node, beta.id).ended == "PeerUnavailable"
        breaker = breaker_of(alpha, beta)
        wait = (breaker.next_at - alpha.clock.now()) / 1000
        assert breaker.failures == failures
        assert 0 < wait <= min(limits.retry_cap_seconds, limits.retry_base_seconds * 2**failures)
        alpha.clock.advance(wait + 0.001)
    pool.transport.mend(beta.address)
    assert announce(alpha.node, beta.id).posts == 1
    assert breaker_of(alpha, beta).failures == 0


def test_a_paused_peer_is_not_called() -> None:
    _, alpha, beta = objecting()
    alpha.publish("hello")
    alpha.store.set_paused(beta.id, paused=True)
    assert announce(alpha.node, beta.id).ended == "not reachable"
    alpha.store.set_paused(beta.id, paused=False)
    assert announce(alpha.node, beta.id).posts == 1


def test_a_dead_peer_does_not_hold_up_the_others() -> None:
    pool, alpha, beta, gamma = trio()
    pool.transport.cut(beta.address)
    alpha.publish("hello")
    pool.settle()
    assert gamma.texts() == {"hello"}
    pool.transport.mend(beta.address)
    alpha.clock.advance(2)
    announce(alpha.node, beta.id)
    assert beta.texts() == {"hello"}


def test_two_runs_of_one_lane_do_not_overlap() -> None:
    transport, alpha, beta = objecting()
    alpha.publish("hello")
    alpha.work.hold("announce", beta.id, "another worker", alpha.clock.now())
    assert announce(alpha.node, beta.id).ended == "held elsewhere"
    assert transport.sizes == []


def test_a_forgotten_peer_ends_its_lane() -> None:
    _, alpha, beta = pair()
    alpha.publish("hello")
    alpha.store.forget_peer(beta.id)
    assert announce(alpha.node, beta.id).ended == "not reachable"
    assert beta.digests() == set()
