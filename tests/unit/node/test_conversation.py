"""Asking a peer: only a signed answer to this very request counts; all else is back-off at most."""

import gzip
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from replicator.adapters.memory.clock import ManualClock
from replicator.errors import BadAnswer, KeyChanged, Malformed, PeerRefused, PeerUnavailable
from replicator.limits import Limits
from replicator.node.announce import announce
from replicator.node.conversation import call
from replicator.node.fetch import fetch
from replicator.node.health import ask
from replicator.node.ports import WireAnswer
from replicator.node.pull import pull
from replicator.protocol import codec
from replicator.protocol.messages import (
    ErrorAnswer,
    Pull,
    PullAnswer,
    Put,
    PutAnswer,
)
from tests.support.pool import NOW_MS, Member, Pool, breaker_of, pair

Change = Callable[[WireAnswer], WireAnswer]


class Tampering:
    """A transport that lets calls through and changes what comes back."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.calls = 0
        self.change: Change = lambda answer: answer

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        self.calls += 1
        answer = self.pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)
        return self.change(answer)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError


def tampering() -> tuple[Tampering, Member, Member]:
    pool, alpha, beta = pair()
    transport = Tampering(pool)
    node = replace(beta.node, transport=transport)
    pool.nodes[beta.address] = node
    return transport, alpha, replace(beta, node=node)


def unsigned(answer: WireAnswer) -> WireAnswer:
    headers = {"content-type": answer.headers["content-type"]}
    return WireAnswer(answer.status, headers, answer.body, answer.body)


def of(document: object, status: int = 200) -> Change:
    body = codec.encode(codec.JSON, codec.answer_tree(document))  # type: ignore[arg-type]
    headers = {"content-type": codec.JSON}
    return lambda _: WireAnswer(status, headers, body, body)


@pytest.mark.parametrize("media_type", [codec.JSON, codec.XML])
def test_both_encodings_carry_a_conversation(media_type: str) -> None:
    _, alpha, beta = pair()
    alpha.publish("first", "zweites ⅔ <&> \u2028", title=" white  space\n", tags=["b", "a"])
    page = call(beta.node, beta.peer(alpha), Pull(want="models"), media_type)
    assert isinstance(page, PullAnswer)
    assert page.models is not None
    taken = call(alpha.node, alpha.peer(beta), Put(models=page.models), media_type)
    assert isinstance(taken, PutAnswer)
    assert [item.result for item in taken.items] == ["stored", "stored"]
    assert beta.digests() == alpha.digests()


@pytest.mark.parametrize("seconds_ahead", [-3_600, 3_600, 61])
def test_a_peers_clock_is_learned_from_its_signed_word(seconds_ahead: int) -> None:
    pool = Pool()
    alpha = pool.add("alpha")
    beta = pool.add("beta", clock=ManualClock(NOW_MS + seconds_ahead * 1000))
    pool.acquaint(alpha, beta)
    alpha.publish("hello")
    assert announce(alpha.node, beta.id).posts == 1
    assert alpha.peer(beta).clock_offset_ms == seconds_ahead * 1000
    assert beta.texts() == {"hello"}
    alpha.publish("and again")
    assert announce(alpha.node, beta.id).posts == 1


def test_a_clock_is_not_learned_from_an_unsigned_word() -> None:
    transport, alpha, beta = tampering()
    transport.change = of(ErrorAnswer(code="stale", message="x", time=1), 401)
    with pytest.raises(PeerUnavailable):
        call(beta.node, beta.peer(alpha), Pull())
    assert beta.peer(alpha).clock_offset_ms == 0
    assert transport.calls == 1


def test_a_peer_that_always_says_stale_is_asked_three_times_at_most() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    pool.acquaint(alpha, beta)

    class Fast:
        calls = 0

        def post(
            self,
            url: str,
            headers: Mapping[str, str],
            body: bytes,
            *,
            seconds: float,
            bytes_max: int,
        ) -> WireAnswer:
            self.calls += 1
            beta.node.clock.set_wall(NOW_MS + self.calls * 1_000_000)  # type: ignore[attr-defined]
            return pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

        def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
            raise NotImplementedError

    transport = Fast()
    clock = ManualClock(NOW_MS)
    node = replace(alpha.node, transport=transport, clock=clock)
    with pytest.raises(PeerRefused, match="stale"):
        call(node, alpha.peer(beta), Pull())
    assert transport.calls == 3


@pytest.mark.parametrize(
    "change",
    [
        unsigned,
        of(PullAnswer(refs=(), cursor="A" * 32)),
        of(ErrorAnswer(code="bad-cursor", message="x"), 410),
        of(ErrorAnswer(code="key-changed", message="x"), 403),
        lambda answer: replace(answer, body=b"{", wire_body=b"{", headers={}),
        lambda answer: replace(answer, headers={}, body=b"\xff" * 9, wire_body=b"\xff" * 9),
    ],
)
def test_an_unsigned_answer_causes_back_off_and_nothing_else(change: Change) -> None:
    transport, alpha, beta = tampering()
    alpha.publish("hello")
    pull(beta.node, alpha.id)
    alpha.publish("more")
    before = beta.state()
    transport.change = change
    report = pull(beta.node, alpha.id)
    assert report.ended in ("PeerUnavailable", "BadAnswer")
    assert beta.state() == before
    assert breaker_of(beta, alpha).next_at > beta.clock.now()
    assert beta.work.queued() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: replace(answer, wire_body=answer.wire_body + b" "),
        lambda answer: replace(answer, headers={**answer.headers, "replicator-sender": "gamma"}),
        lambda answer: replace(answer, headers={**answer.headers, "replicator-recipient": "x"}),
    ],
)
def test_an_answer_that_was_changed_is_a_bad_answer(change: Change) -> None:
    transport, alpha, beta = tampering()
    transport.change = change
    with pytest.raises(BadAnswer):
        call(beta.node, beta.peer(alpha), Pull())


def test_an_answer_to_another_request_is_a_bad_answer() -> None:
    transport, alpha, beta = tampering()
    answers: list[WireAnswer] = []

    def earlier(answer: WireAnswer) -> WireAnswer:
        answers.append(answer)
        return answers[0]

    transport.change = earlier
    call(beta.node, beta.peer(alpha), Pull())
    with pytest.raises(BadAnswer, match="bound"):
        call(beta.node, beta.peer(alpha), Pull())


def test_an_answer_of_another_kind_is_a_bad_answer() -> None:
    _, alpha, beta = pair()
    answer = codec.answer_tree(call(beta.node, beta.peer(alpha), Pull()))
    with pytest.raises(Malformed):
        codec.read_answer(answer, PutAnswer)


def test_a_peer_under_another_key_is_key_changed_and_nothing_is_saved() -> None:
    pool, alpha, beta = pair()
    impostor_pool = Pool()
    impostor_pool.key = pool.key
    impostor = impostor_pool.add("alpha")
    impostor.store.add_peer(beta.id, beta.address, NOW_MS)
    impostor.publish("not from alpha")
    pool.nodes[alpha.address] = impostor.node
    before = beta.state()
    with pytest.raises(KeyChanged):
        call(beta.node, beta.peer(alpha), Pull())
    assert pull(beta.node, alpha.id).ended == "KeyChanged"
    assert beta.state() == before


def test_a_first_answer_from_an_address_the_operator_gave_is_pinned() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    beta.store.add_peer(alpha.id, alpha.address, NOW_MS)
    call(beta.node, beta.peer(alpha), Pull())
    assert {pin.key for pin in beta.store.pins(alpha.id)} == alpha.node.identity.public_node_keys
    assert beta.peer(alpha).pools == {pool.key.public}
    assert alpha.peer(beta).pools == {pool.key.public}


def test_a_replayed_nonce_is_signed_again_by_itself() -> None:
    transport, alpha, beta = tampering()
    seen: list[bytes] = []

    class Doubling:
        def post(
            self,
            url: str,
            headers: Mapping[str, str],
            body: bytes,
            *,
            seconds: float,
            bytes_max: int,
        ) -> WireAnswer:
            seen.append(body)
            if len(seen) == 1:  # the first request arrives twice, the second copy is answered
                transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)
            return transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

        def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
            raise NotImplementedError

    node = replace(beta.node, transport=Doubling())
    assert isinstance(call(node, beta.peer(alpha), Pull()), PullAnswer)
    assert len(seen) == 2


def test_an_address_that_is_missing_is_no_call() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    beta.store.add_peer(alpha.id, None, NOW_MS)
    with pytest.raises(PeerUnavailable, match="address"):
        call(beta.node, beta.peer(alpha), Pull())


def test_a_refusal_that_the_caller_expects_is_no_failure() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta", pools=[])
    pool.acquaint(alpha, beta)
    peer = beta.peer(alpha)
    with pytest.raises(PeerRefused):
        ask(beta.node, peer, Pull(), expected={"forbidden"})
    assert breaker_of(beta, alpha).failures == 0
    with pytest.raises(PeerRefused):
        ask(beta.node, peer, Pull())
    assert breaker_of(beta, alpha).end == "refused"


def test_a_message_of_a_peer_that_was_away_is_a_reason_to_probe_early() -> None:
    pool, alpha, beta = pair()
    pool.transport.cut(beta.address)
    alpha.publish("hello")
    for _ in range(9):
        alpha.clock.advance(Limits().retry_cap_seconds)
        announce(alpha.node, beta.id)
    assert breaker_of(alpha, beta).failures == 9
    alpha.doorbell.take()
    pool.transport.mend(beta.address)
    alpha.clock.advance(Limits().retry_base_seconds)
    assert announce(alpha.node, beta.id).ended == "not reachable"
    call(beta.node, beta.peer(alpha), Pull())
    assert {ring.task for ring in alpha.doorbell.take()} == {"announce", "fetch"}
    assert announce(alpha.node, beta.id).posts == 1
    assert breaker_of(alpha, beta).failures == 0
    assert beta.texts() == {"hello"}


def test_compressed_and_plain_bodies_say_the_same() -> None:
    transport, alpha, beta = tampering()
    encodings: list[str | None] = []

    def noted(answer: WireAnswer) -> WireAnswer:
        encodings.append(answer.headers.get("content-encoding"))
        if encodings[-1] == "gzip":
            assert gzip.decompress(answer.wire_body) == answer.body
        return answer

    transport.change = noted
    alpha.publish(*(f"{number} {random.Random(number).random()}" for number in range(40)))
    pull(beta.node, alpha.id)
    assert "gzip" in encodings
    assert beta.digests() == alpha.digests()


def test_a_fetch_whose_holder_is_away_counts_no_attempt() -> None:
    pool, alpha, beta = pair()
    alpha.publish("hello")
    refs = [post.ref for post in alpha.posts()]
    beta.work.want(alpha.id, refs, beta.clock.now())
    pool.transport.cut(alpha.address)
    assert fetch(beta.node, alpha.id).ended == "PeerUnavailable"
    beta.clock.advance(2)
    lease = beta.work.lease(alpha.id, 10, 1 << 20, beta.clock.now())
    assert lease is not None
    assert [item.attempts for item in lease.items] == [0]


def test_a_post_that_the_holder_lost_leaves_its_queue_and_gaps() -> None:
    _, alpha, beta = pair()
    other = Pool()
    ghost = other.add("alpha")
    ghost.publish("nobody has it")
    (post,) = ghost.posts()
    beta.store.record_pull(alpha.id, None, None, gaps=[post.ref], now=NOW_MS)
    beta.work.want(alpha.id, [post.ref], NOW_MS)
    report = fetch(beta.node, alpha.id)
    assert (report.gets, report.stored, report.failed) == (1, 0, 0)
    assert beta.work.queued() == {}
    assert beta.store.totals().gaps == 0
