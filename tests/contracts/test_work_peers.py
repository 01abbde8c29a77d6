"""The contract of `WorkState` for what is kept of each peer, over memory, Valkey and Redis."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import msgspec
import pytest

from replicator.adapters.redis.work import RedisWorkState
from replicator.limits import Limits
from replicator.node.ports import Progress, Settlement, WorkState
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import Breaker, Failure, busy, failed, probing, succeeded
from tests.support.refs import digest, refs
from tests.support.valkey import PrivateServer, new_prefix

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A, B, C = NodeId("a.example"), NodeId("b.example"), NodeId("c.example")
OPEN = failed(Breaker(), Failure("refused", "no: é", NOW - 9, NOW, slow=True), Limits(), Random(1))


# breakers


def test_a_breaker_is_closed_until_another_one_is_stored(work: WorkState) -> None:
    assert work.breakers([A, B]) == {A: Breaker(), B: Breaker()}
    assert work.set_breaker(A, Breaker(), OPEN)
    assert work.breakers([B, A]) == {A: OPEN, B: Breaker()}
    assert work.breakers([]) == {}


def test_a_breaker_is_replaced_only_by_who_saw_it(work: WorkState) -> None:
    probe = probing(OPEN, NOW, Limits())
    assert not work.set_breaker(A, OPEN, probe)
    assert work.set_breaker(A, Breaker(), OPEN)
    assert not work.set_breaker(A, Breaker(), probe)
    assert work.breakers([A])[A] == OPEN
    assert work.set_breaker(A, OPEN, probe)
    assert not work.set_breaker(A, OPEN, Breaker()), "the probe is another's"
    assert work.set_breaker(A, probe, Breaker())
    assert work.set_breaker(A, Breaker(), Breaker())
    assert work.breakers([A])[A] == Breaker()


def test_every_kind_of_breaker_comes_back_as_it_was(work: WorkState) -> None:
    seen = Breaker()
    for after in (busy(OPEN, 7, NOW, Limits()), replace(succeeded(OPEN, NOW), slow=True), OPEN):
        assert work.set_breaker(A, seen, after)
        assert work.breakers([A]) == {A: after}
        seen = after


def test_of_many_that_would_probe_one_does(work: WorkState) -> None:
    assert work.set_breaker(A, Breaker(), OPEN)

    def take(number: int) -> bool:
        return work.set_breaker(A, OPEN, replace(OPEN, probing_until=NOW + number + 1))

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(take, range(64)))
    assert taken.count(True) == 1


def test_the_reason_of_a_breaker_is_cut(work: WorkState) -> None:
    wordy = replace(OPEN, reason="x" * 10_000)
    cut = replace(OPEN, reason="x" * Limits().record_chars_max)
    assert work.set_breaker(A, Breaker(), wordy)
    assert work.breakers([A]) == {A: cut}
    assert work.set_breaker(A, cut, Breaker())


@pytest.fixture
def redis_work(valkey_server: PrivateServer) -> Iterator[tuple[RedisWorkState, str]]:
    """A work state on a server, and its prefix."""
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    yield work, prefix
    work.close()


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xc1",
        b"\x01",
        msgspec.msgpack.encode({"failures": "many"}),
        msgspec.msgpack.encode({"failures": -1}),
        msgspec.msgpack.encode({"failures": 1, "next_at": 2**63}),
        msgspec.msgpack.encode({"failures": 1, "end": "odd"}),
        msgspec.msgpack.encode({"ramp": -1}),
        msgspec.msgpack.encode({"ramp": 6}),
    ],
)
def test_a_breaker_that_is_none_reads_as_closed_and_can_be_replaced(
    stored: bytes, valkey_server: PrivateServer, redis_work: tuple[RedisWorkState, str]
) -> None:
    work, prefix = redis_work
    with valkey_server.client() as client:
        client.set(f"{prefix}breaker:{A}", stored)
    assert work.breakers([A]) == {A: Breaker()}
    assert not work.set_breaker(A, OPEN, replace(OPEN, failures=2))
    assert work.set_breaker(A, Breaker(), OPEN)
    assert work.breakers([A]) == {A: OPEN}


def test_a_breaker_written_in_other_words_is_what_it_means(
    valkey_server: PrivateServer, redis_work: tuple[RedisWorkState, str]
) -> None:
    work, prefix = redis_work
    short = msgspec.msgpack.encode({"failures": 2, "later_version": [1]})
    with valkey_server.client() as client:
        client.set(f"{prefix}breaker:{A}", short)
    assert work.breakers([A]) == {A: Breaker(failures=2)}
    assert work.set_breaker(A, Breaker(failures=2), OPEN)


def test_a_breaker_lives_a_day_beyond_its_times(
    valkey_server: PrivateServer, redis_work: tuple[RedisWorkState, str]
) -> None:
    work, prefix = redis_work
    unsupported = Failure("unsupported", "501", NOW, NOW)
    work.set_breaker(A, Breaker(), failed(Breaker(), unsupported, Limits(), Random(1)))
    with valkey_server.client() as client:
        assert client.ttl(f"{prefix}breaker:{A}") > Limits().unsupported_seconds + 86_000


# times and progress


def test_times_are_kept_per_kind_and_peer_and_unknown_ones_are_none(work: WorkState) -> None:
    work.set_dues("pull", {A: NOW, B: NOW + 1})
    work.set_dues("sweep", {A: NOW + 2})
    work.set_dues("pull", {})
    assert work.dues("pull", [C, B, A]) == {A: NOW, B: NOW + 1, C: 0}
    assert work.dues("sweep", [A, B]) == {A: NOW + 2, B: 0}
    assert work.dues("repair", []) == {}
    work.set_dues("pull", {A: NOW + 9})
    assert work.dues("pull", [A, B]) == {A: NOW + 9, B: NOW + 1}


def test_times_of_very_many_peers_are_one_call(work: WorkState) -> None:
    times = {NodeId(f"n{number}.example"): NOW + number for number in range(10_000)}
    work.set_dues("repair", times)
    assert work.dues("repair", list(times)) == times


def test_a_time_that_is_none_is_unknown(
    valkey_server: PrivateServer, redis_work: tuple[RedisWorkState, str]
) -> None:
    work, prefix = redis_work
    with valkey_server.client() as client:
        for peer, stored in ((A, "soon"), (B, "-5"), (C, "9" * 400)):
            client.set(f"{prefix}due:pull:{peer}", stored)
    assert work.dues("pull", [A, B, C]) == {A: 0, B: 0, C: 0}


def test_progress_is_kept_until_it_is_done(work: WorkState) -> None:
    progress = Progress(NOW, NOW + 5, 1000, 9000)
    assert work.progresses([A, B]) == {}
    assert work.progresses([]) == {}
    work.note_progress(A, progress)
    work.note_progress(A, replace(progress, posts=2000))
    assert work.progresses([B, A]) == {A: replace(progress, posts=2000)}
    work.note_progress(A, None)
    work.note_progress(A, None)
    assert work.progresses([A]) == {}


@pytest.mark.parametrize(
    "stored", [b"\xc1", msgspec.msgpack.encode(Progress(-1, 0, 0, 0)), b"\x80"]
)
def test_progress_that_is_none_is_not_told(
    stored: bytes, valkey_server: PrivateServer, redis_work: tuple[RedisWorkState, str]
) -> None:
    work, prefix = redis_work
    with valkey_server.client() as client:
        client.set(f"{prefix}progress:{A}", stored)
    assert work.progresses([A]) == {}


# forgetting


def use_all(work: WorkState, peer: NodeId) -> None:
    """Make the work state keep something of every kind of a peer."""
    for kind in ("announce", "fetch", "pull", "repair", "roster"):
        work.ring(kind, peer, NOW)
        work.hold(kind, peer, "token", NOW)
        work.set_dues(kind, {peer: NOW})
    work.set_dues("sweep", {peer: NOW})
    work.note_look(peer, "strange", NOW)
    assert work.take_looks(1, NOW, {"strange": NOW + 1, "lacking": NOW + 1}) == [peer]
    work.note_look(peer, "strange", NOW)
    work.hold("slow", peer, "token", NOW)
    work.set_breaker(peer, Breaker(), OPEN)
    work.note_progress(peer, Progress(NOW, NOW, 1, 2))
    work.want(peer, refs(3000), NOW)
    lease = work.lease(peer, 10, 1 << 40, NOW)
    assert lease is not None
    names = [item.ref.digest for item in lease.items]
    outcome = Settlement(
        dead={names[0]: "no"}, failed={names[1]: NOW + 1}, suspects={names[2]: "odd"}
    )
    assert work.settle(lease, outcome, NOW)


def test_a_forgotten_peer_is_as_one_never_met(work: WorkState) -> None:
    use_all(work, A)
    standing = work.lease(A, 5, 1 << 40, NOW)
    assert standing is not None
    work.forget(A)
    assert work.queued() == {}
    assert work.dead(10) == []
    assert work.breakers([A]) == {A: Breaker()}
    assert work.dues("pull", [A]) == work.dues("sweep", [A]) == {A: 0}
    assert work.progresses([A]) == {}
    assert work.ring("pull", A, NOW)
    assert work.hold("pull", A, "another", NOW)
    assert not work.settle(standing, Settlement(missing=(digest(0),)), NOW)
    work.want(B, refs(5), NOW)
    lease = work.lease(B, 9, 1 << 40, NOW)
    assert lease is not None
    assert len(lease.items) == 5, "its claims are gone"


def test_forgetting_one_peer_leaves_the_others(work: WorkState) -> None:
    use_all(work, A)
    work.set_dues("pull", {B: NOW})
    work.set_breaker(B, Breaker(), OPEN)
    work.want(B, refs(2, first=5000), NOW)
    lease = work.lease(B, 1, 1 << 40, NOW)
    assert lease is not None
    work.forget(A)
    work.forget(C)
    assert work.dues("pull", [B]) == {B: NOW}
    assert work.breakers([B]) == {B: OPEN}
    assert work.settle(lease, Settlement(dead={lease.items[0].ref.digest: "no"}), NOW)
    assert work.queued() == {B: 1}
    assert [letter.holder for letter in work.dead(10)] == [B]
    work.forget(A)


def test_forgetting_every_peer_leaves_no_key(
    valkey_server: PrivateServer, redis_work: tuple[RedisWorkState, str]
) -> None:
    work, prefix = redis_work
    for peer in (A, B, C):
        use_all(work, peer)
        work.lease(peer, 5, 1 << 40, NOW)
    for peer in (A, B, C):
        work.forget(peer)
    with valkey_server.client() as client:
        assert list(client.scan_iter(f"{prefix}*", count=1000)) == []


def test_keys_do_not_grow_with_use(
    valkey_server: PrivateServer, redis_work: tuple[RedisWorkState, str]
) -> None:
    work, prefix = redis_work
    counts = []
    with valkey_server.client() as client:
        for round_number in range(4):
            _work_hard(work, round_number)
            counts.append(len(list(client.scan_iter(f"{prefix}*", count=10_000))))
    assert counts[1] == counts[2] == counts[3]
    assert counts[0] < 60, "per peer a bounded number, and what is in flight"


def _work_hard(work: WorkState, round_number: int) -> None:
    """Queue, fetch and fail a few hundred posts that were never seen before."""
    now = NOW + 100_000 * round_number
    for peer in (A, B):
        work.want(peer, refs(400, first=1000 * round_number), now)
    while lease := work.lease(A, 50, 1 << 40, now):
        names = [item.ref.digest for item in lease.items]
        ends = Settlement(done=tuple(names[:45]), missing=tuple(names[45:48]))
        work.settle(lease, replace(ends, dead=dict.fromkeys(names[48:], "no")), now)
    while lease := work.lease(B, 50, 1 << 40, now):
        work.settle(lease, Settlement(missing=tuple(it.ref.digest for it in lease.items)), now)
    for step in range(20):
        seen = work.breakers([A])[A]
        gone = Failure("unreachable", "gone", now + step, now + step)
        work.set_breaker(A, seen, failed(seen, gone, Limits(), Random(step)))
        work.ring("pull", A, now + step)
        work.hold("pull", A, f"token-{step}", now)
        work.set_dues("pull", {A: now, B: now})
        work.note_progress(A, Progress(now, now, step, 0))
