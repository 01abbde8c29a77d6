"""One node as its operator runs it: everything comes up, comes back, and goes away together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from replicator.adapters.loopback import free_ports
from replicator.adapters.sql.store import SqlStore
from replicator.cli import process_tree
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)
CHILDREN = {"valkey", "gateway", "answers", "lanes", "beat"}


class Node:
    """A home and the commands that are run in it."""

    def __init__(self, home, ports):
        self.home = home
        self.gateway = f"127.0.0.1:{ports[0]}"
        listen = ["--gateway-listen", self.gateway, "--local-listen", f"127.0.0.1:{ports[1]}"]
        self.run("init", "node.example", *listen, "--address", f"http://{self.gateway}")
        self.run("keys", "pool", "new")
        self.up = None

    def command(self, *arguments):
        return [sys.executable, "-m", "replicator.cli", "--home", self.home, *arguments]

    def run(self, *arguments, code=0):
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def start(self):
        with (self.home / "up.log").open("ab") as log:
            self.up = subprocess.Popen(
                self.command("up"), stdout=log, stderr=log, start_new_session=True
            )
        eventually(self.is_complete, "all children run", seconds=30)
        eventually(self.works, "workers have taken their queues", seconds=40)

    def pids(self):
        state = json.loads((self.home / "run" / "up.json").read_text())
        if state["pid"] != self.up.pid:
            return {}
        return {name: child["pid"] for name, child in state["children"].items()}

    def is_complete(self):
        assert self.up.poll() is None, (self.home / "up.log").read_text()
        try:
            pids = self.pids()
        except FileNotFoundError:
            return False
        return set(pids) == CHILDREN and all(pids.values())

    def works(self):
        """Whether the pool children of the worker that answers are there."""
        return len(process_tree.descendants(self.pids()["answers"])) >= 2

    def everything(self):
        return process_tree.descendants(self.up.pid)


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path / "home", free_ports(2, Random()))
    yield node
    if node.up is not None:
        node.up.kill()
        node.up.wait()


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


@pytest.mark.parametrize("name", sorted(CHILDREN))
def test_a_killed_child_comes_back_alone(node, name):
    node.start()
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


def test_a_second_up_in_the_same_home_is_refused(node):
    node.start()
    before = node.pids()
    node.run("up", code=1)
    assert node.pids() == before


def test_the_commands_of_an_operator_work_on_a_live_node(node, tmp_path):
    node.start()
    lines = [json.dumps({"id": f"post-{number}", "title": "x"}) for number in range(20)]
    file = tmp_path / "posts.jsonl"
    file.write_text("\n".join([*lines, "no json", '{"id": "a b"}']) + "\n")
    report = json.loads(node.run("publish", "--json", str(file), code=1))
    assert (report["stored"], report["refused"]) == (20, 2)
    assert [one["line"] for one in report["lines_not_taken"]] == [21, 22]
    assert len(json.loads(node.run("posts", "list", "--json"))) == 20
    shown = json.loads(node.run("posts", "show", "--json", "node.example/post-3"))
    assert shown["content"]["id"] == "node.example/post-3"
    assert len(node.run("posts", "export").splitlines()) == 20
    status = json.loads(node.run("status", "--json"))
    assert status["posts"] == 20
    assert set(status["up"]["children"]) == CHILDREN
    findings = json.loads(node.run("doctor", "--json"))
    assert not [one for one in findings if one["level"] == "fail"]
    secrets = [(node.home / "local-token").read_text().strip()]
    secrets.append((node.home / "run" / "work-url").read_text().split(":")[2].split("@")[0])
    told = node.run("status") + node.run("doctor") + (node.home / "up.log").read_text()
    told += " ".join(" ".join(_arguments(one.pid)) for one in node.everything())
    assert not [secret for secret in secrets if secret in told]
    store = SqlStore(f"sqlite:///{node.home / 'replicator.db'}", read_only=True)
    assert store.totals().posts == 20
    store.close()


def _arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
