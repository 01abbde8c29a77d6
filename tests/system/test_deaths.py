"""Workers die by SIGKILL at every step of every lane; others go on, nothing is lost or twice.

Two nodes feed each other. In every round a worker of each dies at a place of its own, once; the
supervisor starts it again.
"""

import json
from itertools import zip_longest

import pytest

from replicator.cli.demo_node import DemoNode
from tests.support.board import Follower
from tests.support.deaths import Death, arm, is_armed
from tests.support.harm import IMPATIENT, found_nodes, harmed, running
from tests.support.waiting import eventually, wait_for

pytestmark = pytest.mark.timeout(300)
ATTEMPTS = 15
LARGE = 70_000
"""Characters of a post that is announced by its ref, so that it has to be fetched."""
DEATHS = {
    "announce": [
        Death("announce", "transport.post", "before"),
        Death("announce", "transport.post", "after"),
        Death("announce", "store.move_lane", "after"),
    ],
    "fetch": [
        Death("fetch", "work.lease", "after"),
        Death("fetch", "transport.post", "after"),
        Death("fetch", "store.add", "after"),
    ],
    "pull": [
        Death("pull", "store.record_pull", "before"),
        Death("pull", "store.record_pull", "after"),
    ],
    "answer": [
        Death("answer", "work.take_request", "after"),
        Death("answer", "work.reply", "before"),
    ],
    "repair": [
        Death("repair", "transport.post", "after"),
    ],
}
ALL = [death for lane in DEATHS.values() for death in lane]
ROUNDS = list(zip_longest(ALL[: (len(ALL) + 1) // 2], ALL[(len(ALL) + 1) // 2 :]))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    nodes = found_nodes(tmp_path_factory.mktemp("deaths"), 2, IMPATIENT)
    with harmed(deaths=True), running(*nodes):
        yield nodes


@pytest.fixture(scope="module")
def followers(nodes):
    followers = [Follower(node.site) for node in nodes]
    for follower in followers:
        follower.start()
    yield followers
    for follower in followers:
        follower.stop()


def publish(node: DemoNode, name: str) -> None:
    texts = ["short"] * 5 + ["long " * (LARGE // 5)]
    posts = [{"id": f"{name}-{number}", "text": text} for number, text in enumerate(texts)]
    node.publish([json.dumps(post).encode() for post in posts])


@pytest.mark.parametrize("deaths", ROUNDS, ids=lambda pair: " and ".join(map(str, pair)))
def test_a_worker_that_dies_there_costs_time_only(nodes, followers, deaths):
    for node, death in zip(nodes, deaths, strict=True):
        if death is not None:
            arm(node.site.home, death)
    # what one lane has brought already is no work for another: there is more until all have died
    for attempt in range(ATTEMPTS):
        for node in nodes:
            publish(node, f"{ROUNDS.index(deaths)}-{attempt}")
        if wait_for(lambda: not any(is_armed(node.site.home) for node in nodes), seconds=2):
            break
    else:
        pytest.fail("a worker has not come to the place where it was to die")
    wanted = set().union(*(node.published for node in nodes))
    for node in nodes:
        eventually(
            lambda node=node: wanted <= set(node.digests()), f"all at {node.site}", seconds=40
        )
    for follower in followers:
        eventually(lambda follower=follower: wanted <= set(follower.seen), "all were given")
        assert set(follower.seen.values()) == {1}, "a post was given twice"
