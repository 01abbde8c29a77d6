"""Asks advisory sources about every package of both locks.

A source counts only where it answered for all of them: one that does not know the packages, as a
mirror that keeps no advisories, would look clean. Sources are pip-audit's own, by its names.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SOURCES: Final = ("pypi", "osv")
LOCKS: Final = ("requirements.lock", "requirements-dev.lock")
_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Verdict:
    """What one source said.

    Args:
        asked: packages of the locks; 0 where the source did not answer at all.
        unanswered: how many of them it did not answer for.
        found: one line for each advisory that applies.
    """

    asked: int
    unanswered: int
    found: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the source answered for every package."""
        return self.asked > 0 and self.unanswered == 0


def judge(report: dict[str, Any]) -> Verdict:
    """Return what a report of pip-audit in JSON says."""
    packages = report["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {entry['id']}, mended in "
        f"{', '.join(entry['fix_versions']) or 'no version'}"
        for package in packages
        for entry in package.get("vulns", ())
    ]
    return Verdict(len(packages), sum("skip_reason" in one for one in packages), tuple(found))


def ask(source: str, locks: Sequence[Path]) -> Verdict:
    """Ask one source about all packages of the locks, past any cache."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", source]
        command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--cache-dir", cache]
        command += [part for lock in locks for part in ("--requirement", str(lock))]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
            return judge(json.loads(ended.stdout))
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            return Verdict(0, 0)


def summary(verdicts: dict[str, Verdict]) -> tuple[int, list[str]]:
    """Return the exit status and the lines that say why, from each asked source's verdict.

    0: a source answered for all packages and knows of nothing; 1: advisories apply; 2: no source
    answered for all.
    """
    found = sorted({line for verdict in verdicts.values() for line in verdict.found})
    if found:
        return 1, found
    for source, verdict in verdicts.items():
        if verdict.is_whole:
            return 0, [f"{source} knows of no advisory for the {verdict.asked} packages"]
    told = "; ".join(
        f"{source} answered for {verdict.asked - verdict.unanswered} of {verdict.asked} packages"
        if verdict.asked
        else f"{source} did not answer"
        for source, verdict in verdicts.items()
    )
    return 2, [f"No advisory source could be asked, so the dependencies are not audited: {told}."]


def run(locks: Sequence[Path]) -> tuple[int, list[str]]:
    """Ask the sources in turn until one answers for all packages."""
    verdicts: dict[str, Verdict] = {}
    for source in SOURCES:
        verdicts[source] = ask(source, locks)
        if verdicts[source].is_whole or verdicts[source].found:
            break
    return summary(verdicts)
