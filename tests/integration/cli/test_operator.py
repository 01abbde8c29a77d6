"""What an operator meets: protected keys, PostgreSQL, a peer with a new key, servers unfit to use.

Commands run in this process; servers and gateways are real.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import make_url

from replicator.adapters.memory.clock import ManualClock
from replicator.adapters.sql.migrate import migrate
from replicator.adapters.valkey import find_server
from replicator.cli.key_opening import require_keys_that_open
from replicator.cli.session import opened_node
from replicator.node.announce import Announced, announce
from replicator.node.ports import Settlement
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey, fingerprint
from replicator.settings import load_settings
from tests.support.cli_home import CliHome
from tests.support.gateway import POOL_KEY, Running, make_node, running
from tests.support.postgres import GUARDED_USER
from tests.support.refs import ref
from tests.support.valkey import PrivateServer

pytest_plugins = ["tests.support.store_fixtures", "tests.support.work_fixtures"]

HERE = NodeId("here.example")
PASSPHRASE = "correct horse"
SECRET = "s3cret-of-the-test"


@pytest.fixture
def home(
    tmp_path: Path, valkey_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliHome]:
    """A node of the pool with a server for its work."""
    monkeypatch.setenv("REPLICATOR_WORK_URL", valkey_server.url)
    home = CliHome(tmp_path / "home")
    home("init", "node.example", "--address", "http://127.0.0.1:1")
    (tmp_path / "pool.pem").write_bytes(POOL_KEY.to_pem(None))
    home("keys", "pool", "import", tmp_path / "pool.pem", "--yes")
    yield home
    valkey_server.flush()


def publish(home: CliHome, name: str) -> None:
    """Publish one post."""
    file = home.path / f"{name}.jsonl"
    file.write_text(json.dumps({"id": name, "text": "text"}))
    home("publish", file)


# --- protected keys -------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliHome:
    """A home whose key files are protected."""
    monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", PASSPHRASE)
    home = CliHome(tmp_path / "guarded")
    home("init", "guarded.example")
    return home


def test_a_passphrase_protects_every_key_and_opens_them_again(guarded: CliHome) -> None:
    guarded("keys", "pool", "new", "--yes")
    guarded("keys", "rotate", "--yes")
    pems = [file.read_text() for file in (guarded.path / "keys").glob("*.pem")]
    assert len(pems) == 3
    assert all("ENCRYPTED" in pem for pem in pems)
    assert [row["kind"] for row in guarded.json("keys", "list")] == ["node", "node", "pool"]
    publish(guarded, "signed")
    assert guarded.json("status")["posts"] == 1
    assert PASSPHRASE not in guarded("doctor").output + repr(guarded.findings())


@pytest.mark.parametrize("given", [None, "wrong"])
def test_without_its_passphrase_a_home_says_what_is_missing(
    guarded: CliHome, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is None:
        monkeypatch.delenv("REPLICATOR_KEY_PASSPHRASE")
    else:
        monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", given)
    for command in (("keys", "list"), ("status",), ("posts", "list")):
        said = guarded(*command, code=1).stderr
        assert "key_passphrase" in said, command
        assert said.count("\n") == 1
    (keys,) = [one for one in guarded.findings(code=1) if one["check"] == "keys"]
    assert "key_passphrase" in keys["message"]


@pytest.mark.parametrize("given", [None, "", "wrong"])
def test_up_starts_nothing_where_the_passphrase_does_not_open_the_keys(
    guarded: CliHome, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is None:
        monkeypatch.delenv("REPLICATOR_KEY_PASSPHRASE")
    else:
        monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", given)
    said = guarded("up", code=1).stderr
    assert "node-1.pem" in said
    assert "key_passphrase" in said.lower()
    assert said.count("\n") == 1
    assert not (guarded.path / "run").exists()


@pytest.mark.parametrize("given", ["superfluous", ""])
def test_up_starts_nothing_where_keys_have_no_passphrase_and_one_is_given(
    tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = CliHome(tmp_path / "plain")
    home("init", "plain.example")
    monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", given)
    said = home("up", code=1).stderr
    assert "node-1.pem is not encrypted" in said
    assert "unset key_passphrase" in said
    assert not (home.path / "run").exists()
    home("keys", "list", code=1)  # as every other command


def test_one_key_in_plain_among_protected_ones_keeps_up_from_starting(guarded: CliHome) -> None:
    plain = PrivateKey.generate().to_pem(None)
    file = guarded.path / "keys" / "pool-1.pem"
    file.write_bytes(plain)
    file.chmod(0o600)
    assert "pool-1.pem is not encrypted" in guarded("up", code=1).stderr


def test_up_opens_protected_keys_with_their_passphrase(guarded: CliHome) -> None:
    (guarded.path / "keys" / "old-copy.pem").write_text("no key of the node")
    require_keys_that_open(load_settings(guarded.path, os.environ))


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_home_on_postgresql_does_what_one_on_sqlite_does(
    tmp_path: Path, postgres_url: str
) -> None:
    home = CliHome(tmp_path / "home")
    home("init", "node.example", "--database-url", postgres_url)
    assert home.json("migrate") == {"applied": []}
    publish(home, "first")
    publish(home, "second")
    assert len(home.json("posts", "list")) == 2
    assert home.json("posts", "show", "node.example/first")["content"]["text"] == "text"
    home("peers", "add", "other.example", "--yes")
    state = home.json("status")
    assert (state["posts"], len(state["peers"])) == (2, 1)
    assert "database" not in {one["check"] for one in home.findings()}
    assert not list(home.path.glob("*.db"))


@pytest.mark.postgres
def test_an_empty_postgresql_is_to_be_migrated(tmp_path: Path, postgres_url: str) -> None:
    home = CliHome(tmp_path / "home")
    home("init", "node.example")
    point(home, postgres_url)
    assert "replicator migrate" in home("posts", "list", code=1).stderr
    (database,) = [one for one in home.findings(code=1) if one["check"] == "database"]
    assert "replicator migrate" in database["message"]
    home("migrate")
    assert "database" not in {one["check"] for one in home.findings()}


@pytest.mark.postgres
def test_a_wrong_password_is_told_without_showing_it(tmp_path: Path, postgres_url: str) -> None:
    migrate(postgres_url)
    home = CliHome(tmp_path / "home")
    home("init", "node.example")
    url = make_url(postgres_url).set(username=GUARDED_USER, password=SECRET)
    point(home, url.render_as_string(hide_password=False))
    found = home.findings(code=1)
    (database,) = [one for one in found if one["check"] == "database"]
    assert "password authentication failed" in database["message"]
    assert "database_url" in database["advice"]
    for command in (("posts", "list"), ("status",), ("migrate",)):
        result = home(*command, code=1)
        assert "password authentication failed" in result.stderr
        assert SECRET not in result.output
    assert SECRET not in repr(found)


def point(home: CliHome, database_url: str) -> None:
    """Give a home another database."""
    with (home.path / "replicator.toml").open("a") as settings:
        settings.write(f"\ndatabase_url = {json.dumps(database_url)}\n")


# --- servers for the work in hand -----------------------------------------------------------------


def server_without(*options: str) -> Iterator[PrivateServer]:
    server = PrivateServer(find_server(), *options)
    yield server
    server.remove()


@pytest.fixture
def old_server() -> Iterator[PrivateServer]:
    """A server without the command that Redis 7 brought."""
    yield from server_without("--rename-command", "BLMPOP", "")


@pytest.fixture
def forgetful_server() -> Iterator[PrivateServer]:
    """A server that drops any key when its memory is full."""
    yield from server_without("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")


def findings_at(home: CliHome, url: str, monkeypatch: pytest.MonkeyPatch, code: int) -> list[str]:
    """Return level, message and advice of what is wrong with a server, a line each."""
    monkeypatch.setenv("REPLICATOR_WORK_URL", url)
    return [
        f"{one['level']} {one['message']} -> {one['advice']}"
        for one in home.findings(code=code)
        if one["check"] == "work"
    ]


def test_a_server_older_than_redis_7_is_named_with_what_it_lacks(
    home: CliHome, old_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = findings_at(home, old_server.url, monkeypatch, code=1)
    assert line.startswith("fail")
    assert "BLMPOP" in line
    assert "Redis 7" in line


def test_a_server_that_forgets_is_warned_of(
    home: CliHome, forgetful_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = findings_at(home, forgetful_server.url, monkeypatch, code=0)
    assert line.startswith("warn")
    assert "noeviction" in line


def test_a_server_that_is_away_or_refuses_us_is_told(
    home: CliHome, valkey_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = valkey_server.url.rpartition("@")
    for url in (f"redis://:{SECRET}@{parts[2]}", "redis://127.0.0.1:1/0"):
        (line,) = findings_at(home, url, monkeypatch, code=1)
        assert line.startswith("fail")
        assert "work_url" in line
        assert SECRET not in line


# --- peers ----------------------------------------------------------------------------------------


@contextmanager
def live_peer(folder: Path) -> Iterator[Running]:
    """Run a peer's gateway and worker in this process: each time under a new key and address."""
    with running(make_node(folder)) as live, live.worker():
        yield live


def address(live: Running) -> str:
    return f"http://127.0.0.1:{live.sync_port}"


def fingerprint_of(live: Running) -> str:
    return fingerprint(live.node.identity.node_keys[0].public)


def run_lane(home: CliHome) -> Announced:
    """Do what the worker does when the lane's doorbell rings."""
    with opened_node(home.path) as node:
        return announce(node, HERE)


def test_a_peer_with_a_new_key_is_served_again_once_the_operator_trusts_it(
    home: CliHome, tmp_path: Path
) -> None:
    with (home.path / "replicator.toml").open("a") as settings:
        # its back-off must not be over before the operator has looked
        settings.write("\n[limits]\nretry_base_seconds = 300\n")
    with live_peer(tmp_path) as live:
        home("peers", "add", address(live), "--yes")
        live.node.store.add_peer(NodeId("node.example"), None, 1)
        with opened_node(home.path) as node:
            # a first signed answer would show that both hold the pool's key
            node.store.join_pools(HERE, node.identity.pools)
        publish(home, "before")
        assert run_lane(home).posts == 1
        (old,) = home.json("peers", "show", HERE)["keys"]
        assert old["fingerprint"] == fingerprint_of(live)
    with live_peer(tmp_path) as live:
        new = fingerprint_of(live)
        home("peers", "add", HERE, address(live))
        publish(home, "after")
        assert run_lane(home).ended == "KeyChanged"
        assert home.json("peers", "show", HERE)["keys"] == [old]
        (finding,) = [one for one in home.findings(code=1) if one["check"] == "peers"]
        assert new in finding["message"]
        assert f"peers trust {HERE}" in finding["advice"]

        refused = home("peers", "trust", HERE, input="n\n", code=1)
        assert f"now:  {old['fingerprint']}" in refused.stderr
        assert f"then: {new}" in refused.stderr
        assert home.json("peers", "show", HERE)["keys"] == [old]
        assert run_lane(home).ended == "not reachable"

        home("peers", "trust", HERE, input="y\n")
        keys = home.json("peers", "show", HERE)["keys"]
        states = {key["fingerprint"]: key["state"] for key in keys}
        assert states == {old["fingerprint"]: "retired", new: "current"}
        assert run_lane(home).posts == 1
        assert len(live.node.store.digests()) == 2
        assert "peers" not in {one["check"] for one in home.findings()}


def test_a_revoked_key_that_an_address_gives_is_trusted_only_where_it_is_named(
    tmp_path: Path, home: CliHome
) -> None:
    fresh = PrivateKey.generate().public
    with live_peer(tmp_path) as live:
        home("peers", "add", address(live), "--yes")
        (given,) = (key["key"] for key in home.json("peers", "show", HERE)["keys"])
        home("peers", "trust", HERE, fresh, "--revoke-others", "--yes")
        refused = home("peers", "trust", HERE, "--yes", code=1).stderr
        assert f"REVOKED here ({fingerprint_of(live)})" in refused
        assert f"name it: {given}" in refused
        keys = home.json("peers", "show", HERE)["keys"]
        assert {key["key"]: key["state"] for key in keys} == {fresh: "current", given: "revoked"}
        assert home.json("peers", "trust", HERE, given, "--yes")["keys"] == [given]


def test_a_peers_clock_is_compared(tmp_path: Path, home: CliHome) -> None:
    node = make_node(tmp_path)
    ahead = ManualClock(node.clock.now() + 3_600_000)
    with running(replace(node, clock=ahead)) as live:
        home("peers", "add", address(live), "--yes")
        (clock,) = [one for one in home.findings(code=1) if one["check"] == "clock"]
    assert "s ahead" in clock["message"]
    assert "NTP" in clock["advice"]


def test_an_unreachable_peer_is_one_line_with_advice(home: CliHome) -> None:
    home("peers", "add", "gone.example", "http://127.0.0.1:1", "--yes")
    (line,) = [one for one in home.findings(code=1) if one["check"] == "peers"]
    assert "gone.example" in line["message"]
    assert "peers add gone.example" in line["advice"]


def test_at_the_address_of_a_peer_may_be_somebody_else(home: CliHome, tmp_path: Path) -> None:
    with live_peer(tmp_path) as live:
        home("peers", "add", "other.example", address(live), "--yes")
        (line,) = [one for one in home.findings(code=1) if one["check"] == "peers"]
        assert str(HERE) in line["message"]
        home("peers", "trust", "other.example", "--yes", code=1)


# --- dead letters ---------------------------------------------------------------------------------


def test_status_counts_the_dead_letters_of_missing_posts_alone(home: CliHome) -> None:
    publish(home, "held")
    held = home.json("posts", "show", "node.example/held")["digest"]
    with opened_node(home.path) as node:
        now = node.clock.now()
        refs = [ref(1), structs.replace(ref(2), digest=held)]
        node.work.want(HERE, refs, now)
        lease = node.work.lease(HERE, 10, 10**6, now)
        assert lease is not None
        node.work.settle(lease, Settlement(dead={one.digest: "none" for one in refs}), now)
    work = home.json("status")["work"]
    assert work["dead_letters"] == 1
    (letter,) = work["newest_dead_letters"]
    assert (letter["id"], letter["digest"]) == (ref(1).id, ref(1).digest)
    assert (letter["holder"], letter["reason"], letter["attempts"]) == (HERE, "none", 1)
    assert f"dead: {ref(1).id} from {HERE}: none, 1 try" in home("status").stdout
    assert any("1 dead letter:" in one["message"] for one in home.findings())
