"""The life of a node's keys as its operator meets it: rotate, revoke, protect, replace, leave.

Commands run in this process, in a home of key files; what the node then signs with is asked of the
identity that its processes load.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from replicator.adapters.clock import SystemClock
from replicator.adapters.keyfiles import KeyFiles
from replicator.bootstrap import load_identity
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.identity import Identity
from replicator.protocol import announcement
from replicator.settings import load_settings
from tests.support.cli_home import CliHome

DAY_MS = 86_400_000
SECRET = "correct horse"


@pytest.fixture
def home(tmp_path: Path) -> CliHome:
    home = CliHome(tmp_path / "home")
    home("init", "node.example")
    return home


def identity(home: CliHome, **environ: str) -> Identity:
    return load_identity(load_settings(home.path, environ))


def rows(home: CliHome, kind: str) -> list[dict[str, Any]]:
    return [row for row in home.json("keys", "list") if row["kind"] == kind]


def states(home: CliHome) -> list[str]:
    return [row["state"] for row in rows(home, "node")]


def signing(home: CliHome, *, days: float = 0) -> list[str]:
    now = SystemClock().now() + int(days * DAY_MS)
    return [key.public for key in identity(home).signing_keys(now)]


# --- node keys ------------------------------------------------------------------------------------


def test_after_a_rotation_both_keys_sign_until_the_overlap_ends(home: CliHome) -> None:
    (old,) = rows(home, "node")
    said = home("keys", "rotate", "--overlap", 7, input="y\n")
    new, before = rows(home, "node")
    assert (before["key"], before["state"], new["until"]) == (old["key"], "current", None)
    assert 6.9 * DAY_MS < before["until"] - SystemClock().now() <= 7 * DAY_MS
    for shown in (old["fingerprint"], new["fingerprint"], "Until ", "peers trust", "Restart"):
        assert shown in said.stderr.partition("Go on?")[0], "told before it asks"
    assert signing(home) == [new["key"], old["key"]]
    assert signing(home, days=7.1) == [new["key"]]
    assert identity(home).key_states(before["until"])[old["key"]] == "retired"


def test_what_was_not_confirmed_changes_nothing(home: CliHome) -> None:
    home("keys", "rotate", input="n\n", code=1)
    home("keys", "pool", "new", "--yes")
    (pool,) = rows(home, "pool")
    for command in (("rotate",), ("leave",)):
        home("keys", "pool", *command, pool["key"], input="n\n", code=1)
    assert states(home) == ["current"]
    assert rows(home, "pool") == [pool]
    assert not (home.path / "keys" / "announcement.json").exists()


def test_a_rotation_that_is_under_way_is_not_made_twice_unless_it_is_asked_for(
    home: CliHome,
) -> None:
    first = home.json("keys", "rotate", "--yes")
    assert first["changed"] is True
    assert home.json("keys", "rotate", "--yes") == {**first, "changed": False}
    home("keys", "rotate", "--again", "--yes")
    assert states(home) == ["current"] * 3
    assert [row["until"] is None for row in rows(home, "node")] == [True, False, False]


def test_the_announcement_is_signed_by_every_key_and_its_serial_grows(home: CliHome) -> None:
    serials = []
    for _ in range(3):
        home("keys", "rotate", "--overlap", 0, "--yes")
        announced = identity(home).announced
        assert announced is not None
        said, signers = announcement.read_tree(announced.tree, Limits())
        assert signers == {entry.key for entry in said.keys}
        serials.append(said.serial)
    assert serials == [1, 2, 3]
    assert states(home) == ["current", "retired", "retired", "retired"]
    file = home.path / "keys" / "announcement.json"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_rotation_that_was_cut_off_is_made_with_the_key_that_is_there(home: CliHome) -> None:
    home("keys", "rotate", "--yes", "--overlap", 0)
    spare = KeyFiles(home.path / "keys").create_node_key()
    assert states(home) == ["current", "retired", "unused"]
    assert spare.public not in signing(home), "nobody was told of it"
    home("keys", "rotate", "--yes")
    assert states(home) == ["current", "current", "retired"]
    assert signing(home)[0] == spare.public
    assert len(list((home.path / "keys").glob("node-*.pem"))) == 3


def test_a_revoked_key_signs_nothing_and_verifies_nothing(home: CliHome) -> None:
    home("keys", "rotate", "--yes")
    new, old = rows(home, "node")
    said = home("keys", "revoke", old["fingerprint"][:17], input="y\n")
    for shown in (old["fingerprint"], new["fingerprint"], "peers trust", "Restart"):
        assert shown in said.stderr.partition("Go on?")[0]
    assert states(home) == ["current", "revoked"]
    assert signing(home) == [new["key"]]
    mine = identity(home)
    assert mine.public_node_keys == {new["key"]}
    assert mine.key_states(0) == {new["key"]: "current", old["key"]: "revoked"}
    again = home.json("keys", "revoke", old["key"], "--yes")
    assert again["changed"] is False


def test_the_last_key_that_goes_on_signing_is_not_revoked(home: CliHome) -> None:
    (only,) = rows(home, "node")
    assert "rotate" in home("keys", "revoke", only["key"], "--yes", code=1).stderr
    home("keys", "rotate", "--yes")
    new = rows(home, "node")[0]
    assert "--again" in home("keys", "revoke", new["key"], "--yes", code=1).stderr
    assert states(home) == ["current", "current"]


def test_more_keys_than_a_message_is_signed_with_are_refused_before_they_are_made(
    home: CliHome,
) -> None:
    for _ in range(7):
        home("keys", "pool", "new", "--yes")
    assert "leave a pool" in home("keys", "pool", "new", "--yes", code=1).stderr
    assert "leave a pool" in home("keys", "rotate", "--yes", code=1).stderr
    assert (states(home), len(rows(home, "pool"))) == (["current"], 7)
    home("keys", "rotate", "--overlap", 0, "--yes")
    assert len(signing(home)) == 1


def test_keys_that_were_announced_for_another_node_do_not_start_it(home: CliHome) -> None:
    home("keys", "rotate", "--yes")
    with pytest.raises(ConfigurationError, match=r"announced for node\.example"):
        identity(home, REPLICATOR_NODE_ID="other.example")


# --- passphrase -----------------------------------------------------------------------------------


def opened(home: CliHome, passphrase: str | None) -> set[str]:
    key = None if passphrase is None else passphrase.encode()
    return {file.key.public for file in KeyFiles(home.path / "keys").list(key)}


def test_a_passphrase_is_set_changed_and_removed_for_every_file(
    home: CliHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home("keys", "pool", "new", "--yes")
    home("keys", "rotate", "--yes")
    held = opened(home, None)
    home("keys", "passphrase", input=f"{SECRET}\n{SECRET}\n")
    assert opened(home, SECRET) == held
    assert "key_passphrase" in home("keys", "list", code=1).stderr
    monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", SECRET)
    home("keys", "rotate", "--again", "--yes")
    home("keys", "pool", "rotate", rows(home, "pool")[0]["key"], "--yes")
    assert len(opened(home, SECRET)) == len(held) + 2, "new keys are protected too"
    home("keys", "passphrase", input="other\nother\n")
    monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", "other")
    said = home("keys", "passphrase", input="\n\n")
    monkeypatch.delenv("REPLICATOR_KEY_PASSPHRASE")
    assert len(opened(home, None)) == len(held) + 2
    assert "other" not in said.stdout.replace("another", "")


def test_a_change_of_passphrase_that_was_cut_off_goes_on_where_it_was(
    home: CliHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home("keys", "pool", "new", "--yes")
    held = opened(home, None)
    file = home.path / "keys" / "node-1.pem"
    plain = file.read_bytes()
    home("keys", "passphrase", input=f"{SECRET}\n{SECRET}\n")
    file.write_bytes(plain)
    assert "1 had it already" in home("keys", "passphrase", input=f"{SECRET}\n{SECRET}\n").stdout
    assert opened(home, SECRET) == held
    monkeypatch.setenv("REPLICATOR_KEY_PASSPHRASE", "wrong")
    before = {path: path.read_bytes() for path in (home.path / "keys").iterdir()}
    said = home("keys", "passphrase", input="third\nthird\n", code=1)
    assert "key_passphrase must be the present one" in said.stderr
    assert {path: path.read_bytes() for path in (home.path / "keys").iterdir()} == before


# --- pools ----------------------------------------------------------------------------------------


@pytest.fixture
def other(home: CliHome, tmp_path: Path) -> CliHome:
    """Another member of the home's one pool."""
    home("keys", "pool", "new", "--yes")
    other = CliHome(tmp_path / "other")
    other("init", "other.example")
    hand_on(home, other, rows(home, "pool")[0]["key"])
    return other


def hand_on(home: CliHome, other: CliHome, key: str, *options: object) -> str:
    file = home.path / "handed.pem"
    home("keys", "pool", "export", key, file)
    result = other("keys", "pool", "import", file, *options, "--yes")
    file.unlink()
    return result.stderr


def test_a_pools_next_key_signs_alone_here_and_at_the_members_that_take_it(
    home: CliHome, other: CliHome
) -> None:
    (pool,) = rows(home, "pool")
    said = home("keys", "pool", "rotate", pool["fingerprint"][:11], input="y\n")
    old, new = rows(home, "pool")
    for shown in (old["fingerprint"], new["fingerprint"], "--replaces", "share nothing meanwhile"):
        assert shown in said.stderr
    assert (old["key"], old["state"], old["heir"]) == (pool["key"], "retired", new["key"])
    told = hand_on(home, other, new["key"], "--replaces", old["key"])
    assert old["fingerprint"] in told
    for one in (home, other):
        mine = identity(one)
        assert (mine.pools, mine.retired_pools) == ({new["key"]}, {old["key"]})
        assert mine.reach(mine.pools) == {new["key"], old["key"]}
        assert mine.reach({old["key"]}) == set(), "the old key alone opens nothing"
    assert rows(other, "pool") == other.json("keys", "pool", "list")


def test_replacing_a_pool_is_safe_to_repeat_and_done_once(home: CliHome, other: CliHome) -> None:
    (pool,) = rows(home, "pool")
    home("keys", "pool", "rotate", pool["key"], "--yes")
    held = rows(home, "pool")
    assert "already" in home("keys", "pool", "rotate", pool["key"], "--yes").stderr
    assert rows(home, "pool") == held
    heir = held[1]["key"]
    for _ in range(2):
        hand_on(home, other, heir, "--replaces", pool["key"])
    assert rows(other, "pool") == held
    other("keys", "pool", "new", "--yes")
    foreign = rows(other, "pool")[2]["key"]
    file = other.path / "foreign.pem"
    other("keys", "pool", "export", foreign, file)
    refused = home("keys", "pool", "import", file, "--replaces", pool["key"], "--yes", code=1)
    assert "was replaced already" in refused.stderr
    assert rows(home, "pool") == held
    home("keys", "pool", "rotate", heir, "--yes")
    newest = rows(home, "pool")[2]["key"]
    assert dict(identity(home).heirs) == {pool["key"]: newest, heir: newest}


def test_who_never_held_the_old_key_names_it_and_a_circle_is_refused(
    home: CliHome, tmp_path: Path
) -> None:
    home("keys", "pool", "new", "--yes")
    (pool,) = rows(home, "pool")
    home("keys", "pool", "rotate", pool["key"], "--yes")
    heir = rows(home, "pool")[1]["key"]
    late = CliHome(tmp_path / "late")
    late("init", "late.example")
    hand_on(home, late, heir, "--replaces", pool["key"])
    assert dict(identity(late).heirs) == {pool["key"]: heir}
    assert [row["state"] for row in rows(late, "pool")] == ["current", "retired"]
    file = tmp_path / "old.pem"
    home("keys", "pool", "export", pool["key"], file)
    refused = late("keys", "pool", "import", file, "--replaces", heir, "--yes", code=1)
    assert "replace each other" in refused.stderr
    assert identity(late).pools == {heir}


def test_a_replacement_that_was_cut_off_before_its_key_was_kept_changes_nothing(
    home: CliHome,
) -> None:
    home("keys", "pool", "new", "--yes")
    (pool,) = rows(home, "pool")
    home("keys", "pool", "rotate", pool["key"], "--yes")
    for name in ("pool-2.pem", "pool-2.pub"):
        (home.path / "keys" / name).unlink()
    assert identity(home).pools == {pool["key"]}
    home("keys", "pool", "rotate", pool["key"], "--yes")
    assert [row["state"] for row in rows(home, "pool")] == ["retired", "current"]


def test_leaving_a_pool_removes_its_keys_with_those_it_replaced(home: CliHome) -> None:
    home("keys", "pool", "new", "--yes")
    home("keys", "pool", "new", "--yes")
    first, second = rows(home, "pool")
    home("keys", "pool", "rotate", first["key"], "--yes")
    heir = next(row for row in rows(home, "pool") if row["key"] == rows(home, "pool")[0]["heir"])
    said = home("keys", "pool", "leave", heir["fingerprint"][:11], input="y\n")
    assert heir["fingerprint"] in said.stderr.partition("Go on?")[0]
    assert rows(home, "pool") == [second]
    mine = identity(home)
    assert (mine.pools, mine.retired_pools) == ({second["key"]}, set())
    names = {path.name for path in (home.path / "keys").glob("pool-*")}
    assert names == {"pool-2.pem", "pool-2.pub"}
    for gone in (heir["key"], first["key"]):
        assert "nothing was changed" in home("keys", "pool", "leave", gone, "--yes").stderr
    assert rows(home, "pool") == [second]


def test_a_replaced_pool_alone_can_be_left_once_it_is_of_no_more_use(
    home: CliHome, tmp_path: Path
) -> None:
    home("keys", "pool", "new", "--yes")
    (pool,) = rows(home, "pool")
    home("keys", "pool", "rotate", pool["key"], "--yes")
    late = CliHome(tmp_path / "late")
    late("init", "late.example")
    heir = rows(home, "pool")[1]["key"]
    hand_on(home, late, heir, "--replaces", pool["key"])
    for one in (home, late):
        one("keys", "pool", "leave", pool["key"], "--yes")
        assert [(row["state"], row["key"]) for row in rows(one, "pool")] == [("current", heir)]
        assert identity(one).reach({heir}) == {heir}


def test_a_process_without_private_pool_keys_knows_the_pools_and_cannot_sign_for_them(
    home: CliHome,
) -> None:
    home("keys", "pool", "new", "--yes")
    home("keys", "pool", "rotate", rows(home, "pool")[0]["key"], "--yes")
    full = identity(home)
    for pem in (home.path / "keys").glob("pool-*.pem"):
        pem.unlink()
    bare = load_identity(load_settings(home.path, {}), pool_private=False)
    assert (bare.pools, bare.heirs, bare.pool_keys) == (full.pools, full.heirs, ())
    with pytest.raises(ConfigurationError, match="no private pool keys"):
        bare.credentials(0)
    assert [role for _, role in bare.credentials(0, ()).keys] == ["node"]


def test_shown_keys_say_what_they_are(home: CliHome) -> None:
    home("keys", "rotate", "--yes")
    home("keys", "pool", "new", "--yes")
    shown = home("keys", "list").stdout
    assert "current until 20" in shown
    key = rows(home, "node")[1]
    text = home("keys", "show", key["key"]).stdout
    assert "until:       20" in text
    assert json.loads(home("keys", "show", key["fingerprint"], "--json").stdout) == key


def test_doctor_names_the_processes_that_do_not_know_the_newest_keys(
    home: CliHome,
) -> None:
    home("keys", "pool", "new", "--yes")

    def complaints() -> list[dict[str, str]]:
        return [one for one in home.findings() if one["check"] == "keys"]

    with subprocess.Popen(["sleep", "100"]) as child:
        try:
            told = {"pid": os.getpid(), "children": {"serve": {"pid": child.pid, "starts": 1}}}
            (home.path / "run").mkdir(exist_ok=True)
            (home.path / "run" / "up.json").write_text(json.dumps(told))
            assert complaints() == []
            home("keys", "passphrase", input="\n\n")
            assert complaints() == []
            home("keys", "rotate", "--yes")
            later = time.time() + 2  # a process's start is known to a second
            os.utime(home.path / "keys" / "announcement.json", (later, later))
            (found,) = complaints()
            assert (found["level"], found["advice"]) == ("warn", "restart the node")
            assert "serve" in found["message"]
        finally:
            child.kill()
