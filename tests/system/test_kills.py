"""Processes of a running pool are killed at seeded moments while posts flow; nothing is lost.

Three nodes, two boards that publish without pause, one follower. Gateways, workers, beats and
Valkeys are killed with SIGKILL, ten times each and more, among them workers that were frozen with
messages claimed and not yet noted (what stock Celery loses for good on Redis).
"""

import os
import random
import signal
import time

import pytest

from replicator.cli import process_tree
from replicator.cli.demo_node import DemoNode
from replicator.cli.demo_play import found_pool
from replicator.cli.up_state import up_state
from tests.support.board import Board, Follower
from tests.support.harm import running

SEED = 20_240_229
SOAK_SEEDS = range(1, 21)
KILLS_PER_KIND = 10
KINDS = ("gateway", "answers", "lanes", "beat", "valkey")
CONVERGE_SECONDS = 60.0
PAUSES = (0.1, 0.8)


@pytest.fixture
def nodes(tmp_path):
    nodes = found_pool(tmp_path)
    with running(*nodes):
        yield nodes


def wait_until(holds, seconds, what):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def process_of(node: DemoNode, kind: str) -> process_tree.Process:
    """Return the process of a kind, waiting for its supervisor to have started it again."""
    found: list[process_tree.Process] = []

    def look() -> bool:
        pid = up_state(node.site.home).children.get(kind)
        process = process_tree.look(pid) if pid else None
        found[:] = [process] if process else []
        return bool(found)

    wait_until(look, 30, f"{node.site.node_id} runs its {kind}")
    return found[0]


def kill(node: DemoNode, kind: str, chance: random.Random) -> None:
    """Kill one process; a worker is sometimes frozen first, so that it has claimed messages."""
    process = process_of(node, kind)
    if kind in ("answers", "lanes") and chance.random() < 0.5:
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.3)
    process_tree.kill([process])


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    "seed", [SEED, *(pytest.param(seed, marks=pytest.mark.soak) for seed in SOAK_SEEDS)]
)
def test_nothing_acknowledged_is_lost_whatever_is_killed(nodes, seed):
    chance = random.Random(seed)
    boards = [Board(node.site) for node in nodes[:2]]
    follower = Follower(nodes[2].site)
    for loop in (*boards, follower):
        loop.start()
    victims = [(kind, node) for kind in KINDS for node in nodes for _ in range(KILLS_PER_KIND)]
    chance.shuffle(victims)
    kills = dict.fromkeys(KINDS, 0)
    for kind, node in victims:
        if kills[kind] == KILLS_PER_KIND:
            continue
        kill(node, kind, chance)
        kills[kind] += 1
        time.sleep(chance.uniform(*PAUSES))
    for board in boards:
        board.stop()
    for node in nodes:
        for kind in KINDS:
            process_of(node, kind)
    promised = {digest for board in boards for digest in board.acknowledged}
    wait_until(
        lambda: all(promised <= set(node.digests()) for node in nodes),
        CONVERGE_SECONDS,
        f"{len(promised)} acknowledged posts are on all nodes (seed {seed})",
    )
    wait_until(lambda: promised <= set(follower.seen), 10, "the follower was given them")
    follower.stop()
    assert len(promised) > 500
    assert set(follower.seen.values()) == {1}, "a post was given to the follower twice"
    assert kills == dict.fromkeys(KINDS, KILLS_PER_KIND)
    assert all(loop.repeats > 0 for loop in (*boards, follower)), "no kill was felt"
