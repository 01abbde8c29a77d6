"""The contract of `WorkState` for quotas, over memory, Valkey and Redis."""

from collections.abc import Callable
from random import Random

import pytest

from replicator.adapters.memory.work import MemoryWorkState
from replicator.limits import Limits
from replicator.node.ports import WorkState
from replicator.protocol.ids import NodeId
from replicator.rules.quotas import DAY_MS, Load, Quotas
from tests.support.valkey import WorkBackend

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A, B, C = NodeId("a.example"), NodeId("b.example"), NodeId("c.example")
MakeWork = Callable[[Limits], WorkState]


def test_posts_within_the_quota_pass_and_the_rest_stand_in_line(work: WorkState) -> None:
    quotas = Quotas(peer_posts=4)
    assert work.charge(A, [Load(C, 10)] * 6, quotas, NOW) == [0, 0, 0, 0, DAY_MS // 4, DAY_MS // 2]
    assert work.charge(B, [Load(C, 10)], quotas, NOW) == [0]
    assert work.charge(A, [Load(C, 10)], quotas, NOW + DAY_MS // 4 - 1) == [1]
    assert work.charge(A, [Load(C, 10)] * 2, quotas, NOW + DAY_MS // 4) == [0, DAY_MS // 4]


def test_bytes_count_by_size_and_an_origin_whoever_delivers_it(work: WorkState) -> None:
    quotas = Quotas(origin_bytes=100)
    assert work.charge(A, [Load(C, 60), Load(C, 60), Load(C, 40)], quotas, NOW) == [
        0,
        DAY_MS * 20 // 100,
        0,
    ]
    assert work.charge(B, [Load(C, 1), Load(A, 1)], quotas, NOW) == [DAY_MS // 100, 0]


def test_a_post_larger_than_a_day_s_bytes_costs_a_day(work: WorkState) -> None:
    quotas = Quotas(peer_bytes=100)
    assert work.charge(A, [Load(C, 1000)], quotas, NOW) == [0]
    assert work.charge(A, [Load(C, 1)], quotas, NOW + DAY_MS // 2 - 1) == [0]
    assert work.charge(A, [Load(C, 1000)], quotas, NOW + DAY_MS // 2) == [
        pytest.approx(DAY_MS // 2 + DAY_MS // 100, abs=1)
    ]


def test_asking_charges_nothing(work: WorkState) -> None:
    quotas = Quotas(peer_posts=1, origin_posts=1)
    for _ in range(3):
        assert work.charge(A, [Load(C, 1)] * 2, quotas, NOW, only_ask=True) == [0, DAY_MS]
    assert work.charge(A, [Load(C, 1)], quotas, NOW) == [0]


def test_without_a_quota_nothing_is_counted(work: WorkState) -> None:
    assert work.charge(A, [Load(C, 1)] * 3, Quotas(), NOW) == [0, 0, 0]
    assert work.charge(A, [], Quotas(peer_posts=1), NOW) == []


def test_a_post_over_one_quota_is_charged_to_none(work: WorkState) -> None:
    quotas = Quotas(peer_posts=1, origin_posts=2)
    assert work.charge(A, [Load(C, 1)] * 3, quotas, NOW)[0] == 0
    # the two that A had to keep were not counted for their origin
    assert work.charge(B, [Load(C, 1)], quotas, NOW) == [0]


def test_a_clock_that_was_put_back_shuts_nobody_out(work: WorkState) -> None:
    quotas = Quotas(peer_posts=2)
    assert work.charge(A, [Load(C, 1)] * 2, quotas, NOW) == [0, 0]
    assert work.charge(A, [Load(C, 1)], quotas, NOW - 30 * DAY_MS) == [0]


def test_no_more_nodes_are_remembered_than_allowed(
    make_work: MakeWork, work_backend: WorkBackend
) -> None:
    work = make_work(Limits(quota_buckets_max=10))
    quotas = Quotas(origin_posts=2)
    assert work.charge(A, [Load(B, 1)] * 2, quotas, NOW) == [0, 0]
    for n in range(50):
        origin = NodeId(f"n{n}.example")
        assert work.charge(A, [Load(origin, 1)], quotas, NOW + n) == [0]
    assert _levels(work) <= 11
    # who used up the most is remembered longest
    assert work.charge(A, [Load(B, 1)], quotas, NOW + 50)[0] > 0
    work.charge(A, [Load(C, 1)], quotas, NOW + 10 * DAY_MS)
    assert _levels(work) <= 2


def _levels(work: WorkState) -> int:
    if isinstance(work, MemoryWorkState):
        return len(work._levels)
    keys = work._keys  # type: ignore[attr-defined]
    count = int(work._server.command("HLEN", keys.quota_levels))  # type: ignore[attr-defined]
    assert int(work._server.command("ZCARD", keys.quota_full)) == count  # type: ignore[attr-defined]
    return count


def test_script_and_rule_give_the_same_waits(make_work: MakeWork) -> None:
    chance = Random(7)
    quotas = Quotas(peer_posts=30, peer_bytes=5_000, origin_posts=12, origin_bytes=3_000)
    work, twin = make_work(Limits()), MemoryWorkState(Limits())
    now = NOW
    for _ in range(60):
        now += chance.randrange(3_000_000)
        peer = chance.choice([A, B])
        loads = [
            Load(chance.choice([A, B, C]), chance.randrange(1, 900))
            for _ in range(chance.randrange(1, 8))
        ]
        only_ask = chance.random() < 0.3
        expected = twin.charge(peer, loads, quotas, now, only_ask=only_ask)
        assert work.charge(peer, loads, quotas, now, only_ask=only_ask) == expected
