"""Calls behind the breaker: one probe, no attempt without a call, and races that change nothing."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from replicator.adapters.memory.work import MemoryWorkState
from replicator.errors import (
    BadAnswer,
    KeyChanged,
    NotCalled,
    PeerRefused,
    PeerUnavailable,
    ReplicatorError,
)
from replicator.limits import Limits
from replicator.node.fetch import fetch
from replicator.node.health import ask, forgive, items_max, note_request
from replicator.node.ports import WireAnswer
from replicator.node.pull import pull
from replicator.protocol import codec
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import ErrorAnswer, Pull
from replicator.rules.breaker import Breaker
from tests.support.pool import Member, Pool, breaker_of, pair

LIMITS = Limits()
PAGE = b"<html>welcome</html>"


class Line:
    """A transport on which a test decides what a call meets."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.calls = 0
        self.meet: Callable[[], WireAnswer | None] = lambda: None

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        self.calls += 1
        met = self.meet()
        if met is not None:
            return met
        return self._pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError


def line() -> tuple[Line, Member, Member]:
    """Return a line, the node that calls over it, and the peer at its end."""
    pool, alpha, beta = pair()
    transport = Line(pool)
    node = replace(alpha.node, transport=transport)
    pool.nodes[alpha.address] = node
    return transport, replace(alpha, node=node), beta


def nobody() -> WireAnswer:
    raise PeerUnavailable("nobody answers")


def unsigned(answer: ErrorAnswer, status: int) -> Callable[[], WireAnswer]:
    body = codec.encode(codec.JSON, codec.answer_tree(answer))
    return lambda: WireAnswer(status, {"content-type": codec.JSON}, body, body)


def call(alpha: Member, beta: Member) -> str:
    """Ask once; return how that ended."""
    try:
        ask(alpha.node, alpha.peer(beta), Pull())
    except ReplicatorError as error:
        return type(error).__name__
    return "answered"


def half_open(alpha: Member, beta: Member, transport: Line) -> None:
    """Let a call fail, and its pause pass."""
    transport.meet = nobody
    assert call(alpha, beta) == "PeerUnavailable"
    transport.calls = 0
    alpha.clock.advance(LIMITS.retry_base_seconds)


def test_a_call_that_the_breaker_does_not_let_out_is_no_call_and_no_failure() -> None:
    transport, alpha, beta = line()
    transport.meet = nobody
    call(alpha, beta)
    before = breaker_of(alpha, beta)
    for _ in range(10):
        assert call(alpha, beta) == "NotCalled"
    assert transport.calls == 1
    assert breaker_of(alpha, beta) == before


def test_in_half_open_exactly_one_of_two_workers_sends_a_probe() -> None:
    transport, alpha, beta = line()
    half_open(alpha, beta, transport)
    others: list[str] = []

    def meanwhile() -> None:
        transport.meet = lambda: None
        others.extend(call(alpha, beta) for _ in range(3))

    transport.meet = meanwhile
    assert call(alpha, beta) == "answered"
    assert others == ["NotCalled"] * 3
    assert transport.calls == 1
    assert call(alpha, beta) == "answered", "it is closed now"


class Racing(MemoryWorkState):
    """A work state in which another worker comes between reading a breaker and replacing it."""

    def __init__(self) -> None:
        super().__init__(LIMITS)
        self.between: Callable[[], None] | None = None

    def set_breaker(self, peer: NodeId, before: Breaker, after: Breaker) -> bool:
        between, self.between = self.between, None
        if between is not None:
            between()
        return super().set_breaker(peer, before, after)


def racing() -> tuple[Racing, Line, Member, Member]:
    transport, alpha, beta = line()
    work = Racing()
    node = replace(alpha.node, work=work)
    return work, transport, replace(alpha, node=node, work=work), beta


def test_of_two_workers_that_see_the_place_of_a_probe_free_one_takes_it() -> None:
    work, transport, alpha, beta = racing()
    half_open(alpha, beta, transport)
    other: list[str] = []
    work.between = lambda: other.append(call(alpha, beta))
    assert call(alpha, beta) == "NotCalled"
    assert other == ["PeerUnavailable"]
    assert transport.calls == 1
    assert breaker_of(alpha, beta).failures == 2


def test_two_workers_whose_calls_fail_at_once_count_one_failure() -> None:
    work, transport, alpha, beta = racing()
    others = [nobody]

    def meanwhile() -> WireAnswer:
        if others:
            others.pop()
            work.between = None
            call(alpha, beta)
        return nobody()

    transport.meet = meanwhile
    call(alpha, beta)
    assert transport.calls == 2
    assert breaker_of(alpha, beta).failures == 1


def test_a_success_that_another_worker_notes_first_is_not_undone_by_a_lost_race() -> None:
    work, transport, alpha, beta = racing()
    half_open(alpha, beta, transport)
    transport.meet = lambda: None

    def forgiven() -> None:
        work.between = lambda: forgive(alpha.node, beta.id)

    work.between = forgiven
    assert call(alpha, beta) in ("answered", "NotCalled")
    assert breaker_of(alpha, beta).failures == 0


def test_a_race_that_is_lost_again_and_again_ends_without_a_call() -> None:
    work, transport, alpha, beta = racing()
    half_open(alpha, beta, transport)
    numbers = itertools.count(1)

    def again() -> None:
        seen = breaker_of(alpha, beta)
        other = replace(seen, reason=f"worker {next(numbers)}")
        MemoryWorkState.set_breaker(work, beta.id, seen, other)
        work.between = again

    work.between = again
    assert call(alpha, beta) == "NotCalled"
    assert transport.calls == 0


def test_a_probe_whose_worker_died_frees_its_place_with_its_lease() -> None:
    transport, alpha, beta = line()
    half_open(alpha, beta, transport)

    def dies() -> WireAnswer:
        raise KeyboardInterrupt

    transport.meet = dies
    with pytest.raises(KeyboardInterrupt):
        call(alpha, beta)
    transport.meet = lambda: None
    assert call(alpha, beta) == "NotCalled"
    alpha.clock.advance(LIMITS.lease_seconds)
    assert call(alpha, beta) == "answered"


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", PAGE),
        (200, codec.JSON, b'{"status":"ok"}'),
        (200, codec.JSON, b'{"status":"success","refs":[],"cursor":"x","more":false}'),
        (200, codec.JSON, b""),
        (502, "text/html", PAGE),
        (404, "text/plain", b"not found"),
    ],
)
def test_a_peer_that_answers_with_something_else_than_our_document_is_not_alive(
    status: int, content_type: str, body: bytes
) -> None:
    transport, alpha, beta = line()
    headers = {"content-type": content_type}
    transport.meet = lambda: WireAnswer(status, headers, body, body)
    assert call(alpha, beta) == "BadAnswer"
    breaker = breaker_of(alpha, beta)
    assert (breaker.failures, breaker.end) == (1, "malformed")
    assert call(alpha, beta) == "NotCalled"


@pytest.mark.parametrize("code", ["forbidden", "key-changed", "too-large", "bad-cursor"])
def test_an_unsigned_error_causes_back_off_and_is_no_refusal(code: str) -> None:
    transport, alpha, beta = line()
    transport.meet = unsigned(ErrorAnswer(code=code, message="x"), 403)
    with pytest.raises(PeerUnavailable):
        ask(alpha.node, alpha.peer(beta), Pull(), expected={code})
    assert breaker_of(alpha, beta).end == "unreachable"


@pytest.mark.parametrize("said", [7, 0])
def test_a_busy_peer_is_left_alone_for_as_long_as_it_says_and_is_no_failure(said: int) -> None:
    transport, alpha, beta = line()
    transport.meet = unsigned(ErrorAnswer(code="busy", message="x", retry_after=said), 503)
    assert call(alpha, beta) == "PeerUnavailable"
    transport.meet = lambda: None
    assert breaker_of(alpha, beta).failures == 0
    assert call(alpha, beta) == "NotCalled"
    assert not note_request(alpha.node, beta.id), "what it asked for stands"
    alpha.clock.advance((said or 5) - 0.001)
    assert call(alpha, beta) == "NotCalled"
    alpha.clock.advance(0.001)
    assert call(alpha, beta) == "answered"


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [(503, "7", 7), (429, "7", 7), (503, "999999999", 300), (503, "0", 5)],
)
def test_a_pause_that_a_proxy_asks_for_is_honoured_within_bounds_and_is_no_failure(
    status: int, asked: str, seconds: int
) -> None:
    transport, alpha, beta = line()
    headers = {"content-type": "text/html", "retry-after": asked}
    transport.meet = lambda: WireAnswer(status, headers, PAGE, PAGE)
    assert call(alpha, beta) == "PeerUnavailable"
    assert breaker_of(alpha, beta) == Breaker(busy_until=alpha.clock.now() + seconds * 1000)


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (200, "7"),
        (502, "7"),
        (503, ""),
        (503, "-1"),
        (503, "٣"),
        (503, "9" * 10),
        (503, "Wed, 21 Oct 2015 07:28:00 GMT"),
    ],
)
def test_anything_else_than_seconds_to_wait_is_a_page_of_somebody_else(
    status: int, asked: str
) -> None:
    transport, alpha, beta = line()
    headers = {"content-type": "text/html", "retry-after": asked}
    transport.meet = lambda: WireAnswer(status, headers, PAGE, PAGE)
    assert call(alpha, beta) == "BadAnswer"
    assert breaker_of(alpha, beta).end == "malformed"


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (PeerUnavailable("no connection"), "unreachable"),
        (PeerRefused("forbidden", "x"), "refused"),
        (PeerRefused("not-supported", "x"), "unsupported"),
        (BadAnswer("garbage"), "malformed"),
        (KeyChanged("another key"), "malformed"),
    ],
)
def test_four_ends_are_told_apart(error: ReplicatorError, end: str) -> None:
    transport, alpha, beta = line()

    def meets() -> WireAnswer:
        raise error

    transport.meet = meets
    call(alpha, beta)
    assert breaker_of(alpha, beta).end == end


def test_a_refusal_that_is_expected_is_a_good_answer_and_closes_the_breaker() -> None:
    transport, alpha, beta = line()
    half_open(alpha, beta, transport)

    def refuses() -> WireAnswer:
        raise PeerRefused("bad-cursor", "x")

    transport.meet = refuses
    with pytest.raises(PeerRefused):
        ask(alpha.node, alpha.peer(beta), Pull(), expected={"bad-cursor"})
    assert breaker_of(alpha, beta).failures == 0


def test_a_call_that_takes_long_makes_its_peer_slow_until_one_does_not() -> None:
    transport, alpha, beta = line()

    def slowly() -> None:
        alpha.clock.advance(LIMITS.slow_call_seconds + 0.1)

    transport.meet = slowly
    assert call(alpha, beta) == "answered"
    assert breaker_of(alpha, beta) == Breaker(slow=True)
    transport.meet = lambda: None
    assert call(alpha, beta) == "answered"
    assert breaker_of(alpha, beta) == Breaker()


def test_a_peer_that_says_busy_after_long_is_slow_too() -> None:
    transport, alpha, beta = line()

    def late() -> WireAnswer:
        alpha.clock.advance(15)
        raise PeerUnavailable("busy", retry_after=1)

    transport.meet = late
    call(alpha, beta)
    assert breaker_of(alpha, beta).slow


def test_a_recovered_peer_is_ramped_up_call_by_call() -> None:
    transport, alpha, beta = line()
    half_open(alpha, beta, transport)
    transport.meet = lambda: None
    sizes = []
    for _ in range(6):
        sizes.append(items_max(alpha.node, beta.id))
        call(alpha, beta)
    assert sizes == [16, 32, 64, 128, 256, 500]


def test_a_pull_of_a_peer_in_half_open_asks_for_one_page_before_any_other() -> None:
    transport, alpha, beta = line()
    beta.publish_many(1_200)
    half_open(alpha, beta, transport)
    concurrent: list[str] = []

    def first() -> None:
        transport.meet = lambda: None
        concurrent.append(fetch(alpha.node, beta.id).ended)

    alpha.work.want(beta.id, [beta.posts()[0].ref], alpha.clock.now())
    transport.meet = first
    report = pull(alpha.node, beta.id)
    assert report.ended == "done"
    assert concurrent == ["not reachable"]
    assert alpha.digests() == beta.digests()


def test_the_operators_word_closes_a_breaker_at_once() -> None:
    transport, alpha, beta = line()
    half_open(alpha, beta, transport)
    call(alpha, beta)
    transport.meet = lambda: None
    with pytest.raises(NotCalled):
        ask(alpha.node, alpha.peer(beta), Pull())
    forgive(alpha.node, beta.id)
    assert call(alpha, beta) == "answered"
    assert items_max(alpha.node, beta.id) == LIMITS.items_max
