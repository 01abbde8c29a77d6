"""Random walks: `MemoryWorkState` and `RedisWorkState` do the same, flushes included.

Both are driven with one manual time. A failing walk is shrunk and printed by Hypothesis. There
are two machines, and few names in each, so that walks meet their own traces again.
"""

from collections.abc import Iterator
from typing import ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from replicator.adapters.memory.work import MemoryWorkState
from replicator.adapters.redis.work import RedisWorkState
from replicator.limits import Limits
from replicator.node.ports import FetchLease, Progress, Receipt, RefusalRecord, Reply, Settlement
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import Breaker
from tests.support.refs import digest, ref
from tests.support.valkey import PrivateServer, new_prefix

pytest_plugins = ["tests.support.work_fixtures"]

LIMITS = Limits(
    fetch_queue_items_max=4,
    crash_attempts_max=3,
    suspects_max=2,
    dead_letters_max=3,
    refusal_records_max=3,
    claim_seconds=40,
)
HOLDERS = st.sampled_from([NodeId("a.example"), NodeId("b.example")])
KINDS = st.sampled_from(["fetch", "pull"])
TOKENS = st.sampled_from(["one", "two"])
NUMBERS = st.lists(st.integers(0, 4), min_size=1, max_size=5)
# How items of a lease end: done, missing, failed, dead, suspected, given back
ENDS = st.text("dmfxsr", min_size=5, max_size=5)
PAUSES = st.sampled_from([0, 1, 700, 1000, 5000, 20_000, 30_000, 130_000])

LeasePair = tuple[FetchLease, FetchLease]


class WorkMachine(RuleBasedStateMachine):
    """Every rule does one thing to both and compares what they say."""

    server: ClassVar[PrivateServer]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_700_000_000_000
        self.redis = RedisWorkState(self.server.url, new_prefix(), LIMITS)
        self.memory = MemoryWorkState(LIMITS)

    def teardown(self) -> None:
        self.redis.close()

    @rule(ms=PAUSES)
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule(rarely=st.integers(0, 9))
    def things_are_lost(self, rarely: int) -> None:
        if rarely == 0:
            self.server.flush()
            self.memory.flush()
        elif rarely == 1:
            with self.server.client() as client:
                client.script_flush()


class FetchQueueMachine(WorkMachine):
    """Wanting, leasing, settling, dead letters."""

    leases: Bundle[LeasePair] = Bundle("leases")

    @rule(holder=HOLDERS, numbers=NUMBERS)
    def want(self, holder: NodeId, numbers: list[int]) -> None:
        wanted = [ref(number, 100 * number) for number in numbers]
        assert self.redis.want(holder, wanted, self.now) == self.memory.want(
            holder, wanted, self.now
        )

    @rule(
        target=leases,
        holder=HOLDERS,
        limit=st.sampled_from([1, 2, 9]),
        bytes_max=st.sampled_from([0, 500, 10_000]),
    )
    def lease(self, holder: NodeId, limit: int, bytes_max: int) -> object:
        pair = self._lease(holder, limit, bytes_max)
        return multiple() if pair is None else pair

    def _lease(self, holder: NodeId, limit: int, bytes_max: int) -> LeasePair | None:
        real = self.redis.lease(holder, limit, bytes_max, self.now)
        twin = self.memory.lease(holder, limit, bytes_max, self.now)
        if real is None or twin is None:
            assert real == twin
            return None
        assert (real.holder, real.items) == (twin.holder, twin.items)
        return real, twin

    @rule(pair=leases, ends=ENDS)
    def settle_and_perhaps_again(self, pair: LeasePair, ends: str) -> None:
        self._settle(pair, ends)

    @rule(holder=HOLDERS, numbers=NUMBERS, ends=ENDS)
    def want_lease_and_settle(self, holder: NodeId, numbers: list[int], ends: str) -> None:
        self.want(holder, numbers)
        pair = self._lease(holder, 9, 10_000)
        if pair is not None:
            self._settle(pair, ends)

    def _settle(self, pair: LeasePair, ends: str) -> None:
        real, twin = pair
        ended = {item.ref.digest: end for item, end in zip(real.items, ends, strict=False)}
        outcome = Settlement(
            done=tuple(d for d, end in ended.items() if end == "d"),
            failed={d: self.now + 1500 for d, end in ended.items() if end == "f"},
            missing=tuple(d for d, end in ended.items() if end == "m"),
            dead={d: "no" for d, end in ended.items() if end == "x"},
            suspects={d: "odd" for d, end in ended.items() if end == "s"},
        )
        assert self.redis.settle(real, outcome, self.now) == self.memory.settle(
            twin, outcome, self.now
        )

    @rule(number=st.integers(0, 4), again=st.booleans(), holder=st.none() | HOLDERS)
    def requeue_or_drop(self, number: int, again: bool, holder: NodeId | None) -> None:
        names = [digest(number)]
        if again:
            requeued = self.redis.requeue(names, self.now, holder)
            assert requeued == self.memory.requeue(names, self.now, holder)
        else:
            assert self.redis.drop(names, holder) == self.memory.drop(names, holder)

    @rule(holder=HOLDERS)
    def hasten(self, holder: NodeId) -> None:
        assert self.redis.hasten(holder, self.now) == self.memory.hasten(holder, self.now)

    @rule(holder=HOLDERS, rarely=st.integers(0, 3))
    def forget(self, holder: NodeId, rarely: int) -> None:
        if rarely == 0:
            self.redis.forget(holder)
            self.memory.forget(holder)

    @invariant()
    def queues_are_alike(self) -> None:
        assert self.redis.queued() == self.memory.queued()
        assert self.redis.dead(10) == self.memory.dead(10)
        for later in (0, 1000, 30_000):
            due = self.redis.due_holders(self.now + later, 10)
            assert due == self.memory.due_holders(self.now + later, 10)
        assert all(count <= LIMITS.fetch_queue_items_max for count in self.memory.queued().values())
        assert len(self.memory.dead(10)) <= LIMITS.dead_letters_max


class RequestsAndLanesMachine(WorkMachine):
    """Requests in hand, doorbells, leases, breakers, times."""

    tokens = 0

    @rule(sender=HOLDERS, nonce=TOKENS, again=st.booleans())
    def admit(self, sender: NodeId, nonce: str, again: bool) -> None:
        self.tokens += 0 if again else 1
        token = f"token-{self.tokens}"
        receipt = Receipt(token, "gateway", sender, (), (), "application/json", "", self.now)
        admitted = self.redis.admit(receipt, nonce, b"body", self.now)
        assert admitted == self.memory.admit(receipt, nonce, b"body", self.now)
        if admitted:
            assert self.redis.take_request(token) == self.memory.take_request(token)

    @precondition(lambda self: self.tokens > 0)
    @rule()
    def reply(self) -> None:
        token = f"token-{self.tokens}"
        for work in (self.redis, self.memory):
            work.reply("gateway", Reply(token, 200, (), b"body"))
            assert work.take_request(token) is None

    @rule(sender=HOLDERS)
    def note_refusal(self, sender: NodeId) -> None:
        for work in (self.redis, self.memory):
            work.note_refusal(RefusalRecord(self.now, sender, "stale", "late"))
        assert self.redis.refusals(10) == self.memory.refusals(10)

    @rule(kind=KINDS, peer=HOLDERS)
    def ring(self, kind: str, peer: NodeId) -> None:
        assert self.redis.ring(kind, peer, self.now) == self.memory.ring(kind, peer, self.now)

    @rule(kind=KINDS, peer=HOLDERS)
    def hear(self, kind: str, peer: NodeId) -> None:
        self.redis.hear(kind, peer)
        self.memory.hear(kind, peer)

    @rule(kind=KINDS, peer=HOLDERS, token=TOKENS)
    def hold(self, kind: str, peer: NodeId, token: str) -> None:
        held = self.redis.hold(kind, peer, token, self.now)
        assert held == self.memory.hold(kind, peer, token, self.now)

    @rule(kind=KINDS, peer=HOLDERS, token=TOKENS)
    def release(self, kind: str, peer: NodeId, token: str) -> None:
        self.redis.release(kind, peer, token)
        self.memory.release(kind, peer, token)

    @rule(peer=HOLDERS, seen=st.integers(0, 2), failures=st.integers(0, 2))
    def set_breaker(self, peer: NodeId, seen: int, failures: int) -> None:
        before, after = Breaker(failures=seen), Breaker(failures=failures)
        replaced = self.redis.set_breaker(peer, before, after)
        assert replaced == self.memory.set_breaker(peer, before, after)

    @rule(kind=KINDS, peers=st.sets(HOLDERS))
    def set_dues(self, kind: str, peers: set[NodeId]) -> None:
        for work in (self.redis, self.memory):
            work.set_dues(kind, dict.fromkeys(peers, self.now))

    @rule(peer=HOLDERS, posts=st.none() | st.integers(0, 2))
    def note_progress(self, peer: NodeId, posts: int | None) -> None:
        progress = None if posts is None else Progress(self.now, self.now, posts, 0)
        for work in (self.redis, self.memory):
            work.note_progress(peer, progress)

    @rule(peer=HOLDERS, rarely=st.integers(0, 3))
    def forget(self, peer: NodeId, rarely: int) -> None:
        if rarely == 0:
            self.redis.forget(peer)
            self.memory.forget(peer)

    @invariant()
    def peers_are_alike(self) -> None:
        peers = [NodeId("a.example"), NodeId("b.example")]
        assert self.redis.breakers(peers) == self.memory.breakers(peers)
        assert self.redis.progresses(peers) == self.memory.progresses(peers)
        for kind in ("fetch", "pull"):
            assert self.redis.dues(kind, peers) == self.memory.dues(kind, peers)


@pytest.fixture(params=[FetchQueueMachine, RequestsAndLanesMachine])
def machine(
    request: pytest.FixtureRequest, valkey_server: PrivateServer
) -> Iterator[type[WorkMachine]]:
    """Each machine, on the session's server."""
    WorkMachine.server = valkey_server
    yield request.param
    del WorkMachine.server


QUICK = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.timeout(400)  # a failing walk is shrunk for up to five minutes
def test_both_work_states_do_the_same_on_random_walks(machine: type[WorkMachine]) -> None:
    run_state_machine_as_test(machine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_work_states_do_the_same_on_long_random_walks(machine: type[WorkMachine]) -> None:
    long = settings(QUICK, max_examples=1000, stateful_step_count=100)
    run_state_machine_as_test(machine, settings=long)
