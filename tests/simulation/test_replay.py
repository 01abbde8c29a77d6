"""A seed is a whole run: another process repeats it exactly, and a failing one says how."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from replicator.cli.root import root
from replicator.simulator.plan import Order, draw
from replicator.simulator.world import World


def simulated(hash_seed: int, *arguments: str) -> dict[str, object]:
    """Run a seed in a process of its own, whose sets of strings have an order of their own."""
    command = [sys.executable, "-m", "replicator.cli", "simulate", "--json", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False, text=True)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("seed", [2, 13, 20])
def test_another_process_repeats_a_run_to_the_last_byte(seed):
    one, other = (simulated(number, "--seed", str(seed)) for number in (1, 2))
    assert one == other
    assert one["equal"] is True


def test_a_seed_that_fails_prints_the_command_that_fails_again_in_the_same_way():
    arguments = ["simulate", "--seed", "1", "--mutant", "cursor-early"]
    first = CliRunner().invoke(root, arguments)
    assert first.exit_code == 1
    line = next(line for line in first.stdout.splitlines() if line.startswith("replay: "))
    again = CliRunner().invoke(root, line.removeprefix("replay: replicator ").split())
    assert again.stdout == first.stdout
    assert "lane-cursor" in first.stdout


def test_a_run_prints_what_happened_and_what_a_post_costs():
    arguments = ["simulate", "--seed", "3", "--nodes", "3", "--posts", "5", "--faults", "none"]
    done = CliRunner().invoke(root, arguments)
    assert done.exit_code == 0, done.output
    assert "publish: " in done.stdout
    assert "per post: " in done.stdout
    assert done.stdout.rstrip().endswith("equal: all honest nodes hold the same posts")


def test_many_seeds_are_summed_up_in_one_line():
    arguments = ["simulate", "--seeds", "3", "--nodes", "3", "--posts", "5", "--faults", "light"]
    done = CliRunner().invoke(root, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout == "3 of 3 seeds ended in equal sets\n"


def test_other_seeds_are_other_runs():
    runs = [World(Order(seed, nodes=3, posts=5, faults="none")).run() for seed in (1, 2)]
    assert runs[0].digest != runs[1].digest


def test_no_faults_means_none():
    outcome = World(Order(1, nodes=4, posts=10, faults="none")).run()
    assert outcome.faults == {}
    assert outcome.violation is None


def test_what_is_given_is_not_drawn():
    plan = draw(Order(5, nodes=20, posts=2_000, faults="light"))
    assert (plan.nodes, plan.posts) == (20, 2_000)
    drawn = [draw(Order(seed)) for seed in range(300)]
    assert {plan.nodes for plan in drawn} == set(range(3, 13))
    assert all(20 <= plan.posts <= 300 for plan in drawn)


@pytest.mark.parametrize("order", [Order(1, nodes=1), Order(1, nodes=101), Order(1, faults="odd")])
def test_an_order_out_of_bounds_is_refused(order):
    with pytest.raises(ValueError, match=r"nodes|faults"):
        draw(order)


@pytest.mark.slow
def test_a_hundred_nodes_become_equal():
    outcome = World(Order(1, nodes=100, posts=60, faults="light")).run()
    assert outcome.violation is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_nodes_and_two_thousand_posts_become_equal():
    outcome = World(Order(7, nodes=20, posts=2_000)).run()
    assert outcome.violation is None
