"""Delivery: how large batches are, what is learned of a peer, and what is no call at all."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from replicator.adapters.memory.transport import inflated
from replicator.errors import ErrorCode, PeerRefused, PeerUnavailable
from replicator.limits import Limits
from replicator.node.announce import announce
from replicator.node.delivery import Pace, deliver
from replicator.node.ports import WireAnswer
from replicator.protocol import codec
from replicator.protocol.ids import Digest, GlobalId
from replicator.protocol.post import Ref
from tests.support.pool import NOW_MS, Member, Pool, pair

LIMITS = Limits()


class Counter:
    """A transport that notes how many items a put has, and may let the test object."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.sizes: list[int] = []
        self.object: Callable[[int], None] = lambda _: None

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        plain = inflated(headers, body, LIMITS.message_bytes_max)
        document = codec.decode(codec.JSON, plain, LIMITS)
        self.sizes.append(len(document.get("models") or document.get("refs") or ()))
        self.object(self.sizes[-1])
        return self._pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError


def counted() -> tuple[Counter, Member, Member]:
    pool, alpha, beta = pair()
    transport = Counter(pool)
    node = replace(alpha.node, transport=transport)
    pool.nodes[alpha.address] = node
    return transport, replace(alpha, node=node), beta


def refs_of(member: Member) -> list[Ref]:
    return [post.ref for post in member.posts()]


def test_a_recovered_peer_gets_small_batches_at_first() -> None:
    transport, alpha, beta = counted()
    alpha.publish_many(1_000)

    def nobody(_: int) -> None:
        raise PeerUnavailable("nobody")

    transport.object = nobody
    announce(alpha.node, beta.id)
    alpha.clock.advance(LIMITS.retry_base_seconds)
    transport.object = lambda _: None
    announce(alpha.node, beta.id)
    assert transport.sizes == [500, 16, 32, 64, 128, 256, 500, 4]
    assert beta.digests() == alpha.digests()


def test_a_peer_that_takes_few_items_is_not_asked_anew_with_a_full_batch_each_time() -> None:
    transport, alpha, beta = counted()
    alpha.publish_many(1_000)

    def at_most_30(size: int) -> None:
        if size > 30:
            raise PeerRefused(ErrorCode.TOO_LARGE, "30 at most")

    transport.object = at_most_30
    announce(alpha.node, beta.id)
    assert beta.digests() == alpha.digests()
    assert len(transport.sizes) < 2 * 1_000 / 15 + 10


def test_what_is_dealt_with_is_counted_and_a_lesson_is_not() -> None:
    transport, alpha, beta = counted()
    alpha.publish_many(4)
    pace = Pace(LIMITS.items_max)
    outcomes = [PeerRefused(ErrorCode.MALFORMED, "no")]

    def once(_: int) -> None:
        if outcomes:
            raise outcomes.pop()

    transport.object = once
    peer, refs = alpha.peer(beta), refs_of(alpha)
    assert deliver(alpha.node, peer, refs, pace) == 0
    assert pace == Pace(2)
    assert deliver(alpha.node, peer, refs, pace) == 2
    assert deliver(alpha.node, peer, refs[2:], pace) == 2
    assert beta.digests() == alpha.digests()


def test_other_refusals_end_a_delivery() -> None:
    transport, alpha, beta = counted()
    alpha.publish_many(4)

    def forbids(_: int) -> None:
        raise PeerRefused("forbidden", "no")

    transport.object = forbids
    with pytest.raises(PeerRefused):
        deliver(alpha.node, alpha.peer(beta), refs_of(alpha), Pace(LIMITS.items_max))


def test_posts_that_are_gone_are_dealt_with_without_a_call() -> None:
    transport, alpha, beta = counted()
    gone = [Ref(GlobalId(f"alpha/{n}"), Digest(f"{n:064x}"), NOW_MS, 10) for n in range(3)]
    assert deliver(alpha.node, alpha.peer(beta), gone, Pace(LIMITS.items_max)) == 3
    assert transport.sizes == []


def test_what_arrives_while_one_put_is_on_its_way_makes_the_next_one() -> None:
    transport, alpha, beta = counted()
    alpha.publish("first")

    def meanwhile(_: int) -> None:
        transport.object = lambda _: None
        alpha.publish(*(f"while waiting {number}" for number in range(40)))

    transport.object = meanwhile
    announce(alpha.node, beta.id)
    assert transport.sizes == [1, 40], "no timer waits for a fuller batch, and none is needed"
    assert beta.digests() == alpha.digests()


def test_one_delivery_is_on_its_way_at_a_time() -> None:
    transport, alpha, beta = counted()
    alpha.publish("hello")
    others: list[str] = []
    transport.object = lambda _: others.append(announce(alpha.node, beta.id).ended)
    announce(alpha.node, beta.id)
    assert (transport.sizes, others) == ([1], ["held elsewhere"])


def test_a_delivery_whose_lease_ran_out_moves_no_cursor_twice() -> None:
    transport, alpha, beta = counted()
    alpha.publish_many(3)

    def takes_too_long(_: int) -> None:
        transport.object = lambda _: None
        alpha.clock.advance(LIMITS.lease_seconds + 1)
        assert announce(alpha.node, beta.id).posts == 3

    transport.object = takes_too_long
    assert announce(alpha.node, beta.id).ended == "overtaken"
    assert alpha.peer(beta).pushed == alpha.store.last_change()
    assert beta.store.totals().posts == 3
