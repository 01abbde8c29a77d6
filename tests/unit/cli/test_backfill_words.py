"""What `status` says of backfills."""

import pytest

from replicator.cli.backfill_words import backfill_values, show_backfills
from replicator.node.backfill import WHOLE
from replicator.node.ports import Backfill
from replicator.protocol.ids import Cursor, NodeId

HEAD = "looking again through the log of there"


def made(query: str, *, posts: int = 0, remaining: int | None = None) -> Backfill:
    return Backfill(1, NodeId("there"), query, Cursor("c1"), "unblocked", 5, posts, remaining)


def test_one_through_the_whole_log_is_told_from_one_for_some_posts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs = [made('{"filter":{"nodes":["a"]}}', posts=1, remaining=2_000), *map(made, WHOLE)]
    values = [backfill_values(job) for job in jobs]
    assert [one["everything"] for one in values] == [False, True, True]
    show_backfills(values)
    assert capsys.readouterr().out.splitlines() == [
        f"{HEAD} (unblocked): 1 post so far, 2,000 log entries left",
        f"{HEAD} for everything (unblocked): not begun",
        f"{HEAD} for everything (unblocked): not begun",
    ]


def test_of_many_a_few_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_backfills([backfill_values(made("{}"))] * 1_010)
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (11, "and 1,000 more")
