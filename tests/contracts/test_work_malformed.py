"""The contract of `WorkState` for malformed queue entries, over memory, Valkey and Redis."""

from collections.abc import Callable
from dataclasses import replace

from replicator.limits import Limits
from replicator.node.ports import MalformedEntry, WorkState
from tests.support.valkey import WorkBackend

pytest_plugins = ["tests.support.work_fixtures"]

NOW = 1_700_000_000_000
ENTRY = MalformedEntry(NOW, "alpha.example.fetch", "is no JSON", 4, b"\x00\xff{[")
MakeWork = Callable[[Limits], WorkState]


def test_entries_are_listed_newest_first_and_bounded(make_work: MakeWork) -> None:
    work = make_work(Limits(malformed_entries_max=3))
    entries = [replace(ENTRY, at=NOW + n) for n in range(5)]
    for entry in entries:
        work.note_malformed(entry)
    assert work.malformed(10) == entries[:1:-1]
    assert work.malformed(2) == entries[:2:-1]
    assert work.malformed(0) == []
    assert work.count_malformed() == 3


def test_what_a_stranger_wrote_is_cut(make_work: MakeWork) -> None:
    work = make_work(Limits(record_chars_max=8, malformed_bytes_max=4))
    work.note_malformed(MalformedEntry(NOW, "q" * 100, "r" * 100, 100, b"x" * 100))
    assert work.malformed(1) == [MalformedEntry(NOW, "q" * 8, "r" * 8, 100, b"xxxx")]


def test_dropping_forgets_all_and_tells_how_many(work: WorkState) -> None:
    assert work.drop_malformed() == 0
    work.note_malformed(ENTRY)
    work.note_malformed(ENTRY)
    assert work.drop_malformed() == 2
    assert work.malformed(10) == []
    assert work.count_malformed() == 0


def test_entries_may_vanish_with_all_other_work(work_backend: WorkBackend, work: WorkState) -> None:
    work.note_malformed(ENTRY)
    work_backend.flush()
    assert work.malformed(10) == []
