"""Short runs of every coverage-guided fuzzer, and bugs planted for them to find.

Long runs are `make fuzz`. The seeds of the fuzzers' choices are fixed here, so that a run that
finds something finds it again.
"""

import re

import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.planted import PLANTED
from tests.fuzz.registry import TARGETS
from tests.fuzz.running import fuzz

RUNS = 1_000
FEW_RUNS = {"frame": 400, "talk": 200}
"""Where one run takes a millisecond and more."""
PLANTED_RUNS = 30_000
PLANTED_SEEDS = range(1, 6)
"""Tried in turn: the first one finds most; each new input of the corpus shifts the chances."""
QUICKLY_FOUND = {"any-integer", "any-tail", "staircase"}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_short_run_reaches_new_code_and_breaks_no_promise(name, tmp_path):
    runs = FEW_RUNS.get(name, RUNS)
    outcome = fuzz(name, tmp_path, runs=runs, seed=1)
    assert outcome.status == 0, outcome.output
    assert outcome.crashes == ()
    assert outcome.executed >= runs
    # what the corpus reaches was seen, and something was added to it: coverage is fed back
    begun, reached = outcome.covered
    assert 0 < begun <= reached, outcome.output
    assert 0 < outcome.added < outcome.executed, outcome.output
    assert any((tmp_path / "corpus").iterdir())


@pytest.mark.parametrize(
    "bug",
    [pytest.param(bug, marks=[pytest.mark.slow] * (bug not in QUICKLY_FOUND)) for bug in PLANTED],
)
def test_a_planted_bug_is_found_and_its_input_kept(bug, tmp_path):
    target, _ = PLANTED[bug]
    for seed in PLANTED_SEEDS:
        outcome = fuzz(target, tmp_path, runs=PLANTED_RUNS, seed=seed, planted=bug)
        if outcome.status:
            break
    assert outcome.status != 0, outcome.output
    (crash,) = outcome.crashes
    # the product itself holds for the input that a broken one failed at
    TARGETS[target].judge(crash.read_bytes())


def test_a_kept_input_is_replayed_by_the_command(tmp_path, capsys):
    file = tmp_path / "input"
    file.write_bytes(b'{"type":"pull","protocol":"1.0","model":{"name":"post","version":"1.0"}}')
    assert main(["json", "--replay", str(file)]) == 0
    assert "json: taken" in capsys.readouterr().out


def test_a_budget_of_inputs_ends_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tests.fuzz.__main__.HOME", tmp_path)
    assert main(["cursor", "--runs", "500"]) == 0
    said = re.search(r"^cursor +([0-9,]+) inputs,.* fine$", capsys.readouterr().out, re.MULTILINE)
    assert said is not None
    assert 500 <= int(said[1].replace(",", "")) < 1_000
    assert any((tmp_path / "cursor" / "corpus").iterdir())


@pytest.mark.parametrize("budget", ["--runs=0", "--seconds=0", "--seconds=-1"])
def test_a_budget_that_would_never_end_is_refused(budget, capsys):
    with pytest.raises(SystemExit):
        main(["cursor", budget])
    assert "must be 1 or more" in capsys.readouterr().err


def test_an_unknown_target_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "there are json" in capsys.readouterr().err
