"""The fetch queue at work: several holders, poison among many posts, and who is blamed for it."""

import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace

import pytest
from msgspec import structs

from replicator.adapters.memory.transport import inflated
from replicator.errors import BadAnswer, ErrorCode, PeerUnavailable, Refusal
from replicator.limits import Limits
from replicator.node.fetch import fetch
from replicator.node.ports import WireAnswer
from replicator.node.reconciler import tick
from replicator.node.replies import Asker, ReplyTo, error_answer, reply
from replicator.protocol import codec, envelope
from replicator.protocol.ids import Digest
from replicator.protocol.messages import GetAnswer, Missing, Put
from replicator.protocol.post import Post
from tests.support.pool import Member, Pool, pair, read, send, trio

LIMITS = Limits()
Say = Callable[[envelope.Envelope, Collection[str]], WireAnswer | None]


class Holders:
    """A transport on which a test lets single holders answer gets otherwise."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.says: dict[str, Say] = {}
        self.sizes: list[int] = []

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        message = envelope.parse(headers, LIMITS)
        plain = inflated(headers, body, LIMITS.message_bytes_max)
        asked = codec.decode(codec.JSON, plain, LIMITS).get("digests", ())
        self.sizes.append(len(asked))
        say = self.says.get(message.recipient)
        said = say(message, asked) if say else None
        if said is not None:
            return said
        return self._pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError


def watched(pool: Pool, member: Member) -> tuple[Holders, Member]:
    """Return a member that calls over a transport of the test."""
    transport = Holders(pool)
    node = replace(member.node, transport=transport)
    pool.nodes[member.address] = node
    return transport, replace(member, node=node)


def signed_by(holder: Member, message: envelope.Envelope, body: bytes) -> WireAnswer:
    """Return any body as an answer of the holder, in a valid envelope."""
    made = envelope.sign_answer(
        holder.node.identity.credentials(0, message.keys_of("pool")),
        message.sender,
        body,
        codec.JSON,
        in_reply_to=message.base_digest,
        created=holder.clock.now() // 1000,
        nonce=secrets.token_bytes(16),
    )
    return WireAnswer(200, {"content-type": codec.JSON, **made.headers}, body, body)


def answered_by(holder: Member, message: envelope.Envelope, answer: object) -> WireAnswer:
    asker = Asker(message.sender, message.base_digest, message.keys_of("pool"))
    made = reply(holder.node, answer, ReplyTo("", codec.JSON, asker))  # type: ignore[arg-type]
    return WireAnswer(made.status, dict(made.headers), made.body, made.body)


def offer(holder: Member, to: Member, posts: Collection[Post] | None = None) -> list[str]:
    """Offer refs; return the results."""
    refs = tuple(post.ref for post in posts or holder.posts())
    items = read(send(holder, to, codec.request_tree(Put(refs=refs))))["items"]
    return [item["result"] for item in items]


def copied(posts: Collection[Post], to: Member, origin: Member) -> None:
    """Have posts of one member held by another too."""
    models = tuple(codec.model_tree(post) for post in posts)
    send(origin, to, codec.request_tree(Put(models=models)))


def two_holders() -> tuple[Pool, Holders, Member, Member, Member]:
    """Return alpha and beta, which both hold a post, and gamma, which wants it of both."""
    pool, alpha, beta, gamma = trio()
    alpha.publish("hello")
    alpha.doorbell.take()
    copied(alpha.posts(), beta, alpha)
    transport, gamma = watched(pool, gamma)
    assert offer(alpha, gamma) == ["wanted"]
    assert offer(beta, gamma) == ["later"]
    return pool, transport, alpha, beta, gamma


def test_a_post_that_two_offer_is_fetched_once() -> None:
    _, transport, alpha, beta, gamma = two_holders()
    assert fetch(gamma.node, alpha.id).stored == 1
    assert fetch(gamma.node, beta.id).gets == 0
    assert transport.sizes == [1]
    assert gamma.work.queued() == {}


def test_a_post_that_is_on_its_way_from_one_holder_is_not_asked_of_another() -> None:
    _, transport, alpha, beta, gamma = two_holders()
    meanwhile: list[int] = []

    def slowly(_: envelope.Envelope, __: Collection[str]) -> None:
        meanwhile.append(fetch(gamma.node, beta.id).gets)

    transport.says[alpha.id] = slowly  # type: ignore[assignment]
    assert fetch(gamma.node, alpha.id).stored == 1
    assert meanwhile == [0]


def bad_signature(holder: Member) -> Say:
    (post,) = holder.posts()
    (first, *others) = post.signatures
    broken = replace(post, signatures=(structs.replace(first, value=others[0].value), *others))
    answer = GetAnswer(models=(codec.model_tree(broken),))
    return lambda message, _: answered_by(holder, message, answer)


def nothing_named(holder: Member) -> Say:
    return lambda message, _: answered_by(holder, message, GetAnswer())


def missing(holder: Member) -> Say:
    absent = tuple(Missing(digest=post.digest) for post in holder.posts())
    return lambda message, _: answered_by(holder, message, GetAnswer(missing=absent))


def garbage(holder: Member) -> Say:
    return lambda message, _: signed_by(holder, message, b'{"status":"success","models":7}')


def away(holder: Member) -> Say:
    def say(message: envelope.Envelope, asked: Collection[str]) -> WireAnswer:
        raise PeerUnavailable("nobody")

    return say


@pytest.mark.parametrize("how", [bad_signature, nothing_named, missing, garbage, away])
def test_a_holder_that_fails_is_not_the_end_and_the_next_one_is_asked(
    how: Callable[[Member], Say],
) -> None:
    pool, transport, alpha, beta, gamma = two_holders()
    transport.says[alpha.id] = how(alpha)
    assert fetch(gamma.node, alpha.id).stored == 0
    gamma.doorbell.take()
    gamma.work.hear("fetch", beta.id)
    pool.clock.advance(1)
    tick(gamma.node)
    assert ("fetch", beta.id) in {(ring.task, ring.peer) for ring in gamma.doorbell.take()}
    assert fetch(gamma.node, beta.id).stored == 1
    assert gamma.work.queued() == {}, "done is done for every holder"


def test_a_holder_that_answers_one_post_at_a_time_leaves_the_others_to_who_gives_them() -> None:
    pool, alpha, beta, gamma = trio()
    alpha.publish_many(9)
    alpha.doorbell.take()
    copied(alpha.posts(), beta, alpha)
    transport, gamma = watched(pool, gamma)
    offer(alpha, gamma)
    offer(beta, gamma)

    def one(message: envelope.Envelope, asked: Collection[str]) -> WireAnswer:
        posts = [post for post in alpha.posts() if post.digest == min(asked)]
        models = tuple(codec.model_tree(post) for post in posts)
        return answered_by(alpha, message, GetAnswer(models=models))

    transport.says[alpha.id] = one
    report = fetch(gamma.node, alpha.id)
    assert (report.gets, report.stored, report.ended) == (1, 1, "answered in part")
    assert fetch(gamma.node, beta.id).stored == 8
    assert gamma.work.queued() == {}


def test_a_holder_that_stalls_keeps_others_waiting_for_no_longer_than_its_claim() -> None:
    pool, _, alpha, beta, gamma = two_holders()
    gamma.work.lease(alpha.id, 10, 1 << 20, gamma.clock.now())  # its worker was killed
    assert fetch(gamma.node, beta.id).gets == 0
    pool.clock.advance(LIMITS.claim_seconds - 1)
    assert fetch(gamma.node, beta.id).gets == 0
    pool.clock.advance(1)
    assert fetch(gamma.node, beta.id).stored == 1


@pytest.mark.parametrize(("how", "attempts"), [(bad_signature, 1), (nothing_named, 1), (away, 0)])
def test_an_attempt_counts_only_where_the_holder_really_answered(
    how: Callable[[Member], Say], attempts: int
) -> None:
    pool, transport, alpha, _, gamma = two_holders()
    transport.says[alpha.id] = how(alpha)
    fetch(gamma.node, alpha.id)
    pool.clock.advance(5)
    lease = gamma.work.lease(alpha.id, 10, 1 << 20, gamma.clock.now())
    assert lease is not None
    assert [item.attempts for item in lease.items] == [attempts]


def test_a_post_with_a_bad_signature_is_given_up_with_its_reason_and_can_be_asked_for_again() -> (
    None
):
    pool, transport, alpha, beta, gamma = two_holders()
    transport.says[alpha.id] = bad_signature(alpha)
    gamma.store.forget_peer(beta.id)
    for _ in range(LIMITS.fetch_attempts_max):
        assert gamma.work.dead(9) == []
        fetch(gamma.node, alpha.id)
        pool.clock.advance(LIMITS.retry_cap_seconds)
    (letter,) = gamma.work.dead(9)
    assert (letter.holder, letter.reason) == (alpha.id, "bad-signature")
    assert letter.attempts == LIMITS.fetch_attempts_max
    assert offer(alpha, gamma) == ["later"], "a dead letter is no loss"
    assert fetch(gamma.node, alpha.id).gets == 0
    del transport.says[alpha.id]
    gamma.work.requeue([letter.ref.digest], gamma.clock.now())
    assert fetch(gamma.node, alpha.id).stored == 1


def poisoned(count: int) -> tuple[Pool, Holders, Member, Member, Digest]:
    """Return a node that wants many posts of a holder, and the digest of the one that is poison."""
    pool, alpha, beta = pair()
    alpha.publish_many(count)
    alpha.doorbell.take()
    transport, beta = watched(pool, beta)
    offer(alpha, beta)
    return pool, transport, alpha, beta, sorted(alpha.digests())[count // 2]


def work_off(pool: Pool, beta: Member, alpha: Member, runs: int) -> None:
    """Fetch again and again, each time after the pause of the breaker."""
    for _ in range(runs):
        fetch(beta.node, alpha.id)
        breaker = beta.work.breakers([alpha.id])[alpha.id]
        pool.clock.advance(max(0.0, (breaker.next_at - beta.clock.now()) / 1000))


def unreadable(holder: Member, poison: Digest) -> Say:
    def say(message: envelope.Envelope, asked: Collection[str]) -> WireAnswer | None:
        if poison not in asked:
            return None
        return signed_by(holder, message, b'{"status":"success","models":7}')

    return say


def too_large(_: Member, poison: Digest) -> Say:
    def say(message: envelope.Envelope, asked: Collection[str]) -> WireAnswer | None:
        if poison not in asked:
            return None
        raise BadAnswer("the answer is larger than 1048576 bytes", about_items=True)

    return say


def failing(holder: Member, poison: Digest) -> Say:
    def say(message: envelope.Envelope, asked: Collection[str]) -> WireAnswer | None:
        if poison not in asked:
            return None
        refusal = Refusal(ErrorCode.UNEXPECTED, "a row that does not read")
        return answered_by(holder, message, error_answer(refusal, 0))

    return say


@pytest.mark.parametrize("how", [unreadable, too_large, failing])
def test_the_one_post_that_spoils_every_answer_is_found_and_the_others_arrive(
    how: Callable[[Member, Digest], Say],
) -> None:
    pool, transport, alpha, beta, poison = poisoned(300)
    transport.says[alpha.id] = how(alpha, poison)
    work_off(pool, beta, alpha, 40)
    assert alpha.digests() - beta.digests() == {poison}
    (letter,) = beta.work.dead(9)
    assert (letter.ref.digest, letter.holder) == (poison, alpha.id)
    assert letter.reason
    assert transport.sizes[0] == 300
    assert len(transport.sizes) < 80, transport.sizes


def test_a_single_post_that_makes_an_answer_unreadable_is_given_up_at_once_and_leaves_no_gap() -> (
    None
):
    _, transport, alpha, beta, poison = poisoned(1)
    beta.store.record_pull(alpha.id, None, None, gaps=[alpha.posts()[0].ref], now=0)
    transport.says[alpha.id] = unreadable(alpha, poison)
    assert fetch(beta.node, alpha.id).ended == "BadAnswer"
    (letter,) = beta.work.dead(9)
    assert "no answer document" in letter.reason
    assert beta.work.queued() == {}
    assert beta.store.totals().gaps == 0


def proxy_page(_: envelope.Envelope, __: Collection[str]) -> WireAnswer:
    return WireAnswer(200, {"content-type": "text/html"}, b"<html>", b"<html>")


def proxy_flood(_: envelope.Envelope, __: Collection[str]) -> WireAnswer:
    raise BadAnswer("the answer is larger than 1048576 bytes")


@pytest.mark.parametrize("say", [proxy_page, proxy_flood])
def test_what_a_proxy_makes_of_answers_is_never_blamed_on_posts(say: Say) -> None:
    pool, transport, alpha, beta, _ = poisoned(3)
    transport.says[alpha.id] = say
    work_off(pool, beta, alpha, 20)
    assert beta.work.dead(9) == []
    lease = beta.work.lease(alpha.id, 10, 1 << 20, beta.clock.now())
    assert lease is not None
    assert {(item.attempts, item.suspicions) for item in lease.items} == {(0, 0)}


def test_an_envelope_that_was_garbled_on_its_way_is_never_blamed_on_posts() -> None:
    pool, transport, alpha, beta, _ = poisoned(3)

    def garbled(message: envelope.Envelope, _: Collection[str]) -> WireAnswer:
        said = signed_by(alpha, message, b"{}")
        return replace(said, body=b"[]", wire_body=b"[]")

    transport.says[alpha.id] = garbled
    work_off(pool, beta, alpha, 20)
    assert beta.work.dead(9) == []


def test_a_post_that_kills_its_worker_is_given_up_and_those_beside_it_arrive() -> None:
    pool, transport, alpha, beta, poison = poisoned(100)

    class Killed(BaseException):
        pass

    def kills(_: envelope.Envelope, asked: Collection[str]) -> WireAnswer | None:
        if poison in asked:
            raise Killed
        return None

    transport.says[alpha.id] = kills
    for _ in range(60):
        with suppress(Killed):  # as a killed process leaves it: nothing is given back
            fetch(beta.node, alpha.id)
        pool.clock.advance(LIMITS.lease_seconds)
    assert alpha.digests() - beta.digests() == {poison}
    (letter,) = beta.work.dead(9)
    assert (letter.ref.digest, letter.attempts) == (poison, LIMITS.crash_attempts_max)


def test_a_recovered_holder_is_asked_for_few_posts_at_first() -> None:
    pool, transport, alpha, beta, _ = poisoned(500)
    transport.says[alpha.id] = away(alpha)
    fetch(beta.node, alpha.id)
    transport.sizes.clear()
    pool.clock.advance(LIMITS.retry_base_seconds)
    del transport.says[alpha.id]
    fetch(beta.node, alpha.id)
    assert transport.sizes[:5] == [16, 32, 64, 128, 256]
    assert beta.digests() == alpha.digests()
