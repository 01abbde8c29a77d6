"""The command line: fuzz targets, replay an input, or keep what was found.

    python -m tests.fuzz                              all targets, a minute each
    python -m tests.fuzz json xml --seconds 600
    python -m tests.fuzz json --runs 100000           so many inputs, however long they take
    python -m tests.fuzz json --replay FILE           judge one input, with its traceback
    python -m tests.fuzz json --keep                  add what is new to the repository's corpus

What is found stands in .fuzz/TARGET/: ``corpus`` and ``crashes``, outside of git.
"""

import argparse
import sys
from pathlib import Path

from tests.fuzz.registry import TARGETS
from tests.fuzz.running import KEPT, ROOT, Outcome, fuzz, keep

HOME = ROOT / ".fuzz"


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit status: 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=_positive, default=60, help="per target; 60 unless told")
    budget.add_argument("--runs", type=_positive, metavar="N", help="inputs per target, instead")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="judge one input")
    parser.add_argument("--keep", action="store_true", help="add new inputs to the corpus")
    given = parser.parse_args(arguments)
    names = given.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if given.replay is not None:
        return _replay(names, given.replay)
    if given.keep:
        for name in names:
            _say(f"{name}: {keep(name, HOME / name)} inputs in {KEPT.relative_to(ROOT)}/{name}")
        return 0
    return max([_run(name, given.seconds, given.runs) for name in names])


def _positive(text: str) -> int:
    # libFuzzer takes 0 seconds for no bound
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _run(name: str, seconds: int, runs: int | None) -> int:
    budget = {"seconds": seconds} if runs is None else {"runs": runs}
    outcome = fuzz(name, HOME / name, **budget)
    begun, reached = outcome.covered
    _say(
        f"{name:<9} {outcome.executed:>9,} inputs, {outcome.added:>5,} new ones kept, "
        f"features {begun:,} -> {reached:,}: {'BROKEN' if outcome.status else 'fine'}"
    )
    if outcome.status:
        _say(_end_of(outcome))
        for crash in outcome.crashes:
            _say(f"see it again: python -m tests.fuzz {name} --replay {crash.relative_to(ROOT)}")
        _say(f"once mended, add the input to {KEPT.relative_to(ROOT)}/{name}/: tests replay it")
    elif outcome.added:
        _say(f"          what is new can be added: python -m tests.fuzz {name} --keep")
    return 1 if outcome.status else 0


def _end_of(outcome: Outcome) -> str:
    before, _, end = outcome.output.rpartition("=== Uncaught Python exception: ===")
    return (end or before)[-4000:]


def _replay(names: list[str], file: Path) -> int:
    for name in names:
        taken = TARGETS[name].judge(file.read_bytes())
        _say(f"{name}: {'taken' if taken else 'refused'}, and every promise holds")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
