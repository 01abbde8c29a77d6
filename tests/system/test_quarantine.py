"""Posts of an origin that nobody here knows wait, and come out when it is known: real processes."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cli_home import CliHome
from tests.support.live_node import LiveNode
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
POSTS = 3


ORIGIN = "origin.example"


@pytest.fixture
def nodes(tmp_path):
    """Give a relay and a node that run and take posts of peers, in no pool."""
    with (
        LiveNode(tmp_path / "relay", "relay.example") as relay,
        LiveNode(tmp_path / "here", "here.example") as here,
        ThreadPoolExecutor() as threads,
    ):
        for node in (relay, here):
            with (node.home / "replicator.toml").open("a") as settings:
                settings.write('\npull = "peers"\nget = "peers"\nput = "peers"\n')
        list(threads.map(LiveNode.start, (relay, here)))
        yield relay, here


@pytest.fixture
def at_origin(tmp_path):
    """Give the home of a node that only speaks, with posts."""
    home = CliHome(tmp_path / "origin")
    home("init", ORIGIN)
    with (home.path / "replicator.toml").open("a") as settings:
        settings.write("\nallow_private = true\n")
    file = tmp_path / "posts.jsonl"
    file.write_text("".join(json.dumps({"id": f"p{n}"}) + "\n" for n in range(POSTS)))
    home("publish", file)
    return home


def test_relayed_posts_of_an_unknown_origin_come_out_once_its_operator_is_asked(nodes, at_origin):
    relay, here = nodes
    at_relay, at_here = (CliHome(node.home) for node in nodes)
    at_relay("peers", "add", ORIGIN, "--yes")
    at_origin("peers", "add", relay.address, "--yes")
    names = [f"{ORIGIN}/p{number}" for number in range(POSTS)]
    answer = json.loads(at_origin("put", relay.node_id, *names, "--models").stdout)
    assert [item["result"] for item in answer["items"]] == ["stored"] * POSTS

    at_relay("peers", "add", here.address, "--yes")
    at_here("peers", "add", relay.address, "--yes")
    eventually(lambda: at_here.json("posts", "quarantine"), "the relay's log was pulled")
    (waiting,) = at_here.json("posts", "quarantine")
    assert (waiting["origin"], waiting["posts"]) == (ORIGIN, POSTS)
    assert waiting["deliverers"] == [relay.node_id]
    assert f"{ORIGIN} " in at_here("posts", "quarantine").stdout
    assert "3 posts of 1 unknown origin in quarantine" in at_here("status").stdout
    assert "quarantine" in {finding["check"] for finding in at_here.findings()}
    assert at_here.json("posts", "list") == []
    assert at_here.json("status")["gaps"] == 0
    # the relay need not give them again, and nothing is asked of it
    again = json.loads(at_relay("put", here.node_id, *names).stdout)
    assert [item["result"] for item in again["items"]] == ["later"] * POSTS
    assert at_here.json("status")["work"]["queued"] == {}

    keys = [key["key"] for key in at_origin.json("keys", "list") if key["kind"] == "node"]
    at_here("peers", "add", ORIGIN, "--yes")
    at_here("peers", "trust", ORIGIN, *keys, "--yes")
    assert {post["id"] for post in at_here.json("posts", "list")} == set(names)
    assert at_here.json("posts", "quarantine") == []
    at_origin("peers", "add", here.address, "--yes")
    served = json.loads(at_origin("pull", here.node_id).stdout)
    assert {ref["id"] for ref in served["refs"]} == set(names)
    eventually(lambda: at_here.json("status")["backfills"] == [], "its backfill is at its end")
