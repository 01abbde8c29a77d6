"""The threat model names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w./-]+)`")


def test_every_test_that_the_threat_model_names_is_there() -> None:
    page = (ROOT / "replicator" / "THREATS.md").read_text(encoding="utf-8")
    named = set(NAMED.findall(page))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_row_of_the_threat_model_names_a_test() -> None:
    page = (ROOT / "replicator" / "THREATS.md").read_text(encoding="utf-8")
    tables = [block for block in page.split("\n\n") if block.startswith("| attack |")]
    rows = [row for table in tables for row in table.splitlines()[2:]]
    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row)] == []
