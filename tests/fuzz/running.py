"""Start fuzzers, each a process of its own, and say what they did."""

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.minimising import worth_keeping
from tests.fuzz.registry import TARGETS

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = Path(__file__).parent / "corpus"
"""The corpus in the repository: small, and replayed by the tests."""
_INPUT_SECONDS: Final = 10
_MEMORY_MB: Final = 1024
_KEPT_BYTES_MAX: Final = 2_000
"""Of an input in the repository."""
_COVERAGE: Final = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(frozen=True)
class Outcome:
    """What a fuzzer did.

    Args:
        status: 0, or libFuzzer's status where an input broke a promise.
        executed: inputs that were run.
        added: of these, how many reached something new and were kept.
        covered: features of the code reached by the seeds alone, and at the end.
        crashes: files with inputs that broke a promise.
        output: what the fuzzer wrote.
    """

    status: int
    executed: int
    added: int
    covered: tuple[int, int]
    crashes: tuple[Path, ...]
    output: str


def fuzz(
    name: str,
    folder: Path,
    *,
    seconds: int = 0,
    runs: int = -1,
    seed: int = 0,
    planted: str = "",
) -> Outcome:
    """Fuzz one target until its budget is spent, or an input breaks a promise.

    Args:
        folder: where inputs are kept: ``corpus`` and ``crashes`` below it.
        seconds: until it ends; 0 is no bound.
        runs: inputs until it ends; -1 is no bound.
        seed: of the fuzzer's choices; 0 is a new one each time.
        planted: a bug of `tests.fuzz.planted`, or nothing.
    """
    corpus, crashes = folder / "corpus", folder / "crashes"
    for made in (corpus, crashes):
        made.mkdir(parents=True, exist_ok=True)
    before = set(crashes.iterdir())
    with tempfile.TemporaryDirectory() as seeds:
        _write(Path(seeds), TARGETS[name].seeds())
        options = [
            *([f"-max_total_time={seconds}"] if seconds else []),
            *([f"-seed={seed}"] if seed else []),
            f"-runs={runs}",
            f"-timeout={_INPUT_SECONDS}",
            f"-rss_limit_mb={_MEMORY_MB}",
            f"-artifact_prefix={crashes}/",
            "-print_final_stats=1",
            *([f"--planted={planted}"] if planted else []),
        ]
        done = _start(name, [*options, *_folders(name, corpus, seeds)])
    found = [int(features) for _, features in _COVERAGE.findall(done.stdout)]
    return Outcome(
        done.returncode,
        _stat(done.stdout, "number_of_executed_units"),
        _stat(done.stdout, "new_units_added"),
        (found[0], found[-1]) if found else (0, 0),
        tuple(sorted(set(crashes.iterdir()) - before)),
        done.stdout,
    )


def keep(name: str, folder: Path) -> int:
    """Add to the repository's corpus those inputs in ``folder`` that do something new.

    What the seeds do needs no file: they come from the vectors.

    Returns:
        how many that corpus holds then.
    """
    target = TARGETS[name]
    known = [*target.seeds(), *(file.read_bytes() for file in kept(name))]
    found = [file.read_bytes() for file in (folder / "corpus").glob("*")]
    small = [data for data in found if len(data) <= _KEPT_BYTES_MAX]
    KEPT.joinpath(name).mkdir(parents=True, exist_ok=True)
    _write(KEPT / name, worth_keeping(target, known, small))
    return len(kept(name))


def kept(name: str) -> list[Path]:
    """Return the files of a target's corpus in the repository."""
    return sorted((KEPT / name).iterdir()) if (KEPT / name).is_dir() else []


def _folders(name: str, corpus: Path, seeds: str) -> list[str]:
    # The first is written to
    return [str(one) for one in (corpus, seeds, *([KEPT / name] if kept(name) else []))]


def _write(folder: Path, inputs: Sequence[bytes]) -> None:
    for data in inputs:
        name = hashlib.sha1(data, usedforsecurity=False).hexdigest()  # as libFuzzer names them
        (folder / name).write_bytes(data)


def _start(name: str, options: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.fuzz.guided", name, *options]
    return subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
    )


def _stat(output: str, name: str) -> int:
    found = re.search(rf"stat::{name}:\s+(\d+)", output)
    return int(found[1]) if found else 0
