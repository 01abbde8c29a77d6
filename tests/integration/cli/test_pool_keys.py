"""`keys pool` as its operator meets it: what it shows, asks, refuses and prints for programs."""

from pathlib import Path
from typing import Any

import pytest

from replicator.cli.session import opened_node
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from tests.support.cli_home import CliHome

PEER = NodeId("peer.example")
SECRET = "correct horse"


@pytest.fixture
def home(tmp_path: Path) -> CliHome:
    home = CliHome(tmp_path / "home")
    home("init", "node.example")
    return home


def pools(home: CliHome) -> list[dict[str, Any]]:
    return list(home.json("keys", "pool", "list"))


def pool_of(home: CliHome) -> dict[str, Any]:
    """Make a pool; return its row."""
    home("keys", "pool", "new", "--yes")
    return pools(home)[-1]


def handed(tmp_path: Path, key: PrivateKey | None = None) -> Path:
    """Return the file of a pool's key that another member handed on."""
    file = tmp_path / "handed.pem"
    file.write_bytes((key or PrivateKey.generate()).to_pem())
    return file


# --- becoming a member ----------------------------------------------------------------------------


def test_a_new_pool_is_shown_and_asked_for_before_it_is_made(home: CliHome) -> None:
    for answer in ("n\n", ""):  # nobody there is no agreement either
        asked = home("keys", "pool", "new", input=answer, code=1).stderr
        assert "This node becomes a member of it; it is in no pool yet." in asked
        assert pools(home) == []
    made = home("keys", "pool", "new", input="y\n")
    (row,) = pools(home)
    assert row["fingerprint"] in made.stderr.partition("Go on?")[0]
    assert f"{row['fingerprint']}  {row['key']}" in made.stdout
    assert "it is in 1 pool already." in home("keys", "pool", "new", input="n\n", code=1).stderr


def test_a_pool_is_shown_and_asked_for_before_it_is_joined(home: CliHome, tmp_path: Path) -> None:
    for _ in range(2):
        pool_of(home)
    key = PrivateKey.generate()
    file = handed(tmp_path, key)
    for answer in ("n\n", ""):
        asked = home("keys", "pool", "import", file, input=answer, code=1).stderr
        assert key.public in asked.partition("Go on?")[0]
        assert "This node becomes a member of it; it is in 2 pools already." in asked
        assert len(pools(home)) == 2
    home("keys", "pool", "import", file, input="y\n")
    assert pools(home)[-1]["key"] == key.public
    again = home("keys", "pool", "import", file)
    assert "held already: nothing was changed" in again.stderr
    assert key.public in again.stdout


def test_a_node_key_that_is_pinned_is_taken_for_no_pool(home: CliHome, tmp_path: Path) -> None:
    key = PrivateKey.generate()
    old = pool_of(home)
    with opened_node(home.path) as node:
        node.store.pin(PEER, [key.public], "operator", 1)
        node.store.repin(PEER, [PrivateKey.generate().public], 2, revoke=True)
    for options in ((), ("--replaces", old["key"])):
        file = handed(tmp_path, key)
        said = home("keys", "pool", "import", file, *options, "--yes", code=1).stderr
        assert f"this is the node key of {PEER}, not a pool key" in said
    own = home.path / "keys" / "node-1.pem"
    assert "not a pool key" in home("keys", "pool", "import", own, input="n\n", code=1).stderr
    assert pools(home) == [old]


# --- handing on -----------------------------------------------------------------------------------


def test_a_pool_is_not_written_where_there_is_no_folder(home: CliHome, tmp_path: Path) -> None:
    key = pool_of(home)["key"]
    target = tmp_path / "absent" / "deep" / "pool.pem"
    assert "there is no folder" in home("keys", "pool", "export", key, target, code=1).stderr
    assert not (tmp_path / "absent").exists()
    target = tmp_path / "pool.pem"
    home("keys", "pool", "export", key, target)
    assert target.stat().st_mode & 0o777 == 0o600


# --- leaving --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    ["zzz", "zzzzzzzz", "", "0", "99999", "ed25519:short", "12345 12345 12345 12345 12345 12345"],
)
def test_leaving_what_is_no_pool_of_this_node_fails(home: CliHome, named: str) -> None:
    before = pool_of(home)
    assert "nothing was changed" not in home("keys", "pool", "leave", named, "--yes", code=1).stderr
    assert home("keys", "revoke", named, "--yes", code=1).stderr.count("\n") == 1
    assert pools(home) == [before]


def test_a_public_key_of_a_pool_that_this_node_is_not_in_is_left_already(home: CliHome) -> None:
    pool_of(home)
    gone = PrivateKey.generate().public
    assert "nothing was changed" in home("keys", "pool", "leave", gone).stderr
    told = home.json("keys", "pool", "leave", gone)
    assert (told["changed"], told["key"], told["pools"]) == (False, gone, pools(home))


def test_leaving_says_whether_it_is_the_last_pool(home: CliHome) -> None:
    first, second = pool_of(home), pool_of(home)
    leave = ("keys", "pool", "leave")
    assert "LAST" not in home(*leave, first["key"], input="n\n", code=1).stderr
    home(*leave, first["key"], "--yes")
    asked = home(*leave, second["key"], input="n\n", code=1).stderr
    assert "It is the LAST pool of this node" in asked.partition("Go on?")[0]
    home("keys", "pool", "rotate", second["key"], "--yes")
    assert "LAST" not in home(*leave, second["key"], input="n\n", code=1).stderr
    heir = pools(home)[-1]["key"]
    assert "LAST" in home(*leave, heir, input="n\n", code=1).stderr, "the replaced one goes too"


# --- fingerprints ---------------------------------------------------------------------------------


def test_a_fingerprint_may_be_typed_as_it_is_printed(home: CliHome, tmp_path: Path) -> None:
    row = pool_of(home)
    groups = row["fingerprint"].split()
    assert home.json("keys", "show", *groups) == row
    assert home.json("keys", "show", row["fingerprint"]) == row
    assert home.json("keys", "show", "".join(groups)) == row
    assert home.json("keys", "show", *groups[:2]) == row
    file = tmp_path / "pool.pem"
    home("keys", "pool", "export", *groups, file)
    assert "PRIVATE KEY" in file.read_text()
    heir = home.json("keys", "pool", "rotate", *groups, "--yes")["key"]
    assert heir == pools(home)[-1]["key"]
    home("keys", "pool", "leave", *groups, "--yes")
    assert [one["key"] for one in pools(home)] == [heir]
    home("keys", "rotate", "--yes")
    old = home.json("keys", "list")[1]
    home("keys", "revoke", *old["fingerprint"].split(), "--yes")
    assert home.json("keys", "show", old["key"])["state"] == "revoked"


def test_an_export_whose_file_was_forgotten_takes_no_group_for_it(
    home: CliHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    groups = pool_of(home)["fingerprint"].split()
    assert "FILE is missing" in home("keys", "pool", "export", *groups, code=2).stderr
    assert not (tmp_path / groups[-1]).exists()


def test_a_beginning_that_may_mean_any_key_is_refused(home: CliHome) -> None:
    row = pool_of(home)
    short = row["fingerprint"][:4]
    for command in (("keys", "show"), ("keys", "revoke"), ("keys", "pool", "rotate")):
        assert "too short" in home(*command, short, code=1).stderr
    assert "too short" in home("keys", "pool", "leave", short, "--yes", code=1).stderr
    assert pools(home) == [row]


# --- for programs ---------------------------------------------------------------------------------


def test_every_change_of_pools_is_told_to_programs(home: CliHome, tmp_path: Path) -> None:
    made = home.json("keys", "pool", "new", "--yes")
    assert (made["changed"], made["pools"]) == (True, pools(home))
    assert made["key"] == made["pools"][0]["key"]
    assert made["fingerprint"] == made["pools"][0]["fingerprint"]
    file = tmp_path / "pool.pem"
    told = home.json("keys", "pool", "export", made["key"], file)
    assert told == {
        "key": made["key"],
        "fingerprint": made["fingerprint"],
        "file": str(file),
    }
    other = CliHome(tmp_path / "other")
    other("init", "other.example")
    joined = other.json("keys", "pool", "import", file, "--yes")
    assert joined == made
    assert other.json("keys", "pool", "import", file) == {**made, "changed": False}
    after = home.json("keys", "pool", "rotate", made["key"], "--yes")
    assert (after["changed"], after["key"]) == (True, pools(home)[-1]["key"])
    again = home.json("keys", "pool", "rotate", made["key"])
    assert again == {**after, "changed": False}
    left = home.json("keys", "pool", "leave", after["key"], "--yes")
    assert (left["changed"], left["key"], left["pools"]) == (True, after["key"], [])


def test_a_pool_that_replaces_another_is_told_to_programs_and_taken_once(
    home: CliHome, tmp_path: Path
) -> None:
    old = pool_of(home)["key"]
    command = ("keys", "pool", "import", handed(tmp_path), "--replaces", old)
    home(*command, input="", code=1)
    taken = home.json(*command, "--yes")
    assert (taken["changed"], [row["state"] for row in taken["pools"]]) == (
        True,
        ["retired", "current"],
    )
    assert home.json(*command) == {**taken, "changed": False}


def test_a_change_of_the_passphrase_is_told_to_programs(home: CliHome) -> None:
    pool_of(home)
    command = ("keys", "passphrase")
    assert home.json(*command, input=f"{SECRET}\n{SECRET}\n") == {"changed": 2, "unchanged": 0}
    assert home.json(*command, input=f"{SECRET}\n{SECRET}\n") == {"changed": 0, "unchanged": 2}
