"""The moderation verbs on a real home: what they show, ask, do and say, twice each."""

import json
from pathlib import Path

import msgspec
import pytest

from replicator.cli.session import opened_node
from replicator.node.ports import BlockName, Incoming
from replicator.node.publish import publish, read_draft
from replicator.protocol.ids import NodeId
from replicator.protocol.post import Content, Post, SignedContent, post_of
from replicator.protocol.signing import PrivateKey, sign_post, verify_posts
from tests.support.cli_home import CliHome
from tests.support.posts import LIMITS

TWICE = NodeId("twice.example")
UNKNOWN = "f" * 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliHome:
    for name in ("HOME", "NODE_ID", "DATABASE_URL", "KEY_PASSPHRASE", "WORK_URL"):
        monkeypatch.delenv(f"REPLICATOR_{name}", raising=False)
    home = CliHome(tmp_path / "home")
    home("init", "node.example", "--address", "http://127.0.0.1:1")
    home("keys", "pool", "new", "--yes")
    publish_here(home, *(f"p{number}" for number in range(3)))
    return home


def publish_here(home: CliHome, *names: str) -> list[str]:
    with opened_node(home.path) as node:
        drafts = [read_draft(node.identity.node_id, {"id": name, "text": name}) for name in names]
        return [done.status for done in publish(node, drafts)]


def take(home: CliHome, *posts: Post) -> None:
    with opened_node(home.path) as node:
        pools = node.identity.pools
        node.store.add([Incoming(post, TWICE, pools) for post in posts], node.clock.now())


def ids(home: CliHome) -> set[str]:
    return {post["id"] for post in home.json("posts", "list")}


def twins(key: PrivateKey) -> list[Post]:
    """Return two contents of one id."""
    made = [
        Content((), "", "twice.example/1", 1_000, (), text, None, "")  # type: ignore[arg-type]
        for text in ("one", "two")
    ]
    return sorted((sign_post(one, [key], LIMITS) for one in made), key=lambda post: post.digest)


def test_a_block_is_shown_asked_for_done_and_undone(home: CliHome) -> None:
    refused = home("posts", "block", "node.example/p0", input="n\n", code=1)
    assert "Block node.example/p0" in refused.stderr
    assert "1 post held here will be removed" in refused.stderr
    assert len(ids(home)) == 3
    done = home("posts", "block", "node.example/p0", "--reason", "spam", input="y\n")
    assert "blocked 1 of 1; 1 post removed" in done.stdout
    assert ids(home) == {"node.example/p1", "node.example/p2"}
    (row,) = home.json("posts", "blocks")
    assert (row["name"], row["kind"], row["reason"]) == ("node.example/p0", "id", "spam")
    assert "spam" in home("posts", "blocks").stdout
    assert publish_here(home, "p0") == ["refused"]
    undone = home("posts", "unblock", "node.example/p0", input="y\n")
    assert "1 removed post will be looked for at the peers" in undone.stderr
    assert "unblocked 1 of 1" in undone.stdout
    assert home.json("posts", "blocks") == []
    assert publish_here(home, "p0") == ["stored"]


def test_repeated_they_change_nothing_and_ask_nothing(home: CliHome) -> None:
    names = ("node.example/p0", UNKNOWN, "node:bad.example")
    first = home.json("posts", "block", *names, "--yes")
    assert first == {"changed": 3, "named": 3, "posts": 1}
    again = home("posts", "block", *names)
    assert "blocked already" in again.stderr
    assert "blocked 0 of 3; 0 posts removed" in again.stdout
    assert home.json("posts", "unblock", *names, "--yes") == {
        "changed": 3,
        "named": 3,
        "forgotten": 1,
        "backfills": 0,
    }
    assert home.json("posts", "unblock", *names)["changed"] == 0


def test_a_node_is_blocked_with_all_its_posts(home: CliHome) -> None:
    asked = home("posts", "block", "node:node.example", input="y\n")
    assert "3 posts held here will be removed" in asked.stderr
    assert "node.example is THIS NODE itself" in asked.stderr.partition("Go on?")[0]
    assert ids(home) == set()
    assert publish_here(home, "more") == ["refused"]
    assert "1 block (replicator posts blocks)" in home("status").stdout
    assert home.json("status")["blocks"] == 1


def test_a_block_that_covers_nothing_held_says_so_before_it_asks(home: CliHome) -> None:
    asked = home("posts", "block", "node:bad.example", UNKNOWN, input="n\n", code=1).stderr
    assert "No post held here is meant" in asked.partition("Go on?")[0]
    assert "THIS NODE" not in asked
    assert home.json("posts", "blocks") == []


def test_lists_are_read_from_files_and_standard_input(home: CliHome, tmp_path: Path) -> None:
    shared = tmp_path / "list"
    shared.write_text("# shared\nnode.example/p0  # spam\n\nnode:bad.example\n", encoding="utf-8")
    assert home.json("posts", "block", "--file", shared, "--yes")["changed"] == 2
    assert home("posts", "block", "-", "--yes", input=f"{UNKNOWN}\n").exit_code == 0
    named = [row["name"] for row in home.json("posts", "blocks")]
    assert named == [UNKNOWN, "node.example/p0", "node:bad.example"]
    home("posts", "unblock", "--file", "-", "--yes", input="\n".join(named))
    assert home.json("posts", "blocks") == []


def test_bad_lines_are_named_with_their_numbers_and_nothing_is_done(
    home: CliHome, tmp_path: Path
) -> None:
    shared = tmp_path / "list"
    shared.write_bytes(b"node.example/p0\nnonsense\nnode:UPPER\nnode.example/p1\n")
    failed = home("posts", "block", "node.example/p2", "--file", shared, "--yes", code=1)
    assert "line 2: 'nonsense'" in failed.stderr
    assert "line 3: 'UPPER'" in failed.stderr
    assert "nothing was done" in failed.stderr
    shared.write_bytes(b"node.example/p0\n\xff\n")
    assert "UTF-8" in home("posts", "block", "--file", shared, "--yes", code=1).stderr
    assert "nothing was named" in home("posts", "block", code=1).stderr
    assert (home.json("posts", "blocks"), len(ids(home))) == ([], 3)


def test_equivocations_are_shown_with_a_proof_that_anybody_can_verify(home: CliHome) -> None:
    key = PrivateKey.generate()
    assert home.json("posts", "equivocations") == {"origins": [], "evidence": []}
    take(home, *twins(key))
    with opened_node(home.path) as node:
        node.store.add_peer(TWICE, None, 1)
    shown = home.json("posts", "equivocations")
    assert [(one["node"], one["times"]) for one in shown["origins"]] == [(TWICE, 1)]
    (proof,) = shown["evidence"]
    assert proof["signed_by"] == "pool"
    assert proof["kept"]["digest"] < proof["lost"]["digest"]
    for side in ("kept", "lost"):
        assert verified(proof[side])
    with opened_node(home.path) as node:
        node.store.pin(TWICE, [key.public], "operator", 1)
    assert home.json("posts", "equivocations")["evidence"][0]["signed_by"] == "origin"
    text = home("posts", "equivocations").stdout
    assert "twice.example/1" in text
    assert "published two contents under one id" in home("status").stdout
    assert "published a second content" in home("peers", "show", TWICE).stdout
    found = home.json("doctor")
    (warning,) = (one for one in found if one["check"] == "equivocations")
    assert warning["level"] == "warn"
    assert "posts block node:twice.example" in warning["advice"]


def verified(side: dict[str, object]) -> bool:
    """Verify one content of a proof with nothing but what was printed."""
    members = {name: side[name] for name in ("content", "signatures")}
    signed = msgspec.json.decode(json.dumps(members), type=SignedContent)
    post = post_of(signed.content, signed.signatures, LIMITS)
    return post.digest == side["digest"] and verify_posts([post]) == [True]


def test_a_blocked_peer_is_said_to_be_blocked(home: CliHome) -> None:
    with opened_node(home.path) as node:
        node.store.add_peer(TWICE, None, 1)
        node.store.add_blocks([BlockName("node", TWICE)], "", 1)
    assert "blocked:" in home("peers", "show", TWICE).stdout
    assert home.json("peers", "show", TWICE)["blocked"] is True


def test_a_forgery_with_a_pools_key_is_told_from_what_the_origin_did(home: CliHome) -> None:
    key = PrivateKey.generate()
    real, forged = twins(key)[1], twins(PrivateKey.generate())[0]
    take(home, real, forged)
    with opened_node(home.path) as node:
        node.store.pin(TWICE, [key.public], "operator", 1)
    (proof,) = home.json("posts", "equivocations")["evidence"]
    assert proof["signed_by"] == "one each"
