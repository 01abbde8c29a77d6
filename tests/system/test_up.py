"""One node as its operator runs it: everything comes up, comes back, and goes away together."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from replicator.adapters.sql.store import SqlStore
from replicator.cli import process_tree
from tests.support.cli_home import CliHome
from tests.support.live_node import CHILDREN, LiveNode
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def node(tmp_path):
    """Give a node of one test's own."""
    with LiveNode(tmp_path / "home", "node.example") as node:
        yield node


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Give a running node that tests share, and leave running."""
    with LiveNode(tmp_path_factory.mktemp("up") / "home", "node.example") as node:
        node.start()
        yield node


def _gone(processes):
    return lambda: not any(map(process_tree.is_alive, processes))


def test_after_ctrl_c_nothing_is_left(node):
    node.start()
    everything = node.everything()
    began = time.monotonic()
    node.up.send_signal(signal.SIGINT)
    assert node.up.wait(timeout=5) == 0
    assert time.monotonic() - began < 5
    assert not any(map(process_tree.is_alive, everything))


def test_after_sigkill_nothing_is_left_and_it_starts_again(node):
    node.start()
    everything = node.everything()
    node.up.kill()
    eventually(_gone(everything), "no process of the node is alive", seconds=5)
    node.up.wait()
    node.start()


def test_the_commands_of_an_operator_work_on_a_live_node(running, tmp_path):
    node = running
    lines = [json.dumps({"id": f"post-{number}", "title": "x"}) for number in range(20)]
    file = tmp_path / "posts.jsonl"
    file.write_text("\n".join([*lines, "no json", '{"id": "a b"}']) + "\n")
    report = json.loads(node.run("publish", "--json", str(file), code=1))
    assert (report["stored"], report["refused"]) == (20, 2)
    assert [one["line"] for one in report["lines_not_taken"]] == [21, 22]
    operator, name = CliHome(node.home), "node.example/post-3"
    assert len(operator.json("posts", "list")) == 20
    assert operator.json("posts", "show", name)["content"]["id"] == name
    assert len(operator("posts", "export").stdout.splitlines()) == 20
    status = operator.json("status")
    assert status["posts"] == 20
    assert set(status["up"]["children"]) == CHILDREN
    assert not [one for one in operator.findings() if one["level"] == "fail"]
    secrets = [(node.home / "local-token").read_text().strip()]
    secrets.append((node.home / "run" / "work-url").read_text().split(":")[2].split("@")[0])
    told = node.run("status") + node.run("doctor") + (node.home / "up.log").read_text()
    told += " ".join(" ".join(_arguments(one.pid)) for one in node.everything())
    assert not [secret for secret in secrets if secret in told]
    store = SqlStore(f"sqlite:///{node.home / 'replicator.db'}", read_only=True)
    assert store.totals().posts == 20
    store.close()


def test_a_second_up_in_the_same_home_is_refused(running):
    node = running
    before = node.pids()
    node.run("up", code=1)
    assert node.pids() == before


@pytest.mark.parametrize("name", sorted(CHILDREN))
def test_a_killed_child_comes_back_alone(running, name):
    node = running
    eventually(node.is_complete, "all children run")
    before = node.pids()
    below = process_tree.descendants(before[name])
    os.kill(before[name], signal.SIGKILL)
    eventually(
        lambda: node.is_complete() and node.pids()[name] != before[name], f"{name} runs again"
    )
    eventually(_gone(below), f"what was below {name} is gone", seconds=5)
    after = node.pids()
    assert {other: after[other] for other in CHILDREN - {name}} == {
        other: before[other] for other in CHILDREN - {name}
    }


def _arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
