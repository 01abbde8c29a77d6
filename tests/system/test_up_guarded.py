"""A node with protected keys and PostgreSQL, all of it run by `up`: each process opens both."""

from pathlib import Path

import pytest

from tests.support.cli_home import CliHome
from tests.support.live_node import LiveNode

pytest_plugins = ["tests.support.store_fixtures"]
pytestmark = [pytest.mark.timeout(300), pytest.mark.postgres]

PASSPHRASE = "correct horse battery"


def test_a_node_of_protected_keys_on_postgresql_answers_its_peers(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("REPLICATOR_DATABASE_URL", postgres_url)
    with LiveNode(tmp_path / "live", "live.example") as live:
        operator = CliHome(live.home)
        operator("keys", "pool", "new", "--yes")
        pool = operator.json("keys", "list")[-1]["key"]
        operator("keys", "pool", "export", pool, tmp_path / "pool.pem")
        (tmp_path / "posts.jsonl").write_text('{"id": "one"}\n{"id": "two"}\n')
        operator("publish", tmp_path / "posts.jsonl")
        live.start()
        monkeypatch.undo()

        asker = CliHome(tmp_path / "asker")
        asker("init", "asker.example")
        with (asker.path / "replicator.toml").open("a") as settings:
            settings.write("\nallow_private = true\n")
        asker("keys", "pool", "import", tmp_path / "pool.pem", "--yes")
        asker("peers", "add", live.address, "--yes")
        (tmp_path / "posts.jsonl").write_text('{"id": "three"}\n')
        asker("publish", tmp_path / "posts.jsonl")
        for form in ("json", "xml"):
            answer = asker("pull", "live.example", "--format", form).stdout
            assert "live.example/one" in answer
            assert "live.example/two" in answer
        assert "stored" in asker("put", "live.example", "--models", "asker.example/three").stdout

        monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", PASSPHRASE)
        monkeypatch.setenv("REPLICATOR_DATABASE_URL", postgres_url)
        state = operator.json("status")
        assert state["posts"] == 3
        assert {child["starts"] for child in state["up"]["children"].values()} == {1}
        assert not [one for one in operator.findings() if one["level"] == "fail"]
        logs = "".join(file.read_text() for file in (live.home / "log").iterdir())
        assert PASSPHRASE not in logs
