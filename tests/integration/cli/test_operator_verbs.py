"""The operator's verbs on a real home: SQLite, a real server for the work, a real peer.

Each is run twice, and with and without --json: they are for tired people and for scripts.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replicator.adapters.memory.clock import ManualClock
from replicator.cli.session import opened_node
from replicator.node import node_page
from replicator.node.context import Node
from replicator.node.health import note_failure
from replicator.node.ports import Member, Progress, Settlement
from replicator.protocol import node_document
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import Breaker
from tests.support.cli_home import CliHome
from tests.support.gateway import POOL_KEY, Running, make_node, running
from tests.support.refs import digest, refs
from tests.support.valkey import PrivateServer

pytest_plugins = ["tests.support.work_fixtures"]

HERE = NodeId("here.example")
"""The peer that runs in this process."""
GONE = NodeId("gone.example")
"""A peer at a port where nobody listens."""
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def home(
    tmp_path: Path, valkey_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliHome]:
    """A node of the pool with a server for its work and a peer that is gone."""
    for name in ("HOME", "NODE_ID", "DATABASE_URL", "KEY_PASSPHRASE"):
        monkeypatch.delenv(f"REPLICATOR_{name}", raising=False)
    monkeypatch.setenv("REPLICATOR_WORK_URL", valkey_server.url)
    home = CliHome(tmp_path / "home")
    home("init", "node.example", "--address", NOWHERE)
    (tmp_path / "pool.pem").write_bytes(POOL_KEY.to_pem(None))
    home("keys", "pool", "import", tmp_path / "pool.pem", "--yes")
    home("peers", "add", GONE, NOWHERE, "--yes")
    yield home
    valkey_server.flush()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Running]:
    """A peer's gateway and worker."""
    with running(make_node(tmp_path)) as live, live.worker():
        yield live


def address(live: Running) -> str:
    return f"http://127.0.0.1:{live.sync_port}"


def acquaint(home: CliHome, live: Running) -> None:
    """Add the live peer here, and this node there."""
    home("peers", "add", address(live), "--yes")
    live.node.store.add_peer(NodeId("node.example"), None, 1)


def open_breaker(home: CliHome, peer: NodeId = GONE, reason: str = "connection refused") -> None:
    with opened_node(home.path) as node:
        note_failure(node, peer, RuntimeError(reason), node.clock.now())
        failed = node.work.breakers([peer])[peer]
        later = replace(failed, next_at=failed.failed_at + 300_000)  # so that no test meets it
        assert node.work.set_breaker(peer, failed, later)


def breaker(home: CliHome, peer: NodeId) -> Breaker:
    with opened_node(home.path) as node:
        return node.work.breakers([peer])[peer]


def bury(node: Node, holder: NodeId, count: int, first: int = 0) -> None:
    """Make dead letters."""
    now = node.clock.now()
    node.work.want(holder, refs(count, first=first), now)
    lease = node.work.lease(holder, count, 1 << 40, now)
    assert lease is not None
    dead = {item.ref.digest: "it does not give it" for item in lease.items}
    node.work.settle(lease, Settlement(dead=dead), now)


def said(home: CliHome, *arguments: object, code: int = 0) -> str:
    """Return the one line that a command says."""
    out = home(*arguments, code=code).stdout
    assert out.count("\n") == 1, out
    return out


# --- one peer -------------------------------------------------------------------------------------


def test_pause_and_resume_are_shown_and_may_be_repeated(home: CliHome) -> None:
    assert f"peers resume {GONE}" in said(home, "peers", "pause", GONE)
    assert "already" in said(home, "peers", "pause", GONE)
    assert home.json("peers", "pause", GONE) == {"peer": GONE, "paused": True, "changed": False}
    (listed,) = home.json("peers", "list")
    assert (listed["state"], listed["paused"]) == ("paused", True)
    assert "paused: it is not called" in home("status").stdout
    (finding,) = [one for one in home.findings() if one["check"] == "paused"]
    assert f"peers resume {GONE}" in finding["advice"]
    assert "peers" not in {one["check"] for one in home.findings()}, "it is not called"

    assert "is called again" in said(home, "peers", "resume", GONE)
    assert "was not paused" in said(home, "peers", "resume", GONE)
    assert home.json("peers", "show", GONE)["state"] == "well"


def test_a_peer_without_an_address_is_not_said_to_be_called(home: CliHome) -> None:
    home("peers", "add", "caller.example", "--yes")
    listed = home.json("peers", "show", "caller.example")
    assert listed["state"] == "well"
    assert listed["words"] == "no address is known: it calls us, we do not call it"


def test_a_flush_forgives_and_hurries(home: CliHome) -> None:
    open_breaker(home)
    assert home.json("peers", "show", GONE)["state"] == "open"
    with opened_node(home.path) as node:
        node.work.want(GONE, refs(2), node.clock.now())
    assert home.json("peers", "flush", GONE) == {
        "peer": GONE, "hastened": 0, "queued": 2, "behind": 0
    }  # fmt: skip
    assert "2 posts to fetch" in said(home, "peers", "flush", GONE)
    assert breaker(home, GONE) == Breaker()
    with opened_node(home.path) as node:
        now = node.clock.now()
        assert all(0 < node.work.dues(kind, [GONE])[GONE] <= now for kind in ("pull", "repair"))


def test_what_cannot_be_flushed_says_what_to_do(home: CliHome) -> None:
    home("peers", "pause", GONE)
    assert f"peers resume {GONE}" in home("peers", "flush", GONE, code=1).stderr
    assert "no peer" in home("peers", "flush", "stranger.example", code=1).stderr


def test_without_a_server_pause_works_and_flush_says_why_not(
    home: CliHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATOR_WORK_URL", "redis://127.0.0.1:1/0")
    said(home, "peers", "pause", GONE)
    said(home, "peers", "resume", GONE)
    refused = home("peers", "flush", GONE, code=1).stderr
    assert "work state" in refused
    assert "is the node up? start it: replicator up" in refused
    assert home.json("peers", "show", GONE)["state"] == "unknown"
    home("peers", "forget", GONE, "--yes")
    assert home.json("peers", "list") == []


def test_a_resync_starts_at_the_epoch(home: CliHome) -> None:
    with opened_node(home.path) as node:
        node.store.record_pull(GONE, None, node.store.end_cursor(), now=1)
    assert home.json("peers", "show", GONE)["pulled"] is not None
    assert "from the start" in said(home, "peers", "resync", GONE)
    assert home.json("peers", "resync", GONE) == {"peer": GONE, "starts_now": True}
    assert home.json("peers", "show", GONE)["pulled"] is None
    home("peers", "pause", GONE)
    assert f"peers resume {GONE}" in said(home, "peers", "resync", GONE)


def test_a_probe_of_a_live_peer_tells_how_it_is(home: CliHome, live: Running) -> None:
    acquaint(home, live)
    open_breaker(home, HERE)
    probed = home.json("peers", "probe", HERE)
    assert probed["well"]
    assert (probed["end"], probed["key"]) == (None, "pinned")
    assert {"pull", "get", "put"} <= set(probed["types"])
    assert abs(probed["clock_ms"]) < 5_000
    assert 0 <= probed["round_trip_ms"] < 10_000
    assert breaker(home, HERE) == Breaker()
    shown = home("peers", "probe", HERE).stdout
    assert "answers well" in shown
    assert "the one that is pinned" in shown
    assert "it answers: " in shown


def test_a_probe_of_a_dead_peer_fails_and_changes_nothing(home: CliHome) -> None:
    open_breaker(home)
    before = breaker(home, GONE)
    probed = home.json("peers", "probe", GONE, code=1)
    assert (probed["well"], probed["end"], probed["key"]) == (False, "unreachable", "unknown")
    assert "unreachable" in home("peers", "probe", GONE, code=1).stdout
    assert breaker(home, GONE) == before


def test_a_probe_says_when_the_key_is_another_one(home: CliHome, live: Running) -> None:
    acquaint(home, live)
    with opened_node(home.path) as node:
        node.store.repin(HERE, [POOL_KEY.public], node.clock.now())
    assert home.json("peers", "probe", HERE, code=1)["key"] == "changed"
    assert f"peers trust {HERE}" in home("peers", "probe", HERE, code=1).stdout
    trusted = home.json("peers", "trust", HERE, "--yes")
    assert trusted["keys"] == [live.node.identity.node_keys[0].public]
    assert home.json("peers", "probe", HERE)["key"] == "pinned"


def test_forgetting_a_peer_forgets_what_waits_for_it(home: CliHome) -> None:
    with opened_node(home.path) as node:
        node.work.want(GONE, refs(2), node.clock.now())
        bury(node, NodeId("other.example"), 1, first=9)
    forgotten = home.json("peers", "forget", GONE, "--yes")
    assert forgotten == {"peer": GONE, "forgotten": True}
    queue = home.json("queue", "list")
    assert (queue["queued"], queue["dead"]) == (0, 1)


# --- what is shown --------------------------------------------------------------------------------


def test_a_breaker_is_told_in_words_by_list_show_status_and_doctor(home: CliHome) -> None:
    open_breaker(home, reason="connection refused")
    (listed,) = home.json("peers", "list")
    assert listed["breaker"]["end"] == "unreachable"
    assert listed["breaker"]["next_at"]
    for command in (("peers", "list"), ("peers", "show", GONE), ("status",)):
        out = home(*command).stdout
        assert "unreachable, " in out
        assert "connection refused; next try at " in out
    (finding,) = [one for one in home.findings(code=1) if one["check"] == "breaker"]
    assert "connection refused" in finding["message"]
    assert f"peers probe {GONE}" in finding["advice"]


def test_catching_up_is_shown_with_its_rate_and_the_time_left(home: CliHome) -> None:
    with opened_node(home.path) as node:
        now = node.clock.now()
        node.work.note_progress(GONE, Progress(now - 10_000, now, 1_000, 9_000))
    progress = home.json("peers", "show", GONE)["progress"]
    assert (progress["posts"], progress["remaining"]) == (1_000, 9_000)
    assert (progress["posts_per_second"], progress["seconds_left"]) == (100.0, 90)
    assert home.json("status")["peers"][0]["progress"] == progress
    line = "1,000 posts so far, 9,000 log entries left, 100.0 posts/s, about 1 min 30 s left"
    assert line in home("status").stdout
    assert line in home("peers", "show", GONE).stdout


def test_status_tells_of_room_floor_decided_and_members(home: CliHome) -> None:
    with opened_node(home.path) as node:
        node.store.raise_floor(1_600_000_000_000)
        note_member(node, node, NodeId("node.example"))
    state = home.json("status")
    assert (state["full"], state["decided"], state["members"]) == (False, 0, 1)
    assert state["floor"].startswith("2020-09-13")
    shown = home("status").stdout
    assert "none older than 2020-09-13" in shown
    assert "1 members known" in shown
    assert "FULL" not in shown


def test_a_full_quota_is_shown_and_named_by_the_doctor(home: CliHome) -> None:
    (home.path / "first.jsonl").write_text(json.dumps({"id": "first", "text": "text"}))
    home("publish", home.path / "first.jsonl")
    with (home.path / "replicator.toml").open("a") as settings:
        settings.write(f"\n[limits]\ndisk_reserve_bytes = {1 << 60}\n")
    assert home.json("status")["full"]
    assert "FULL" in home("status").stdout
    (finding,) = [one for one in home.findings(code=1) if one["check"] == "room"]
    assert finding["level"] == "fail"


def test_the_doctor_names_a_clock_that_a_peer_said_was_wrong(home: CliHome) -> None:
    with opened_node(home.path) as node:
        node.store.set_clock_offset(GONE, -3_600_000)
    (clock,) = [one for one in home.findings(code=1) if one["check"] == "clock"]
    assert "3600.0 s behind" in clock["message"]
    assert "NTP" in clock["advice"]


def test_the_doctor_names_a_clock_live_and_as_it_was_learned(home: CliHome, tmp_path: Path) -> None:
    there = make_node(tmp_path)
    ahead = ManualClock(there.clock.now() + 3_600_000)
    with running(replace(there, clock=ahead)) as live:
        home("peers", "add", address(live), "--yes")
        with opened_node(home.path) as node:
            node.store.set_clock_offset(HERE, 3_599_000)
        (clock,) = [one for one in home.findings(code=1) if one["check"] == "clock"]
    assert "s ahead; requests to it are dated as if it were 3599.0 s ahead" in clock["message"]


# --- the roster -----------------------------------------------------------------------------------


def note_member(node: Node, there: Node, name: NodeId) -> None:
    """Keep an introduction, as one that waits for the operator."""
    tree = node_page.current(there)
    pools = frozenset(node.identity.pools)
    member = Member(name, pools, node_document.compact(tree), node.clock.now(), offered=True)
    node.store.note_member(member, node.clock.now())


def test_an_offered_member_is_listed_and_added_by_its_id(home: CliHome, live: Running) -> None:
    there = replace(live.node, address=address(live))
    with opened_node(home.path) as node:
        note_member(node, there, HERE)
    rows = {row["id"]: row for row in home.json("peers", "list")}
    assert rows[HERE]["state"] == "offered"
    home("peers", "add", GONE, "--yes")
    both = home.json("peers", "list")
    assert len({frozenset(row) for row in both}) == 1, "an offer has the members of a peer"
    assert rows[HERE]["address"] == address(live)
    assert f"peers add {HERE}" in home("peers", "list").stdout

    refused = home("peers", "add", HERE, input="n\n", code=1)
    assert rows[HERE]["keys"][0]["fingerprint"] in refused.stderr
    assert {row["id"]: row["state"] for row in home.json("peers", "list")}[HERE] == "offered"
    home("peers", "add", HERE, input="y\n")
    home("peers", "add", HERE)
    shown = home.json("peers", "show", HERE)
    assert shown["address"] == address(live)
    (key,) = shown["keys"]
    assert (key["state"], key["source"]) == ("current", "roster")


# --- the queue ------------------------------------------------------------------------------------


@pytest.fixture
def letters(home: CliHome) -> CliHome:
    """A home with two dead letters of one peer and one of another, and a post to fetch."""
    with opened_node(home.path) as node:
        bury(node, GONE, 2)
        bury(node, HERE, 1, first=1)
        node.work.want(GONE, refs(1, first=7), node.clock.now())
    return home


def dead(home: CliHome, *arguments: object) -> list[tuple[str, str]]:
    found: list[dict[str, Any]] = home.json("queue", "dead", *arguments)
    return sorted((one["holder"], one["digest"]) for one in found)


def test_the_queue_is_counted_per_peer(letters: CliHome) -> None:
    listed = letters.json("queue", "list")
    assert (listed["queued"], listed["dead"]) == (1, 3)
    rows = {row["peer"]: (row["queued"], row["dead"]) for row in listed["peers"]}
    assert rows == {GONE: (1, 2), HERE: (0, 1)}
    assert "1 post to fetch, 3 dead letters" in letters("queue", "list").stdout


def test_dead_letters_are_listed_with_their_reason(letters: CliHome) -> None:
    assert dead(letters, "--peer", HERE) == [(HERE, digest(1))]
    assert len(dead(letters, "--limit", "2")) == 2
    shown = letters("queue", "dead", "--limit", "1").stdout
    assert "it does not give it" in shown
    assert "3 dead letters, 2 of them not shown" in shown


def test_letters_are_requeued_by_digest_by_peer_or_all(letters: CliHome) -> None:
    assert letters.json("queue", "requeue", "--peer", HERE) == {"requeued": 1, "left": 0}
    assert dead(letters) == [(GONE, digest(0)), (GONE, digest(1))]
    assert "tried again: 1 dead letter" in said(letters, "queue", "requeue", digest(0))
    assert letters.json("queue", "requeue", "--all") == {"requeued": 1, "left": 0}
    assert letters.json("queue", "requeue", "--all") == {"requeued": 0, "left": 0}
    assert letters.json("queue", "list")["queued"] == 4


def test_dropping_asks_unless_it_was_told_not_to(letters: CliHome) -> None:
    letters("queue", "drop", "--all", input="n\n", code=1)
    assert len(dead(letters)) == 3
    assert letters.json("queue", "drop", "--peer", GONE, "--yes") == {"dropped": 2}
    assert dead(letters) == [(HERE, digest(1))]
    letters("queue", "drop", digest(1), input="y\n")
    assert "forgotten: 0 dead letters" in said(letters, "queue", "drop", "--all")


@pytest.mark.parametrize("verb", ["requeue", "drop"])
def test_nothing_is_meant_by_saying_nothing_or_everything_and_something(
    letters: CliHome, verb: str
) -> None:
    for arguments in ((), ("--all", "--peer", GONE), ("--all", digest(0))):
        assert "--all" in letters("queue", verb, *arguments, code=2).stderr
    letters("queue", verb, "no-digest", code=1)
    assert len(dead(letters)) == 3
