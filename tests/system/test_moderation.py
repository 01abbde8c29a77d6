"""A block on one of two live nodes: the other keeps the posts, nothing goes to and fro for them,
and unblocked they come back."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from replicator.cli.demo_node import DemoNode
from tests.support.cli_home import CliHome
from tests.support.harm import IMPATIENT, found_nodes, publish, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
POSTS = 20
RUNS = 2


def log_of(node: DemoNode, name: str) -> str:
    """Return what a worker of a node wrote."""
    return (node.site.home / "log" / f"{name}.log").read_text()


def asked_since(nodes: list[DemoNode], marks: list[int]) -> Counter[str]:
    """Count the requests that nodes answered since a place in each log, by node and type."""
    return Counter(
        f"{node.site.node_id} {type_}"
        for node, mark in zip(nodes, marks, strict=True)
        for type_ in re.findall(r"'type': '(\w+)'", log_of(node, "answers")[mark:])
    )


def test_a_block_on_one_node_costs_no_traffic_and_is_undone_by_unblocking(tmp_path: Path) -> None:
    here, there = nodes = found_nodes(tmp_path, 2, {**IMPATIENT, "reconcile_seconds": 1})
    with running(*nodes):
        drafts = [
            {"id": f"p{n}", "text": f"post {n}", "published": 1_000 + n} for n in range(POSTS)
        ]
        publish(there, [json.dumps(one).encode() for one in drafts])
        eventually(lambda: here.count() == POSTS, "all posts came", seconds=30)
        operator = CliHome(here.site.home)
        names = ["node2.test/p1", there.digests()[0], "node2.test/p2"]
        blocked = operator.json("posts", "block", *names, "--yes")
        assert blocked["posts"] == len({*names}) - (there.digests()[0] in _of(there, "p1", "p2"))
        left = POSTS - blocked["posts"]
        assert (here.count(), there.count()) == (left, POSTS)
        eventually(lambda: is_through(there, here), "its lane came to its end", seconds=30)
        marks = [len(log_of(node, "answers")) for node in nodes]
        eventually(
            lambda: all(
                asked_since(nodes, marks)[f"{node.site.node_id} reconcile"] >= RUNS
                for node in nodes
            ),
            "both have compared their sets",
            seconds=60,
        )
        kinds = {asked.split()[1] for asked in asked_since(nodes, marks)}
        assert kinds <= {"reconcile", "pull", "roster"}
        assert (here.count(), there.count()) == (left, POSTS)
        operator.json("posts", "unblock", *names, "--yes")
        eventually(lambda: here.count() == POSTS, "they came back", seconds=30)
        assert here.digests() == there.digests()


def is_through(node: DemoNode, mate: DemoNode) -> bool:
    """Tell whether the lane of a node has delivered everything, and its mate has said so."""
    (peer,) = node._store.peers()
    return peer.pushed == node._store.last_change() and "'put'" in log_of(mate, "answers")


def _of(node: DemoNode, *names: str) -> set[str]:
    posts = node._store.get(ids=[f"{node.site.node_id}/{name}" for name in names])
    return {post.digest for post in posts}
