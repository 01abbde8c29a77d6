"""What only a real server can do to the work state: be away, full, frozen, forget its scripts."""

import re
import time
from collections.abc import Iterator

import pytest
import redis

from replicator.adapters.redis import connection
from replicator.adapters.redis.work import RedisWorkState
from replicator.errors import ConfigurationError, WorkUnavailable
from replicator.limits import Limits
from replicator.node.ports import Progress, Receipt, RefusalRecord, Reply, Settlement, Wanted
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import Breaker
from replicator.rules.quotas import Load, Quotas
from tests.support.refs import digest, refs
from tests.support.valkey import PASSWORD, PrivateServer, new_prefix

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A, B = NodeId("a.example"), NodeId("b.example")
KEY_KINDS = {
    *("request", "nonce", "replies", "refusals", "doorbell", "hold", "breaker", "due"),
    *("queue", "items", "tries", "suspects", "leased", "lease", "claim", "dead", "letters"),
    *("holders", "progress", "rate", "quota"),
}
RECEIPT = Receipt("token", "gateway", A, (), (), "application/json", "", NOW)


def state_on(server: PrivateServer, limits: Limits | None = None) -> RedisWorkState:
    return RedisWorkState(server.url, new_prefix(), limits or Limits())


@pytest.fixture
def own_work(own_server: PrivateServer) -> Iterator[RedisWorkState]:
    """A work state on a server that the test may kill."""
    work = state_on(own_server)
    yield work
    work.close()


def test_nothing_connects_before_the_first_call() -> None:
    work = RedisWorkState("redis://127.0.0.1:1/0", new_prefix(), Limits())
    with pytest.raises(WorkUnavailable):
        work.queued()


def test_a_url_that_cannot_be_used_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        RedisWorkState("http://127.0.0.1/", new_prefix(), Limits())


def test_a_wrong_password_is_told_without_the_password(valkey_server: PrivateServer) -> None:
    url = valkey_server.url.replace(PASSWORD, "another-secret")
    work = RedisWorkState(url, new_prefix(), Limits())
    with pytest.raises(WorkUnavailable) as caught:
        work.ring("fetch", A, NOW)
    assert "another-secret" not in f"{caught.value!r} {work!r} {vars(work)!r}"


def test_a_killed_server_is_unavailable_and_back_after_its_restart(
    own_server: PrivateServer, own_work: RedisWorkState
) -> None:
    own_work.want(A, refs(3), NOW)
    lease = own_work.lease(A, 2, 1 << 40, NOW)
    assert lease is not None
    own_server.kill()
    for call in (
        own_work.queued,
        lambda: own_work.take_request("t"),
        lambda: own_work.breakers([A]),
    ):
        with pytest.raises(WorkUnavailable):
            call()
    own_server.start()
    assert own_work.queued() == {}
    assert not own_work.settle(lease, Settlement(done=(digest(0),)), NOW)
    assert own_work.want(A, refs(3), NOW) == [Wanted.QUEUED] * 3


def test_a_restart_between_two_calls_is_not_noticed(
    own_server: PrivateServer, own_work: RedisWorkState
) -> None:
    assert own_work.ring("fetch", A, NOW)
    own_server.kill()
    own_server.start()
    assert own_work.ring("fetch", A, NOW), "a stale connection is replaced, not reported"


def test_forgotten_scripts_are_loaded_again(valkey_server: PrivateServer) -> None:
    work = state_on(valkey_server)
    assert work.ring("fetch", A, NOW)
    with valkey_server.client() as client:
        client.script_flush()
    assert not work.ring("fetch", A, NOW)
    work.close()


def test_a_frozen_server_costs_a_bounded_time_and_no_command_is_sent_twice(
    own_server: PrivateServer, own_work: RedisWorkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "COMMAND_SECONDS", 0.5)
    work = state_on(own_server)
    record = RefusalRecord(NOW, A, "stale", "late")
    work.note_refusal(record)
    own_server.freeze()
    began = time.monotonic()
    with pytest.raises(WorkUnavailable):
        work.note_refusal(record)
    assert time.monotonic() - began < 5
    own_server.thaw()
    assert work.refusals(10) == [record, record], "sent once, though nobody heard the answer"
    work.close()


def test_a_full_server_is_unavailable_until_there_is_room(
    own_server: PrivateServer, own_work: RedisWorkState
) -> None:
    with own_server.client() as client:
        client.config_set("maxmemory", "1")
        for call in (
            lambda: own_work.admit(RECEIPT, "nonce", b"body", NOW),
            lambda: own_work.want(A, refs(1), NOW),
            lambda: own_work.set_dues("pull", {A: NOW}),
        ):
            with pytest.raises(WorkUnavailable):
                call()
        client.config_set("maxmemory", "0")
    assert own_work.admit(RECEIPT, "nonce", b"body", NOW), "the refused one spent no nonce"


def test_a_replica_is_unavailable_for_writes(
    own_server: PrivateServer, own_work: RedisWorkState
) -> None:
    with own_server.client() as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(WorkUnavailable):
            own_work.ring("fetch", A, NOW)
        with pytest.raises(WorkUnavailable):
            own_work.set_dues("pull", {A: NOW})
        client.replicaof("NO", "ONE")
    assert own_work.ring("fetch", A, NOW)


def test_an_error_of_ours_is_not_taken_for_an_outage(valkey_server: PrivateServer) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    with valkey_server.client() as client:
        client.set(f"{prefix}fetch:due", "not a sorted set")
    with pytest.raises(redis.ResponseError):
        work.queued()
    work.close()


def test_records_of_another_version_are_passed_over(valkey_server: PrivateServer) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    with valkey_server.client() as client:
        client.hset(f"{prefix}request:t", mapping={"receipt": b"\xc1", "body": b"body"})
        client.lpush(f"{prefix}refusals", b"\x93\x01\x02\x03")
    assert work.take_request("t") is None
    assert work.refusals(10) == []
    work.close()


def test_every_key_has_an_expiry_or_a_bound(valkey_server: PrivateServer) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    _use_everything(work)
    bounded = {f"{prefix}fetch:{name}" for name in ("due", "dead", "letters")}
    with valkey_server.client() as client:
        keys = {key.decode() for key in client.scan_iter(f"{prefix}*", count=1000)}
        lasting = {key for key in keys if client.ttl(key) == -1}
    kinds = {re.split("[:]", key.removeprefix(prefix).removeprefix("fetch:"))[0] for key in keys}
    assert lasting == bounded
    assert kinds == KEY_KINDS, "a kind that keys.py does not list, or that this test does not make"
    work.close()


def _use_everything(work: RedisWorkState) -> None:
    work.admit(RECEIPT, "nonce", b"body", NOW)
    work.charge(A, [Load(B, 10)], Quotas(peer_posts=5, origin_bytes=50), NOW)
    work.reply("gateway", Reply("another", 200, (), b""))
    work.note_refusal(RefusalRecord(NOW, A, "stale", "late"))
    work.ring("fetch", A, NOW)
    work.hold("fetch", A, "token", NOW)
    work.set_breaker(A, Breaker(), Breaker(failures=1))
    work.note_progress(A, Progress(NOW, NOW, 1, 2))
    work.set_dues("pull", {A: NOW})
    work.want(A, refs(5), NOW)
    lease = work.lease(A, 5, 1 << 40, NOW)
    assert lease is not None
    outcome = Settlement(
        failed={digest(0): NOW}, dead={digest(1): "no"}, suspects={digest(2): "odd"}
    )
    work.settle(lease, outcome, NOW)
    work.lease(A, 2, 1 << 40, NOW)


def test_an_emptied_queue_leaves_no_key_behind(valkey_server: PrivateServer) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    for holder in (A, B):
        work.want(holder, refs(600), NOW)
    lease = work.lease(A, 600, 1 << 40, NOW)
    assert lease is not None
    work.settle(lease, Settlement(done=tuple(item.ref.digest for item in lease.items)), NOW)
    with valkey_server.client() as client:
        assert list(client.scan_iter(f"{prefix}*", count=1000)) == []
    work.close()


def test_a_queue_whose_parts_were_lost_mends_itself(valkey_server: PrivateServer) -> None:
    prefix = new_prefix()
    work = RedisWorkState(valkey_server.url, prefix, Limits())
    work.want(A, refs(3), NOW)
    with valkey_server.client() as client:
        client.delete(f"{prefix}fetch:items:{A}")
    assert work.lease(A, 5, 1 << 40, NOW) is None
    assert work.due_holders(NOW, 10) == []
    assert work.want(A, refs(3), NOW) == [Wanted.LATER] * 3, "counted twice, queued all the same"
    assert work.lease(A, 5, 1 << 40, NOW) is not None
    work.close()
