"""The contract of `Background`, over threads and the inline twin."""

import threading
from collections.abc import Iterator

import pytest

from replicator.adapters.background import ThreadBackground
from replicator.adapters.memory.background import InlineBackground
from replicator.node.ports import Background


@pytest.fixture(params=[ThreadBackground, InlineBackground])
def background(request: pytest.FixtureRequest) -> Iterator[Background]:
    """Each kind in turn."""
    made = request.param()
    yield made
    made.close()


def test_work_runs_once_and_gives_its_value_every_time(background: Background) -> None:
    runs: list[str] = []

    def work() -> int:
        runs.append("run")
        return len(runs)

    pending = background.submit(work)
    assert [pending.result(), pending.result()] == [1, 1]
    assert runs == ["run"]


def test_work_may_give_none(background: Background) -> None:
    assert background.submit(lambda: None).result() is None


def test_an_error_is_raised_where_the_result_is_asked_for(background: Background) -> None:
    pending = background.submit(lambda: {}["absent"])
    for _ in range(2):
        with pytest.raises(KeyError, match="absent"):
            pending.result()


def test_threads_work_beside_the_caller() -> None:
    background = ThreadBackground(1)
    go = threading.Event()
    pending = background.submit(lambda: go.wait(10))
    go.set()
    assert pending.result()
    background.close()


def test_closing_drops_what_has_not_started_and_waits_for_what_has() -> None:
    background = ThreadBackground(1)
    started, go, ran = threading.Event(), threading.Event(), []

    def first() -> None:
        started.set()
        go.wait(10)
        ran.append("first")

    background.submit(first)
    background.submit(lambda: ran.append("second"))
    assert started.wait(10)
    threading.Timer(0.1, go.set).start()
    background.close()
    assert ran == ["first"]


def test_inline_work_that_nobody_asks_for_does_not_run() -> None:
    runs: list[str] = []
    InlineBackground().submit(lambda: runs.append("run"))
    assert runs == []
