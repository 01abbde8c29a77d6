"""The contract of `WorkState` for looks at peers' keys, over memory, Valkey and Redis."""

from collections.abc import Callable

from replicator.limits import Limits
from replicator.node.ports import WorkState
from replicator.protocol.ids import NodeId
from replicator.rules.trust import Oddity

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
A, B, C = NodeId("a.example"), NodeId("b.example"), NodeId("c.example")


def pauses(until: int) -> dict[Oddity, int]:
    """Return one end for the pauses of all reasons."""
    return {"strange": until, "lacking": until}


def test_a_noted_peer_is_taken_once_the_longest_due_first(work: WorkState) -> None:
    assert work.take_looks(9, NOW, pauses(NOW + MINUTE)) == []
    assert work.note_look(B, "strange", NOW)
    assert work.note_look(A, "lacking", NOW + 1)
    assert work.note_look(C, "strange", NOW + 2)
    assert not work.note_look(B, "lacking", NOW + 3), "it is noted"
    assert work.take_looks(9, NOW - 1, pauses(NOW + MINUTE)) == []
    assert work.take_looks(2, NOW + 9, pauses(NOW + MINUTE)) == [B, A]
    assert work.take_looks(2, NOW + 9, pauses(NOW + MINUTE)) == [C]
    assert work.take_looks(2, NOW + 9, pauses(NOW + MINUTE)) == []


def test_what_is_noted_during_the_pause_is_due_at_its_end(work: WorkState) -> None:
    work.note_look(A, "strange", NOW)
    assert work.take_looks(9, NOW, pauses(NOW + MINUTE)) == [A]
    for number in range(1, 50):
        assert work.note_look(A, "strange", NOW + number) is (number == 1)
        assert work.take_looks(9, NOW + number, pauses(NOW + HOUR)) == []
    assert work.take_looks(9, NOW + MINUTE - 1, pauses(NOW + HOUR)) == []
    assert work.take_looks(9, NOW + MINUTE, pauses(NOW + HOUR)) == [A]


def test_a_lacking_key_has_a_pause_of_its_own_that_can_be_changed(work: WorkState) -> None:
    work.note_look(A, "lacking", NOW)
    assert work.take_looks(9, NOW, {"strange": NOW + MINUTE, "lacking": NOW + HOUR}) == [A]
    assert work.note_look(A, "lacking", NOW + 1)
    assert work.take_looks(9, NOW + MINUTE, pauses(NOW + HOUR)) == []
    assert work.note_look(A, "strange", NOW + 2), "it is due earlier for that"
    assert not work.note_look(A, "lacking", NOW + 3)
    later = {"strange": NOW + 2 * MINUTE, "lacking": NOW + HOUR}
    assert work.take_looks(9, NOW + MINUTE, later) == [A]
    assert work.note_look(A, "lacking", NOW + 2 * MINUTE)
    work.pause_looks(A, NOW + 3 * MINUTE)
    assert work.note_look(A, "lacking", NOW + 2 * MINUTE), "it is due earlier now"
    assert work.take_looks(9, NOW + 2 * MINUTE, pauses(NOW + HOUR)) == []
    assert work.take_looks(9, NOW + 3 * MINUTE, pauses(NOW + HOUR)) == [A]


def test_the_pauses_of_one_peer_are_not_those_of_another(work: WorkState) -> None:
    work.note_look(A, "strange", NOW)
    work.take_looks(9, NOW, pauses(NOW + MINUTE))
    work.note_look(B, "strange", NOW + 1)
    assert work.take_looks(9, NOW + 1, pauses(NOW + MINUTE)) == [B]


def test_no_more_peers_are_noted_than_may_come_by_themselves(
    make_work: Callable[[Limits], WorkState],
) -> None:
    work = make_work(Limits(peers_max=2))
    noted = [work.note_look(peer, "strange", NOW) for peer in (A, B, C, A)]
    assert noted == [True, True, False, False]
    assert work.take_looks(9, NOW, pauses(NOW + MINUTE)) == [A, B]
    assert work.note_look(C, "strange", NOW)


def test_a_pause_of_a_clock_that_was_put_back_holds_nobody_up(work: WorkState) -> None:
    work.note_look(A, "strange", NOW + 1000 * HOUR)
    assert work.take_looks(9, NOW + 1000 * HOUR, pauses(NOW + 1001 * HOUR)) == [A]
    assert work.note_look(A, "strange", NOW)
    assert work.take_looks(9, NOW, pauses(NOW + MINUTE)) == [A]


def test_a_forgotten_peer_is_not_looked_at(work: WorkState) -> None:
    for peer in (A, B):
        work.note_look(peer, "strange", NOW)
    work.forget(A)
    assert work.take_looks(9, NOW, pauses(NOW + MINUTE)) == [B]
    work.forget(B)
    work.note_look(B, "strange", NOW)
    assert work.take_looks(9, NOW, pauses(NOW + MINUTE)) == [B], "its pause is forgotten too"
