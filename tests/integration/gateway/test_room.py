"""A real gateway over a database without room: 507 with the reason, and everything else goes on."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from replicator.adapters.sql.store import SqlStore
from replicator.node.context import Node
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.ids import GlobalId
from replicator.protocol.messages import Put
from replicator.protocol.post import Content
from replicator.protocol.signing import sign_post
from tests.support.cli_home import CliHome
from tests.support.gateway import SENDER, Running, call, make_node, running

POSTS = "/local/v1/posts"
LONG_AGO = 1_000_000_000_000


class Pages:
    """How many pages the database may have: what a full disk is to SQLite."""

    bound = 1 << 30

    def prepare(self, connection: Any, _entry: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {self.bound}")


@pytest.fixture
def disk() -> Iterator[Pages]:
    """Bound the size of every database that is opened from now on."""
    pages = Pages()
    event.listen(Engine, "connect", pages.prepare)
    yield pages
    event.remove(Engine, "connect", pages.prepare)


def with_quota(folder: Path, quota_bytes: int | None, **settings: Any) -> Node:
    """Return the node of a folder as it starts with a quota."""
    node = make_node(folder)
    url = f"sqlite:///{folder / 'gateway.db'}"
    return replace(node, store=SqlStore(url, node.limits, quota_bytes=quota_bytes), **settings)


def error_of(got: Any) -> dict[str, str]:
    error: dict[str, str] = json.loads(got.body)["error"]
    return error


def texts(gateway: Running) -> list[str]:
    tree = gateway.local("GET", POSTS).tree
    return [item["content"]["text"] for item in tree["posts"]]


def put(gateway: Running, text: str) -> dict[str, Any]:
    """Have a pool-mate put one post."""
    content = Content((), "", GlobalId(f"sender.example/{len(text)}"), LONG_AGO, (), text, None, "")
    post = sign_post(content, [*SENDER.node_keys, *SENDER.pool_keys], gateway.node.limits)
    tree = codec.request_tree(Put(models=(codec.model_tree(post),)))
    answer: dict[str, Any] = gateway.post(*gateway.signed(tree)).tree
    return answer


def test_beyond_the_quota_publishing_is_507_and_the_rest_goes_on(tmp_path):
    with running(with_quota(tmp_path, None)) as gateway:
        assert gateway.local("POST", POSTS, {"text": "first"}).status == 201
        assert gateway.local("GET", "/local/v1/status").tree["full"] is False
    with running(with_quota(tmp_path, 1)) as gateway, gateway.worker():
        for body in ({"text": "more"}, {"posts": [{"text": "a"}, {"text": "b"}]}):
            got = gateway.local("POST", POSTS, body)
            assert (got.status, error_of(got)["code"]) == (507, "full")
            assert "nothing was stored" in error_of(got)["message"]
        status = gateway.local("GET", "/local/v1/status").tree
        assert (status["full"], status["posts"]) == (True, 1)
        assert texts(gateway) == ["first"]
        assert len(gateway.local("GET", "/local/v1/changes").tree["changes"]) == 1
        assert call(gateway.sync_port, "GET", "/v1/node").status == 200
        assert gateway.post(*gateway.signed()).tree["status"] == "success"
        assert [item["result"] for item in put(gateway, "theirs")["items"]] == ["later"]
        assert texts(gateway) == ["first"]
    with running(with_quota(tmp_path, 1 << 30)) as gateway, gateway.worker():
        assert gateway.local("POST", POSTS, {"text": "more"}).status == 201
        assert [item["result"] for item in put(gateway, "theirs")["items"]] == ["stored"]
        assert texts(gateway) == ["first", "more", "theirs"]


def test_what_expires_makes_room_without_a_restart(tmp_path):
    old = {"posts": [{"text": f"{n} " + "x" * 20_000, "published": LONG_AGO} for n in range(100)]}
    with running(with_quota(tmp_path, None)) as gateway:
        assert gateway.local("POST", POSTS, old).status == 200
        size = (tmp_path / "gateway.db").stat().st_size
    quota = max(size, 100 * 20_000) // 2
    with running(with_quota(tmp_path, quota, keep_days=30)) as gateway:
        assert gateway.local("POST", POSTS, {"text": "new"}).status == 507
        upkeep(gateway.node)
        assert gateway.local("POST", POSTS, {"text": "new"}).status == 201
        assert texts(gateway) == ["new"]
        got = gateway.local("POST", POSTS, {"text": "old", "published": LONG_AGO})
        assert (got.status, error_of(got)["field"]) == (422, "published")
        assert "are not kept here" in error_of(got)["message"]


def test_a_disk_that_is_really_full_loses_nothing_that_was_acknowledged(tmp_path, disk):
    node = make_node(tmp_path)
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    disk.bound = pages + 200
    acknowledged = []
    with running(node) as gateway:
        for number in range(400):
            got = gateway.local("POST", POSTS, {"id": str(number), "text": "x" * 9_000})
            if got.status != 201:
                break
            acknowledged.append(str(number))
        assert (got.status, error_of(got)["code"]) == (507, "full")
        assert len(acknowledged) > 10
        assert gateway.local("POST", POSTS, {"text": "y" * 9_000}).status == 507
        assert gateway.local("GET", f"{POSTS}?limit=5").status == 200
        assert gateway.local("GET", "/local/v1/status").tree["posts"] == len(acknowledged)
        disk.bound = pages + 2_000
        node.store.close()  # type: ignore[attr-defined]  # its connections are opened anew
        assert gateway.local("POST", POSTS, {"id": "last", "text": "z"}).status == 201
        held = {post.id for post in node.store.get(digests=[d for d, _ in node.store.digests()])}
    assert held == {f"here.example/{name}" for name in [*acknowledged, "last"]}
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_expires_makes_room_on_a_disk_that_is_really_full(tmp_path, disk):
    node = replace(make_node(tmp_path), keep_days=30)
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    disk.bound = pages + 300
    with running(node) as gateway:
        draft, large = {"text": "x" * 3_000, "published": LONG_AGO}, {"text": "y" * 30_000}
        for _ in range(400):
            if gateway.local("POST", POSTS, draft).status != 201:
                break
        assert gateway.local("POST", POSTS, large).status == 507
        upkeep(gateway.node)
        assert gateway.local("POST", POSTS, large).status == 201
        assert texts(gateway) == [large["text"]]
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_command_line_says_in_one_line_that_there_is_no_room(tmp_path, monkeypatch):
    home = CliHome(tmp_path / "home")
    home("init", "node.example")
    file = tmp_path / "posts.jsonl"
    file.write_text('{"text": "first"}\n')
    monkeypatch.setenv("REPLICATOR_WORK_URL", "redis://127.0.0.1:1/0")
    home("publish", file)
    monkeypatch.setenv("REPLICATOR_DISK_BYTES_MAX", "1")
    file.write_text('{"text": "second"}\n')
    lines = home("publish", file, code=1).stderr.strip().splitlines()
    assert lines[-1].startswith("Error: stopped early: ")
    assert "publish again to go on" in lines[-1]
    monkeypatch.delenv("REPLICATOR_DISK_BYTES_MAX")
    assert home.json("publish", file)["stored"] == 1
