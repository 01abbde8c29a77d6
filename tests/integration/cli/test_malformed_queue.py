"""`replicator queue malformed`, and what the doctor says of such entries and of open doors."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.cli.session import opened_node
from replicator.node.ports import MalformedEntry
from tests.support.cli_home import CliHome
from tests.support.valkey import PrivateServer

pytest_plugins = ["tests.support.work_fixtures"]

AT = 1_700_000_000_000


@pytest.fixture
def home(
    tmp_path: Path, valkey_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliHome]:
    """A node in whose queues three malformed entries stood."""
    monkeypatch.setenv("REPLICATOR_WORK_URL", valkey_server.url)
    home = CliHome(tmp_path / "home")
    home("init", "node.example")
    with opened_node(home.path) as node:
        for number in range(3):
            head = b"\x00\x1b[31m%d" % number
            entry = MalformedEntry(AT + number, "node.example.\x1b[2J", "is\x1b no JSON", 9, head)
            node.work.note_malformed(entry)
    yield home
    valkey_server.flush()


def test_entries_are_listed_newest_first_and_cannot_write_to_the_terminal(home: CliHome) -> None:
    lines = home("queue", "malformed", "--limit", "2").output.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("2023-11-14T22:13:20")
    assert "no JSON (9 bytes)" in lines[0]
    assert lines[-1] == "3 malformed entries, 1 of them not shown (--limit)"
    assert "\x1b" not in "".join(lines)


def test_a_program_gets_the_head_of_each(home: CliHome) -> None:
    told = json.loads(home("queue", "malformed", "--json").output)
    assert told["count"] == 3
    assert base64.b64decode(told["entries"][0]["head_base64"]) == b"\x00\x1b[31m2"
    assert told["entries"][0]["size"] == 9


def test_they_are_dropped_on_demand_when_the_operator_agrees(home: CliHome) -> None:
    for answer in ("n\n", ""):
        asked = home("queue", "malformed", "--drop", input=answer, code=1)
        assert "Forget 3 malformed entries?" in asked.stderr
        assert home.json("queue", "malformed")["count"] == 3
    assert home.json("queue", "malformed", "--drop", "--yes") == {"dropped": 3}
    assert home("queue", "malformed").output.splitlines() == ["0 malformed entries"]
    assert home("queue", "malformed", "--drop").output == "forgotten: 0 malformed entries\n"


def test_the_doctor_warns_of_them_and_of_a_dashboard_that_others_reach(
    home: CliHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATOR_FLOWER_LISTEN", "0.0.0.0:5555")
    found = {(one["check"], one["level"]): one for one in home.findings()}
    texts = " ".join(one["message"] for one in home.findings())
    assert "3 malformed entries" in texts
    assert "/metrics asks for no password" in texts
    assert found["work", "warn"]
