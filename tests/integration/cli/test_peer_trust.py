"""`peers trust` says what will happen before it happens, `peers show` what is so."""

import pytest

from replicator.cli.session import opened_node
from replicator.node.ports import Pin
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey, fingerprint
from tests.support.cli_home import CliHome

OTHER = NodeId("other.example")
OLD, NEW, GONE = (PrivateKey.generate().public for _ in range(3))
END = 4_102_444_800_000
"""A time in 2100."""


@pytest.fixture
def home(tmp_path) -> CliHome:
    """Give the home of a node that knows a peer in the middle of a rotation."""
    home = CliHome(tmp_path)
    home("init", "node.example")
    home("peers", "add", OTHER, "--yes")
    with opened_node(home.path) as node:
        node.store.pin(OTHER, [OLD], "pool", 1)
        after = (
            Pin(OLD, "current", 1, "pool", END),
            Pin(NEW, "current", 2, "announcement"),
            Pin(GONE, "revoked", 2, "announcement"),
        )
        assert node.store.announce(OTHER, node.store.pins(OTHER), after, 5)
    return home


def states(home: CliHome) -> dict[str, str]:
    return {key["key"]: key["state"] for key in home.json("peers", "show", OTHER)["keys"]}


def test_show_tells_the_state_of_each_key_and_when_it_ends(home: CliHome) -> None:
    keys = {key["key"]: key for key in home.json("peers", "show", OTHER)["keys"]}
    assert {key: (one["state"], one["until"]) for key, one in keys.items()} == {
        OLD: ("current", "2100-01-01T00:00:00.000Z"),
        NEW: ("current", None),
        GONE: ("revoked", None),
    }
    shown = home("peers", "show", OTHER).stdout
    assert f"{fingerprint(OLD)}  current until 2100-01-01T00:00:00.000Z, by pool" in shown
    assert f"{fingerprint(NEW)}  current, by announcement" in shown
    assert f"{fingerprint(GONE)}  revoked, by announcement" in shown


def test_a_current_key_whose_end_has_come_is_shown_as_retired(home: CliHome) -> None:
    with opened_node(home.path) as node:
        before = node.store.pins(OTHER)
        after = (Pin(OLD, "current", 1, "pool", 5), Pin(NEW, "current", 2, "announcement"))
        assert node.store.announce(OTHER, before, after, 6)
    assert states(home) == {OLD: "retired", NEW: "current"}
    assert f"{fingerprint(OLD)}  retired, by pool" in home("peers", "show", OTHER).stdout


def test_trust_shows_both_sides_and_what_will_count_before_it_asks(home: CliHome) -> None:
    (own,) = (key["fingerprint"] for key in home.json("keys", "list") if key["kind"] == "node")
    told = home("peers", "trust", OTHER, GONE, input="n\n", code=1).stderr
    for line in (
        f"own:  {own}  ",
        f"now:  {fingerprint(OLD)}  current until 2100",
        f"now:  {fingerprint(NEW)}  current, by announcement",
        f"now:  {fingerprint(GONE)}  revoked",
        f"then: {fingerprint(GONE)}  pinned now as revoked",
        "Messages of other.example will be accepted under the keys after `then` alone",
        "held here stay",
        "--revoke-others",
        "REVOKED here would count again",
    ):
        assert line in told
    assert states(home) == {OLD: "current", NEW: "current", GONE: "revoked"}
    stolen = home("peers", "trust", OTHER, NEW, "--revoke-others", input="n\n", code=1).stderr
    assert "whoever brings them: those keys count as revoked" in stolen
    assert "then: " in stolen
    assert "REVOKED" not in stolen


def test_trust_may_be_given_again_and_asks_only_where_something_changes(home: CliHome) -> None:
    done = home.json("peers", "trust", OTHER, NEW, "--yes")
    assert (done["keys"], done["changed"]) == ([NEW], True)
    assert states(home) == {NEW: "current", OLD: "retired", GONE: "revoked"}
    again = home("peers", "trust", OTHER, NEW)
    assert "nothing was changed" in again.stdout
    assert home.json("peers", "trust", OTHER, NEW) == {**done, "changed": False}
    assert home.json("peers", "trust", OTHER, NEW, "--revoke-others", "--yes")["changed"]
    assert states(home) == {NEW: "current", OLD: "revoked", GONE: "revoked"}
    assert not home.json("peers", "trust", OTHER, NEW, "--revoke-others")["changed"]


def test_a_peer_without_address_and_keys_is_one_line(home: CliHome) -> None:
    said = home("peers", "trust", OTHER, code=1).stderr
    assert "give its keys" in said


def test_this_nodes_own_keys_are_no_peers(home: CliHome) -> None:
    home("keys", "rotate", "--yes")
    home("keys", "pool", "new", "--yes")
    before = states(home)
    for own in home.json("keys", "list"):
        said = home("peers", "trust", OTHER, NEW, own["key"], "--yes", code=1).stderr
        assert f"{own['fingerprint']} is a key of this node itself" in said
    assert states(home) == before


@pytest.mark.parametrize(
    ("text", "ms"),
    [("30s", 30_000), ("1.5h", 5_400_000), ("10min", 600_000), ("2d", 172_800_000)],
)
def test_an_overlap_has_a_unit(home: CliHome, text: str, ms: int) -> None:
    changed = home.json("keys", "rotate", "--overlap", text, "--yes")
    (until,) = (key["until"] for key in changed["keys"] if key["until"] is not None)
    with opened_node(home.path) as node:
        assert ms - 60_000 < until - node.clock.now() <= ms


@pytest.mark.parametrize("text", ["", "d", "1w", "-1d", "1e3d", "1 d", "nan", "400d", "367"])
def test_what_is_no_overlap_is_refused(home: CliHome, text: str) -> None:
    home("keys", "rotate", "--overlap", text, "--yes", code=2)
    assert len([key for key in home.json("keys", "list") if key["kind"] == "node"]) == 1
