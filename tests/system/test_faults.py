"""What a pool must outlive besides the death of its workers, on real processes.

Three nodes, the third of them on PostgreSQL: Redis is flushed, Valkey killed with its data and
without, PostgreSQL restarted and crashed, the network between two of them harmed, and a clock set
wrong. Whatever it was, all sets become equal, and no operator does anything.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import redis

from replicator.adapters.redis.work import RedisWorkState
from replicator.adapters.sql.store import SqlStore
from replicator.cli import process_tree
from replicator.cli.demo_node import DemoNode
from replicator.cli.demo_posts import generate, split
from replicator.cli.up_state import up_state
from replicator.node.ports import Peer
from replicator.rules.breaker import Breaker
from replicator.settings import load_settings
from tests.support.board import Board, Follower
from tests.support.faulty_proxy import FAULTS, Chance, FaultyProxy
from tests.support.harm import IMPATIENT, found_nodes, harmed, introduce, publish, ready, running
from tests.support.postgres import own_server
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
POSTS = 1_500
REAL_POSTS = 12_908
CHUNK = 100
POSTS_FILE = "REPLICATOR_TEST_POSTS"
"""Names a file of JSON lines that the large run publishes in place of made-up posts."""
EQUAL_SECONDS = 60.0
HOUR = 3600
PROXY_SEEDS = [7, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 120))]
_rounds = itertools.count(1)


@pytest.fixture(scope="module")
def postgres():
    with own_server(()) as server:
        yield server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory, postgres):
    nodes = found_nodes(tmp_path_factory.mktemp("faults"), 3, IMPATIENT, urls={2: postgres.url})
    with running(*nodes):
        yield nodes


def drafts(count: int) -> list[bytes]:
    return list(generate(f"round {next(_rounds)}", count))


def publish_all(node: DemoNode, posts: list[bytes]) -> None:
    for start in range(0, len(posts), CHUNK):
        publish(node, posts[start : start + CHUNK])


def all_equal(*nodes: DemoNode, seconds: float = EQUAL_SECONDS, posts: set[str] = frozenset()):
    """Wait until all nodes hold exactly what was published, and what ``posts`` adds to it."""
    wanted = set(posts).union(*(node.published for node in nodes))
    eventually(
        lambda: all(node.count() >= len(wanted) for node in nodes), "as many posts", seconds=seconds
    )
    held = [set(node.digests()) for node in nodes]
    assert all(wanted <= one for one in held)
    eventually(
        lambda: len({tuple(node.digests()) for node in nodes}) == 1, "equal sets", seconds=20
    )


def work_of(node: DemoNode) -> redis.Redis:
    return redis.Redis.from_url(load_settings(node.site.home, {}).work)


def answer_of(client: redis.Redis, key: str) -> str:
    """Tell whether a key is kept or lost; nothing where the server does not answer yet."""
    try:
        return "kept" if client.exists(key) else "lost"
    except redis.ConnectionError:
        return ""


def flush(node: DemoNode) -> None:
    with work_of(node) as client:
        client.flushall()
        client.script_flush()


@contextmanager
def board_at(node: DemoNode):
    """Have a board publish without pause at a node; its posts are in ``node.published`` after."""
    board = Board(node.site)
    board._next = 1_000_000 * next(_rounds)
    board.start()
    try:
        yield board
    finally:
        board.stop()
        node.published.update(board.acknowledged)


def restarted(node: DemoNode, name: str, starts: int) -> None:
    """Wait until a child of a node's supervisor was started again."""
    eventually(
        lambda: up_state(node.site.home).starts.get(name, 0) > starts, f"{name} again", seconds=30
    )


# --- the work in hand -----------------------------------------------------------------------------


def spread_and_flush(nodes: list[DemoNode], shares: list[list[bytes]]) -> None:
    """Publish everywhere, and flush every Redis in the middle and when all is published."""
    chunks = max(len(share) for share in shares) // CHUNK + 1
    short = 0
    for place in range(chunks):
        for node, share in zip(nodes, shares, strict=True):
            if part := share[place * CHUNK : (place + 1) * CHUNK]:
                publish(node, part)
        if place in (chunks // 2, chunks - 1):
            published = set().union(*(node.published for node in nodes))
            short += sum(not published <= set(node.digests()) for node in nodes)
            for node in nodes:
                flush(node)
    assert short > 0, "everything was everywhere already when Redis was flushed"


def test_redis_is_flushed_in_the_middle_of_spreading_and_all_nodes_complete(nodes):
    spread_and_flush(nodes, [drafts(POSTS // 3) for _ in nodes])
    all_equal(*nodes)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_redis_is_flushed_in_the_middle_of_a_whole_corpus(tmp_path, postgres):
    """With the limits of every node, on a pool of its own."""
    given = os.environ.get(POSTS_FILE)
    shares = split(given, 3) if given else [drafts(REAL_POSTS // 3 + 1) for _ in range(3)]
    nodes = found_nodes(tmp_path, 3, {})
    with running(*nodes):
        began = time.monotonic()
        spread_and_flush(nodes, shares)
        published = time.monotonic() - began
        all_equal(*nodes, seconds=300)
        took = time.monotonic() - began
    total = sum(len(node.published) for node in nodes)
    print(f"\n{total} posts: published in {published:.1f} s, equal after {took:.1f} s")  # noqa: T201


@pytest.mark.parametrize("keeps", [True, False], ids=["with its data", "without its data"])
def test_a_killed_valkey_costs_time_only(nodes, keeps):
    victim = nodes[0]
    state = up_state(victim.site.home)
    with board_at(nodes[1]) as board, board_at(victim):
        eventually(lambda: len(board.acknowledged) >= 50, "posts flow")
        with work_of(victim) as client:
            client.set("a mark", "of what is kept")
        if not keeps:
            shutil.rmtree(victim.site.home / "valkey" / "appendonlydir")
        process_tree.kill([process_tree.look(state.children["valkey"])])
        restarted(victim, "valkey", state.starts["valkey"])
        with work_of(victim) as client:
            mark = eventually(lambda: answer_of(client, "a mark"), "Valkey answers")
        assert mark == ("kept" if keeps else "lost")
        before = len(board.acknowledged)
        eventually(lambda: len(board.acknowledged) >= before + 50, "posts flow on")
    all_equal(*nodes)


# --- the truth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
def test_postgresql_goes_and_comes_back_under_load(nodes, postgres, number):
    follower = Follower(nodes[2].site)
    follower.start()
    with board_at(nodes[0]) as here, board_at(nodes[2]) as there:
        eventually(lambda: min(len(here.acknowledged), len(there.acknowledged)) >= 50, "flow")
        postgres.stop(number)
        before = len(here.acknowledged)
        eventually(lambda: len(here.acknowledged) >= before + 50, "the others go on")
        postgres.start()
        before = len(there.acknowledged)
        eventually(lambda: len(there.acknowledged) >= before + 50, "it takes posts again")
    all_equal(*nodes)
    eventually(lambda: nodes[0].published <= set(follower.seen), "the application was given them")
    follower.stop()
    assert set(follower.seen.values()) == {1}, "a post was given to the application twice"
    assert there.repeats > 0, "nothing was felt of it"


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", PROXY_SEEDS)
def test_a_harmed_connection_costs_this_pair_time_and_the_others_nothing(nodes, seed):
    one, other, third = nodes
    with (
        FaultyProxy(one.site.gateway_port, Chance(0.5, seed)) as to_one,
        FaultyProxy(other.site.gateway_port, Chance(0.5, seed + 1)) as to_other,
    ):

        def harmed() -> int:
            seen = to_one.seen + to_other.seen
            return sum(seen[fault] for fault in FAULTS)

        introduce(one.site, {other.site.node_id: f"http://127.0.0.1:{to_other.port}"})
        introduce(other.site, {one.site.node_id: f"http://127.0.0.1:{to_one.port}"})
        try:
            # as many rounds as it takes: how many connections there are is not the test's to say
            for turn in range(60):
                if turn >= 8 and harmed() >= 5:
                    break
                for node in nodes:
                    publish_all(node, drafts(10))
                wanted = set().union(one.published, other.published)
                eventually(
                    lambda wanted=wanted: wanted <= set(third.digests()), "the third", seconds=10
                )
            all_equal(*nodes)
        finally:
            introduce(one.site, {other.site.node_id: other.site.address})
            introduce(other.site, {one.site.node_id: one.site.address})
    assert harmed() >= 5


# --- the time -------------------------------------------------------------------------------------


def doctor(node: DemoNode) -> subprocess.Popen[bytes]:
    """Run `replicator doctor` in the home of a node."""
    command = [sys.executable, "-m", "replicator.cli", "--home", str(node.site.home)]
    return subprocess.Popen([*command, "doctor", "--json"], stdout=subprocess.PIPE)


def skewed(running: subprocess.Popen[bytes]) -> set[str]:
    """Return the peers whose clock a doctor says is wrong."""
    found = json.loads(running.communicate(timeout=60)[0])
    texts = [one["message"] for one in found if (one["check"], one["level"]) == ("clock", "fail")]
    return {word for text in texts for word in text.split() if word.endswith(".test")}


def breakers_of(node: DemoNode) -> dict[str, Breaker]:
    """Return what a node thinks of its peers now."""
    settings = load_settings(node.site.home, {})
    work = RedisWorkState(settings.work, settings.prefix, settings.limits)
    try:
        return dict(work.breakers([peer.id for peer in peers_of(node)]))
    finally:
        work.close()


def peers_of(node: DemoNode) -> list[Peer]:
    store = SqlStore(node.site.database_url, read_only=True)
    try:
        return store.peers()
    finally:
        store.close()


def test_a_clock_that_is_an_hour_wrong_is_named_and_the_sets_become_equal(nodes):
    wrong = nodes[1]
    right = (nodes[0], nodes[2])
    wrong.kill()
    with harmed(clock_seconds=HOUR):
        wrong.start()
        ready(wrong)
    for node in right:
        flush(node)  # breakers from while it was away
    for node in nodes:
        publish_all(node, drafts(20))
    all_equal(*nodes)
    here = doctor(right[0])
    with harmed(clock_seconds=HOUR):
        there = doctor(wrong)
    said, said_there = skewed(here), skewed(there)
    breakers = {node.site.node_id: breakers_of(node) for node in right}
    offsets = {peer.id: peer.clock_offset_ms for node in right for peer in peers_of(node)}
    offsets_there = [peer.clock_offset_ms for peer in peers_of(wrong)]
    wrong.kill()
    wrong.start()
    ready(wrong)
    assert said == {wrong.site.node_id}
    assert said_there == {node.site.node_id for node in right}
    assert all(breaker == Breaker() for each in breakers.values() for breaker in each.values())
    # learned from answers that said `stale` and the time
    assert offsets[wrong.site.node_id] == pytest.approx(HOUR * 1000, abs=10_000)
    assert offsets_there == pytest.approx([-HOUR * 1000] * 2, abs=10_000)
    publish_all(wrong, drafts(5))
    all_equal(*nodes)
