"""The demo as its users run it: what it promises is what its exit code and its databases say."""

import json
import os
import signal
import subprocess
import sys

import pytest

from replicator.adapters.sql.store import SqlStore
from replicator.cli import process_tree
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)
DEMO = [sys.executable, "-m", "replicator.cli", "demo"]
PROCESSES_MIN = 3 * 6
"""Three nodes of: up, Valkey, gateway, two workers (and their children), beat."""


def test_three_nodes_hold_the_same_posts_although_one_was_killed(tmp_path):
    home = tmp_path / "pool"
    run = subprocess.run(
        [*DEMO, "--json", "--home", home], capture_output=True, text=True, check=False, timeout=200
    )
    assert run.returncode == 0, run.stderr[-4000:]
    outcome = json.loads(run.stdout)
    assert outcome["problem"] is None
    assert outcome["posts"] >= 3500
    assert outcome["published_while_down"] >= 500
    assert outcome["missing_when_killed"] > 0
    assert outcome["killed_processes"] >= 6
    assert outcome["memory_bytes_max"] < 1.3e9
    assert outcome["seconds"] < 75
    _the_databases_say_the_same(home, outcome)


def _the_databases_say_the_same(home, outcome):
    """Read the databases again, after every process of the demo is gone."""
    held = []
    for node in ("node1", "node2", "node3"):
        store = SqlStore(f"sqlite:///{home / node / 'replicator.db'}", read_only=True)
        held.append(store.digests())
        store.close()
    assert held[0] == held[1] == held[2]
    assert len(held[0]) == outcome["posts"]
    assert len(set(outcome["digests"].values())) == 1


@pytest.fixture
def demo(tmp_path):
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            [*DEMO, "--home", tmp_path / "pool"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left_five_seconds_after_a_demo_ends_in_the_middle(demo, number):
    def started():
        assert demo.poll() is None, "the demo ended too early"
        found = process_tree.descendants(demo.pid)
        return found if len(found) >= PROCESSES_MIN else None

    below = eventually(started, "all processes of three nodes", seconds=60)
    os.kill(demo.pid, number)
    eventually(
        lambda: not any(map(process_tree.is_alive, below)),
        "no process of the demo is alive",
        seconds=5,
    )
    assert demo.wait(timeout=5) != 0


def test_a_deadline_that_passes_is_a_failure_that_says_what_differs(tmp_path):
    run = subprocess.run(
        [*DEMO, "--deadline", "1", "--home", tmp_path / "pool"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert run.returncode == 1
    assert "not ready after" in run.stderr or "not equal after" in run.stderr
    assert "Traceback" not in run.stderr
