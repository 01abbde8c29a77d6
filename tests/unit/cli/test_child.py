"""A child lives exactly as long as it should, whatever happens to it or to its supervisor."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from replicator.cli import child as child_module
from replicator.cli import process_tree
from replicator.cli.child import Child, Program, Restarts
from tests.support.waiting import eventually

SLEEPER = ("sleep", "600")
SUPERVISOR = """
import sys
from pathlib import Path
from replicator.cli.child import Program
from replicator.cli.supervisor import Supervisor
home = Path(sys.argv[1])
supervisor = Supervisor(home, {}, lambda line: print(line, flush=True))
for name in ("first", "second"):
    supervisor.start(Program(name, ("sleep", "600")))
supervisor.start(Program("stubborn", ("sh", "-c", "trap '' TERM; sleep 600"), {}, 0.3))
supervisor.run()
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "log").mkdir()
    return tmp_path


def test_pauses_double_up_to_the_cap():
    restarts = Restarts(base_seconds=0.5, cap_seconds=3.0)
    assert [restarts.pause(failures) for failures in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_huge_number_of_failures_is_no_overflow():
    assert Restarts().pause(10**9) == Restarts().cap_seconds


def test_a_dead_child_is_started_again_after_its_pause(home):
    child = Child(Program("sleeper", SLEEPER), home, Restarts(base_seconds=5, stable_seconds=10))
    child.start(100.0)
    first = child.pid
    os.kill(first, signal.SIGKILL)
    eventually(child.has_ended, "the child has ended")
    assert child.keep(101.0)
    assert (child.pid, child.last_exit, child.next_start()) == (None, -signal.SIGKILL, 106.0)
    assert not child.keep(105.9)
    assert child.keep(106.0)
    assert child.pid not in (None, first)
    child.kill()


def test_a_stable_run_forgets_earlier_failures(home):
    child = Child(Program("ends", ("true",)), home, Restarts(base_seconds=1, stable_seconds=10))
    now = 0.0
    pauses = []
    for run_seconds in (1, 1, 1, 50):
        child.start(now)
        eventually(child.has_ended, "the child has ended")
        now += run_seconds
        child.keep(now)
        pauses.append(child.next_start() - now)
        now += 100
    assert pauses == [1.0, 2.0, 4.0, 1.0]


def test_the_whole_group_of_a_dead_child_is_ended(home):
    script = ("sh", "-c", "sleep 601 & wait")
    child = Child(Program("group", script), home, Restarts())
    child.start(0.0)
    below = eventually(lambda: process_tree.descendants(child.pid), "a grandchild runs")
    os.kill(child.pid, signal.SIGKILL)
    eventually(child.ended, "the child is buried")
    eventually(lambda: not any(map(process_tree.is_alive, below)), "the grandchild is gone")


def test_a_log_that_is_full_is_set_aside_once(home, monkeypatch):
    monkeypatch.setattr(child_module, "LOG_BYTES_MAX", 1000)
    child = Child(Program("loud", ("sh", "-c", "printf '%2000s' x; sleep 600")), home, Restarts())
    child.start(0.0)
    eventually(lambda: child.log.stat().st_size == 2000, "it has written")
    child.bound_log()
    assert child.log.stat().st_size == 0
    assert (home / "log" / "loud.log.1").stat().st_size == 2000
    assert child.log.stat().st_mode & 0o077 == 0
    child.kill()


def test_a_child_runs_in_the_home_whatever_stands_where_it_was_started(home, tmp_path, monkeypatch):
    planted = tmp_path / "elsewhere"
    (planted / "replicator").mkdir(parents=True)
    (planted / "replicator" / "__init__.py").write_text("print('planted')")
    monkeypatch.chdir(planted)
    code = (sys.executable, "-m", "replicator.cli", "--help")
    child = Child(Program("help", code), home, Restarts())
    child.start(1.0)
    eventually(child.has_ended, "the child has ended", seconds=60)
    child.kill()
    assert "Usage: replicator" in child.log.read_text()


def test_a_child_does_not_inherit_blocked_signals(home):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        child = Child(Program("sleeper", SLEEPER), home, Restarts())
        child.start(0.0)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    child.signal(signal.SIGTERM)
    eventually(child.ended, "SIGTERM ends it")
    assert child.last_exit == -signal.SIGTERM


def test_the_environment_is_not_shown():
    assert "secret" not in repr(Program("name", ("x",), {"PASSWORD": "secret"}))


@pytest.fixture
def supervisor(tmp_path):
    (tmp_path / "run").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    eventually(
        lambda: len(process_tree.descendants(process.pid)) >= 4, "three children and a grandchild"
    )
    everything = process_tree.descendants(process.pid)
    yield process
    everything += process_tree.descendants(process.pid)
    process.kill()
    process.wait()
    process.stdout.close()
    # a child's own child is nobody's to end where the supervisor was killed
    process_tree.kill([one for one in everything if process_tree.is_alive(one)])


def _children_of(process):
    return [one for one in process_tree.descendants(process.pid) if one.parent == process.pid]


def test_after_sigkill_of_a_supervisor_no_child_is_left(supervisor):
    children = _children_of(supervisor)
    supervisor.kill()
    eventually(
        lambda: not any(map(process_tree.is_alive, children)), "all children are dead", seconds=5
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_takes_everything_down_in_order(supervisor, tmp_path, number):
    everything = process_tree.descendants(supervisor.pid)
    began = time.monotonic()
    supervisor.send_signal(number)
    assert supervisor.wait(timeout=5) == 0
    assert time.monotonic() - began < 5
    assert not any(map(process_tree.is_alive, everything))
    assert not (tmp_path / "run" / "up.json").exists()


def test_a_supervisor_starts_a_killed_child_again(supervisor):
    victim = _children_of(supervisor)[0]
    os.kill(victim.pid, signal.SIGKILL)

    def renewed():
        children = _children_of(supervisor)
        return len(children) == 3 and victim.pid not in {child.pid for child in children}

    eventually(renewed, "three children run again", seconds=5)
