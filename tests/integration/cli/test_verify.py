"""`replicator verify` against a live peer: what it says, and that it changes nothing."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.cli.session import opened_node
from replicator.node.context import Node
from replicator.node.publish import publish, read_draft
from replicator.rules.policy import Policy
from tests.support.cli_home import CliHome
from tests.support.gateway import POOL_KEY, make_node, running

PEER = "here.example"
DAY = 86_400_000
FIRST_DAY = 1_700_006_400_000
"""2023-11-15T00:00:00Z."""


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Node]:
    """The node of a peer; it is not running yet."""
    (tmp_path / "peer").mkdir()
    node = make_node(tmp_path / "peer")
    yield node
    node.store.close()  # type: ignore[attr-defined]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliHome:
    """A node of the peer's pool."""
    for name in ("HOME", "NODE_ID", "DATABASE_URL", "WORK_URL", "KEY_PASSPHRASE"):
        monkeypatch.delenv(f"REPLICATOR_{name}", raising=False)
    home = CliHome(tmp_path / "home")
    home("init", "node.example", "--address", "http://127.0.0.1:1")
    (tmp_path / "pool.pem").write_bytes(POOL_KEY.to_pem(None))
    home("keys", "pool", "import", tmp_path / "pool.pem", "--yes")
    return home


def meet(home: CliHome, port: int) -> None:
    """Add the running peer, and let it prove its pool."""
    home("peers", "add", f"http://127.0.0.1:{port}", "--yes")
    home("pull", PEER)


def give(home: CliHome, name: str, published: int) -> None:
    """Publish one post in the home."""
    file = home.path / f"{name}.jsonl"
    file.write_text(json.dumps({"id": name, "text": "text", "published": published}))
    home("publish", file)


def grow(peer: Node, name: str, published: int) -> None:
    """Publish one post at the peer."""
    fields = {"id": name, "text": "text", "published": published}
    publish(peer, [read_draft(peer.identity.node_id, fields)])


def contents(home: CliHome) -> list[str]:
    """Return all rows of the home's database."""
    with closing(sqlite3.connect(home.path / "replicator.db")) as connection:
        return list(connection.iterdump())


def test_differing_sets_are_told_by_count_window_and_first_posts_and_nothing_changes(
    home: CliHome, peer: Node
) -> None:
    for day in range(2):
        grow(peer, f"theirs-{day}", FIRST_DAY + day * DAY)
    give(home, "ours", FIRST_DAY + DAY)
    with running(peer) as live, live.worker():
        meet(home, live.sync_port)
        before, theirs = contents(home), peer.store.totals()
        said = home.json("verify", PEER, code=1)
        (pool,) = said["pools"]
        assert (said["equal"], pool["complete"], pool["pool"]) == (False, True, POOL_KEY.public)
        assert pool["here"]["lacking"] == 2
        assert pool["here"]["windows"] == {"2023-11-15": 1, "2023-11-16": 1}
        assert [one["id"] for one in pool["here"]["first"]] == [
            f"{PEER}/theirs-0",
            f"{PEER}/theirs-1",
        ]
        assert pool["there"]["windows"] == {"2023-11-16": 1}
        months = home.json("verify", PEER, "--by", "month", "--pool", POOL_KEY.public, code=1)
        assert months["pools"][0]["here"]["windows"] == {"2023-11": 2}
        words = home("verify", PEER, code=1).stdout
        assert "lacking here: 2 posts; lacking there: 1 post" in words
        assert "2023-11-16" in words
        assert "node.example/ours" in words
        assert contents(home) == before
        assert peer.store.totals() == theirs


def test_equal_sets_are_told_with_exit_code_0(home: CliHome, peer: Node) -> None:
    with running(peer) as live, live.worker():
        meet(home, live.sync_port)
        said = home.json("verify", PEER)
        assert said["equal"]
        assert said["pools"][0]["rounds"] == 1
        assert "the sets are equal" in home("verify", PEER).stdout


def test_what_one_side_does_not_keep_is_no_difference_and_said(home: CliHome, peer: Node) -> None:
    grow(peer, "old", FIRST_DAY)
    with opened_node(home.path) as node:
        node.store.raise_floor(FIRST_DAY + DAY)
    with running(peer) as live, live.worker():
        meet(home, live.sync_port)
        said = home.json("verify", PEER)
        assert (said["equal"], said["pools"][0]["since"]) == (True, "2023-11-16T00:00:00.000Z")
        words = home("verify", PEER).stdout
        assert "the sets are equal, of posts dated since 2023-11-16T00:00:00.000Z" in words


def test_a_peer_that_cannot_compare_is_told_in_words(home: CliHome, peer: Node) -> None:
    with running(replace(peer, policy=Policy(reconcile="off"))) as live, live.worker():
        meet(home, live.sync_port)
        assert "cannot compare sets" in home("verify", PEER, code=1).stderr


def test_who_cannot_be_compared_with_is_told_in_words(home: CliHome) -> None:
    assert "is no peer" in home("verify", "nobody.example", code=1).stderr
    home("peers", "add", PEER, "--yes")
    assert "proved no pool" in home("verify", PEER, code=1).stderr
    other = "ed25519:" + "A" * 43
    assert "no pool of this node" in home("verify", PEER, "--pool", other, code=1).stderr


def test_the_help_says_what_the_exit_codes_mean(home: CliHome) -> None:
    assert "Exit code: 0 the sets are equal, 1 they differ" in home("verify", "--help").stdout
