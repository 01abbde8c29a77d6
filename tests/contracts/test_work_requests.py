"""The contract of `WorkState` for requests in hand, over memory, Valkey and Redis."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from replicator.adapters.memory.work import MemoryWorkState
from replicator.limits import Limits
from replicator.node.ports import Entry, Receipt, RefusalRecord, Reply, WorkState
from replicator.protocol.ids import KeyText, NodeId
from tests.support.valkey import WorkBackend
from tests.support.waiting import eventually

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
A = NodeId("a.example")
B = NodeId("b.example")
MakeWork = Callable[[Limits], WorkState]


def receipt(token: str, sender: NodeId = A) -> Receipt:
    return Receipt(
        token=token,
        gateway="gateway-1",
        sender=sender,
        node_keys=(KeyText("ed25519:" + "A" * 43),),
        pool_keys=(),
        media_type="application/json",
        base_digest="0" * 64,
        received_at=NOW,
        accepts_gzip=True,
    )


def reply(token: str) -> Reply:
    headers = (("content-type", "application/json"), ("signature", "é"))
    return Reply(token, 200, headers, b"\x00\xff body")


def test_an_admitted_request_is_taken_as_it_came_and_stays_for_a_second_run(
    work: WorkState,
) -> None:
    body = bytes(range(256)) * 100
    assert work.admit(receipt("t1"), "nonce", body, NOW)
    assert work.take_request("t1") == (receipt("t1"), body)
    assert work.take_request("t1") == (receipt("t1"), body)


def test_a_request_that_was_never_admitted_is_not_there(work: WorkState) -> None:
    assert work.take_request("t1") is None


def test_a_nonce_passes_once_per_sender_and_a_refused_request_is_not_stored(
    work: WorkState,
) -> None:
    assert work.admit(receipt("t1"), "nonce", b"first", NOW)
    assert not work.admit(receipt("t2"), "nonce", b"copy", NOW + 1)
    assert work.take_request("t2") is None
    assert work.take_request("t1") == (receipt("t1"), b"first")
    assert work.admit(receipt("t3", B), "nonce", b"another sender", NOW)
    assert work.admit(receipt("t4"), "nonce-2", b"another nonce", NOW)


def test_the_same_receipt_may_be_admitted_again(work: WorkState) -> None:
    assert work.admit(receipt("t1"), "nonce", b"body", NOW)
    assert work.admit(receipt("t1"), "nonce", b"body", NOW)


def test_a_nonce_is_remembered_for_both_ends_of_the_window(work: WorkState) -> None:
    limits = Limits()
    assert work.admit(receipt("t1"), "nonce", b"", NOW)
    inside = NOW + 2 * limits.window_seconds * 1000
    assert not work.admit(receipt("t2"), "nonce", b"", inside)
    assert work.admit(receipt("t3"), "nonce", b"", NOW + limits.nonce_seconds * 1000)


def test_an_answered_request_is_gone_for_a_redelivered_task(work: WorkState) -> None:
    work.admit(receipt("t1"), "nonce", b"body", NOW)
    work.reply("gateway-1", reply("t1"))
    assert work.take_request("t1") is None


def test_an_answer_is_handed_over_even_where_the_request_was_lost(
    work_backend: WorkBackend, work: WorkState
) -> None:
    work.admit(receipt("t1"), "nonce", b"body", NOW)
    work_backend.flush()
    work.reply("gateway-1", reply("t1"))
    assert work.take_request("t1") is None
    if isinstance(work, MemoryWorkState):
        assert work.take_replies("gateway-1") == [reply("t1")]


def test_a_stored_request_expires(make_work: MakeWork) -> None:
    work = make_work(Limits(answer_seconds=0.5, work_body_seconds=1))
    work.admit(receipt("t1"), "nonce", b"body", NOW)
    if isinstance(work, MemoryWorkState):
        work.admit(receipt("t2"), "nonce-2", b"body", NOW + 1000)
    eventually(lambda: work.take_request("t1") is None, "the request has expired")


def test_refusals_are_listed_newest_first_and_bounded(make_work: MakeWork) -> None:
    work = make_work(Limits(refusal_records_max=3))
    records = [RefusalRecord(NOW + n, A, "stale", f"message {n}") for n in range(5)]
    for record in records:
        work.note_refusal(record)
    assert work.refusals(10) == records[:1:-1]
    assert work.refusals(2) == records[:2:-1]
    assert work.refusals(0) == []


def test_what_a_stranger_wrote_into_a_refusal_is_cut(make_work: MakeWork) -> None:
    work = make_work(Limits(record_chars_max=8))
    work.note_refusal(RefusalRecord(NOW, "s" * 100, "malformed", "m" * 100))
    assert work.refusals(1) == [RefusalRecord(NOW, "s" * 8, "malformed", "m" * 8)]


@pytest.mark.parametrize("nonce", ["", "with:colon", "with space", "é", "x" * 1000])
def test_any_nonce_text_is_its_own_nonce(work: WorkState, nonce: str) -> None:
    assert work.admit(receipt("t1"), nonce, b"", NOW)
    assert work.admit(replace(receipt("t2"), sender=B), nonce, b"", NOW)
    assert not work.admit(receipt("t3"), nonce, b"", NOW)


def test_a_sender_that_asks_too_often_waits_and_others_do_not(make_work: MakeWork) -> None:
    work = make_work(Limits(peer_requests_per_second=10.0, peer_burst_requests_max=3))
    for n in range(3):
        assert work.admit(receipt(f"t{n}"), f"nonce-{n}", b"", NOW)
    refused = work.admit(receipt("t3"), "nonce-3", b"", NOW)
    assert refused == Entry(wait_ms=100)
    assert work.take_request("t3") is None
    assert work.admit(receipt("t4", B), "nonce-4", b"", NOW)
    # its nonce is free still, and after the wait one more passes
    assert work.admit(receipt("t5"), "nonce-3", b"", NOW + 100)
    assert work.admit(receipt("t6"), "nonce-6", b"", NOW + 150) == Entry(wait_ms=50)


def test_who_repeats_a_sender_s_messages_does_not_spend_its_rate(make_work: MakeWork) -> None:
    work = make_work(Limits(peer_requests_per_second=1.0, peer_burst_requests_max=2))
    assert work.admit(receipt("t1"), "nonce", b"", NOW)
    for n in range(10):
        assert work.admit(receipt(f"copy{n}"), "nonce", b"", NOW) == Entry(replayed=True)
    assert work.admit(receipt("t2"), "nonce-2", b"", NOW)


def test_a_clock_that_was_put_back_shuts_nobody_out(make_work: MakeWork) -> None:
    work = make_work(Limits(peer_requests_per_second=10.0, peer_burst_requests_max=3))
    for n in range(3):
        assert work.admit(receipt(f"t{n}"), f"nonce-{n}", b"", NOW)
    assert work.admit(receipt("t4"), "nonce-4", b"", NOW - 3_600_000)


def test_a_request_that_nobody_waits_for_is_gone_and_its_nonce_stays_used(work: WorkState) -> None:
    work.admit(receipt("t1"), "n", b"body", NOW)
    work.forget_request("t1")
    assert work.take_request("t1") is None
    assert work.admit(receipt("t2"), "n", b"body", NOW).replayed
    work.forget_request("t1")
