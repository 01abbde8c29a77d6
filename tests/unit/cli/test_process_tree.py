"""Processes are found, measured and ended by what they are, not by their number."""

import os
import subprocess
from dataclasses import replace

from replicator.cli import process_tree


def test_a_name_with_parentheses_and_spaces_does_not_confuse(tmp_path):
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([odd, "600"])
    try:
        seen = process_tree.look(process.pid)
        assert seen is not None
        assert seen.parent == os.getpid()
        assert process_tree.is_alive(seen)
    finally:
        process.kill()
        process.wait()
    assert not process_tree.is_alive(seen)


def test_a_zombie_is_dead():
    process = subprocess.Popen(["true"])
    seen = process_tree.look(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert seen is not None
    assert not process_tree.is_alive(seen)
    process.wait()


def test_a_process_of_the_same_number_that_began_later_is_spared():
    process = subprocess.Popen(["sleep", "600"])
    try:
        seen = process_tree.look(process.pid)
        assert seen is not None
        process_tree.kill([replace(seen, started=seen.started - 1)])
        assert process.poll() is None
        process_tree.kill([seen])
        assert process.wait(timeout=5) == -9
    finally:
        process.kill()
        process.wait()


def test_memory_is_counted_and_the_vanished_count_nothing():
    assert process_tree.proportional_bytes([os.getpid()]) > 1_000_000
    assert process_tree.proportional_bytes([2**22 + 1]) == 0
