"""The contract of `WorkState` for looks at peers' keys, over memory, Valkey and Redis."""

from collections.abc import Callable

from replicator.limits import Limits
from replicator.node.ports import WorkState
from replicator.protocol.ids import NodeId

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
A, B, C = NodeId("a.example"), NodeId("b.example"), NodeId("c.example")


def test_a_noted_peer_is_taken_once_the_longest_due_first(work: WorkState) -> None:
    assert work.take_looks(9, NOW, NOW + MINUTE) == []
    assert work.note_look(B, "strange", NOW)
    assert work.note_look(A, "lacking", NOW + 1)
    assert work.note_look(C, "strange", NOW + 2)
    assert not work.note_look(B, "lacking", NOW + 3), "it is noted"
    assert work.take_looks(9, NOW - 1, NOW + MINUTE) == []
    assert work.take_looks(2, NOW + 9, NOW + MINUTE) == [B, A]
    assert work.take_looks(2, NOW + 9, NOW + MINUTE) == [C]
    assert work.take_looks(2, NOW + 9, NOW + MINUTE) == []


def test_what_is_noted_during_the_pause_is_due_at_its_end(work: WorkState) -> None:
    work.note_look(A, "strange", NOW)
    assert work.take_looks(9, NOW, NOW + MINUTE) == [A]
    for number in range(1, 50):
        assert work.note_look(A, "strange", NOW + number) is (number == 1)
        assert work.take_looks(9, NOW + number, NOW + HOUR) == []
    assert work.take_looks(9, NOW + MINUTE - 1, NOW + HOUR) == []
    assert work.take_looks(9, NOW + MINUTE, NOW + HOUR) == [A]


def test_a_lacking_key_can_have_a_longer_pause_than_a_strange_one(work: WorkState) -> None:
    work.note_look(A, "lacking", NOW)
    assert work.take_looks(9, NOW, NOW + MINUTE) == [A]
    work.pause_looks(A, NOW + HOUR)
    assert work.note_look(A, "lacking", NOW + 1)
    assert work.take_looks(9, NOW + MINUTE, NOW + HOUR) == []
    assert work.note_look(A, "strange", NOW + 2), "it is due earlier for that"
    assert not work.note_look(A, "lacking", NOW + 3)
    assert work.take_looks(9, NOW + MINUTE, NOW + 2 * MINUTE) == [A]
    work.note_look(A, "lacking", NOW + 2 * MINUTE)
    assert work.take_looks(9, NOW + 2 * MINUTE, NOW + HOUR) == [A]


def test_the_pauses_of_one_peer_are_not_those_of_another(work: WorkState) -> None:
    work.note_look(A, "strange", NOW)
    work.take_looks(9, NOW, NOW + MINUTE)
    work.note_look(B, "strange", NOW + 1)
    assert work.take_looks(9, NOW + 1, NOW + MINUTE) == [B]


def test_no_more_peers_are_noted_than_may_come_by_themselves(
    make_work: Callable[[Limits], WorkState],
) -> None:
    work = make_work(Limits(peers_max=2))
    noted = [work.note_look(peer, "strange", NOW) for peer in (A, B, C, A)]
    assert noted == [True, True, False, False]
    assert work.take_looks(9, NOW, NOW + MINUTE) == [A, B]
    assert work.note_look(C, "strange", NOW)


def test_a_pause_of_a_clock_that_was_put_back_holds_nobody_up(work: WorkState) -> None:
    work.note_look(A, "strange", NOW + 1000 * HOUR)
    assert work.take_looks(9, NOW + 1000 * HOUR, NOW + 1001 * HOUR) == [A]
    assert work.note_look(A, "strange", NOW)
    assert work.take_looks(9, NOW, NOW + MINUTE) == [A]


def test_a_forgotten_peer_is_not_looked_at(work: WorkState) -> None:
    for peer in (A, B):
        work.note_look(peer, "strange", NOW)
    work.forget(A)
    assert work.take_looks(9, NOW, NOW + MINUTE) == [B]
    work.forget(B)
    work.note_look(B, "strange", NOW)
    assert work.take_looks(9, NOW, NOW + MINUTE) == [B], "its pause is forgotten too"
