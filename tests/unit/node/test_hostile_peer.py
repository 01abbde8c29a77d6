"""A pool-mate that signs well and behaves badly costs little, and makes nobody lose a post."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from replicator.errors import ErrorCode, PeerRefused, PeerUnavailable, Refusal
from replicator.limits import Limits
from replicator.node.conversation import call
from replicator.node.fetch import fetch
from replicator.node.health import ask
from replicator.node.ports import WireAnswer
from replicator.node.pull import pull
from replicator.node.replies import Asker, ReplyTo, error_answer, reply
from replicator.protocol import codec, envelope
from replicator.protocol.ids import INTEGER_MAX, Cursor, Digest, GlobalId
from replicator.protocol.messages import Answer, ErrorAnswer, Pull, PullAnswer, Put
from replicator.protocol.post import Post, Ref
from replicator.protocol.signing import PrivateKey
from tests.support.pool import NOW_MS, Member, Pool, pair, send, trio
from tests.support.relayed import signed_by


class Puppet:
    """A transport whose peer signs whatever a test lets it say, after some seconds."""

    def __init__(self, pool: Pool, peer: Member) -> None:
        self._pool = pool
        self._peer = peer
        self.calls = 0
        self.seconds = 0.0
        self.say: Callable[[int], Answer | None] = lambda _: None

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        self.calls += 1
        self._pool.clock.advance(min(self.seconds, seconds))
        if self.seconds > seconds:
            raise PeerUnavailable("no answer in time")
        said = self.say(self.calls)
        if said is None:
            transport = self._pool.transport
            return transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)
        message = envelope.parse(headers, self._peer.node.limits)
        asker = Asker(message.sender, message.base_digest, message.keys_of("pool"))
        made = reply(self._peer.node, said, ReplyTo("", codec.JSON, asker))
        return WireAnswer(made.status, dict(made.headers), made.body, made.body)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError


def puppet(**options: Any) -> tuple[Puppet, Member, Member]:
    """Return a transport, the peer that it speaks for, and the node that asks through it."""
    pool, alpha, beta = pair(**options)
    transport = Puppet(pool, alpha)
    node = replace(beta.node, transport=transport)
    pool.nodes[beta.address] = node
    return transport, alpha, replace(beta, node=node)


def bad_cursor() -> Answer:
    return error_answer(Refusal(ErrorCode.BAD_CURSOR, "not mine"), 0)


def test_a_peer_that_disowns_its_own_cursors_is_asked_again_at_the_usual_pace_only() -> None:
    transport, alpha, beta = puppet()
    transport.say = lambda number: (
        PullAnswer(refs=(), cursor=Cursor(f"c{number}"), more=True) if number % 2 else bad_cursor()
    )
    pull(beta.node, alpha.id)
    beta.doorbell.take()
    for _ in range(3):
        assert pull(beta.node, alpha.id).ended == "restarted from the epoch"
        assert beta.doorbell.take() == []


def test_pages_without_end_that_bring_nothing_are_asked_for_at_the_usual_pace_only() -> None:
    transport, alpha, beta = puppet()
    transport.seconds = 0.5
    transport.say = lambda number: PullAnswer(refs=(), cursor=Cursor(f"c{number}"), more=True)
    report = pull(beta.node, alpha.id)
    assert 0 < report.pages < 20
    assert beta.doorbell.take() == []
    assert not report.more


def test_all_tries_of_one_call_share_its_deadline() -> None:
    transport, alpha, beta = puppet()
    transport.seconds = 19.0
    transport.say = lambda _: error_answer(Refusal(ErrorCode.REPLAYED, "again"), 0)
    start = beta.clock.monotonic()
    with pytest.raises(PeerUnavailable):
        call(beta.node, beta.peer(alpha), Pull())
    assert beta.clock.monotonic() - start <= Limits().peer_call_seconds


def test_a_peer_that_begins_to_stall_holds_its_caller_for_a_few_seconds_only() -> None:
    transport, alpha, beta = puppet()
    limits = Limits()
    transport.seconds = limits.peer_call_seconds - 1
    start = beta.clock.monotonic()
    with pytest.raises(PeerUnavailable):
        ask(beta.node, beta.peer(alpha), Pull())
    held = beta.clock.monotonic() - start
    assert held == limits.quick_call_seconds < limits.peer_call_seconds / 2
    # now it is known to be slow: in its few places it has the whole time
    beta.clock.advance(limits.retry_cap_seconds)
    assert isinstance(ask(beta.node, beta.peer(alpha), Pull()).answer, PullAnswer)


def test_one_worker_at_a_time_fetches_from_one_holder() -> None:
    transport, alpha, beta = puppet()
    alpha.publish_many(3)
    refs = [post.ref for post in alpha.posts()]
    beta.work.want(alpha.id, refs, beta.clock.now())
    beta.work.hold("fetch", alpha.id, "another worker", beta.clock.now())
    assert fetch(beta.node, alpha.id).ended == "held elsewhere"
    assert transport.calls == 0
    beta.clock.advance(Limits().lease_seconds + 1)
    assert fetch(beta.node, alpha.id).stored == 3


def test_requests_of_a_peer_that_lets_us_wait_do_not_end_its_back_off() -> None:
    transport, alpha, beta = puppet()
    transport.seconds = 100.0
    for _ in range(20):
        send(alpha, beta, codec.request_tree(Pull()))
        pull(beta.node, alpha.id)
        beta.clock.advance(5)
    assert transport.calls < 10


@pytest.mark.parametrize("time", [0, INTEGER_MAX])
def test_a_lie_about_the_time_is_forgotten_with_the_next_honest_word(time: int) -> None:
    transport, alpha, beta = puppet()
    transport.say = lambda _: ErrorAnswer(code=ErrorCode.STALE, message="x", time=time)
    with pytest.raises(PeerRefused):
        call(beta.node, beta.peer(alpha), Pull())
    transport.say = lambda _: None
    beta.clock.advance(1_000)
    call(beta.node, beta.peer(alpha), Pull())
    assert beta.peer(alpha).clock_offset_ms == 0


def test_a_pull_ends_before_gaps_would_be_dropped() -> None:
    transport, alpha, beta = puppet(limits=Limits(gaps_per_peer_max=4_000))
    made = itertools.count()

    def page(number: int) -> Answer:
        names = [next(made) for _ in range(500)]
        refs = [Ref(GlobalId(f"alpha/{n}"), Digest(f"{n:064x}"), NOW_MS, 10) for n in names]
        return PullAnswer(refs=tuple(refs), cursor=Cursor(f"c{number}"), more=True)

    transport.say = page
    report = pull(beta.node, alpha.id)
    assert 2_000 <= beta.store.totals().gaps == report.wanted <= 4_000
    assert pull(beta.node, alpha.id).ended == "gaps first"


def test_a_copy_without_its_origins_signature_does_not_keep_the_whole_one_out() -> None:
    _, alpha, beta, mallory = trio()
    beta.store.forget_peer(alpha.id)
    alpha.publish("real")
    (post,) = alpha.posts()
    pools = beta.node.identity.pools
    stripped = replace(post, signatures=tuple(s for s in post.signatures if s.key in pools))
    put_model(mallory, beta, stripped)
    assert beta.posts() == [stripped]
    put_model(alpha, beta, post)
    assert beta.posts() == [post]


def test_a_copy_full_of_junk_does_not_keep_its_origins_signature_out() -> None:
    _, alpha, beta, mallory = trio()
    beta.store.forget_peer(alpha.id)
    alpha.publish("real")
    (post,) = alpha.posts()
    keys = [*beta.node.identity.pool_keys, *(PrivateKey.generate() for _ in range(7))]
    put_model(mallory, beta, signed_by(post, *keys))
    assert len(beta.posts()[0].signatures) == 8
    put_model(alpha, beta, post)  # by which it becomes known here
    (held,) = beta.posts()
    assert held.signers >= post.signers
    assert len(held.signatures) == 8


def put_model(sender: Member, recipient: Member, post: Post) -> None:
    send(sender, recipient, codec.request_tree(Put(models=(codec.model_tree(post),))))
