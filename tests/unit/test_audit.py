"""The audit: exceptions without a reason are found, and a source that does not answer fails it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from replicator.adapters.loopback import LOOPBACK
from tests.audit import advisories, exceptions
from tests.audit.advisories import Verdict

ROOT = Path(__file__).parents[2]
# written in two parts: the audit reads this file too
MARK = "# " + "noqa"


@pytest.mark.parametrize(
    ("line", "explained"),
    [
        (f"x = 1  {MARK}: S105  # a name", True),
        (f"x = 1  {MARK}: S105 - a name", True),
        (f"x = 1  {MARK}: S105, E501  # a name", True),
        (f"x = 1  {MARK}: S105", False),
        (f"x = 1  {MARK}: E501, S105", False),
        (f"x = 1  {MARK}: S105  #", False),
        (f"x = 1  {MARK}: SIM115", True),
        (f"x = 1  {MARK}", False),
        ("# ruff: " + f"{MARK[2:]}: S101", False),
        ("# flake8: " + f"{MARK[2:]}", False),
        ("# ruff: " + "disable[S602]", False),
        ("# we ignore it", True),
        ("x = 1", True),
    ],
)
def test_an_exception_in_code_needs_a_reason(line, explained):
    assert list(exceptions.unexplained_in_code([line])) == ([] if explained else [(1, line)])


def test_an_exception_in_the_settings_needs_a_reason_on_its_line_or_above():
    lines = [
        "[tool.ruff.lint]",
        "select = [",
        '    "S",',
        "]",
        "ignore = [",
        "    # Names of programs are constants.",
        '    "S603",',
        '    "S404",',
        "]",
        "[tool.ruff.lint.per-file-ignores]",
        '"a/**" = ["S311"]  # seeded',
        '"b/**" = ["S311"]',
        '"c/**" = ["T20"]',
        "[tool.other]",
        'x = ["S1"]',
    ]
    found = [number for number, _ in exceptions.unexplained_in_settings(lines)]
    assert found == [8, 12]


@pytest.fixture
def closed_port():
    """A port of loopback that is taken, and refuses every connection."""
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        yield holder.getsockname()[1]


def package(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "version": "1.0", **more}


def test_a_source_counts_only_where_it_answered_for_every_package():
    known, unknown = package("a", vulns=[]), {"name": "b", "skip_reason": "not found"}
    partly = advisories.judge({"dependencies": [known, unknown]})
    whole = advisories.judge({"dependencies": [known, known]})
    assert (partly.is_whole, whole.is_whole) == (False, True)
    assert not advisories.judge({"dependencies": []}).is_whole
    assert advisories.summary({"pypi": partly})[0] == 2
    assert advisories.summary({"pypi": partly, "osv": whole})[0] == 0


def test_an_advisory_fails_the_audit_even_where_others_were_not_asked_for():
    bad = package("a", vulns=[{"id": "PYSEC-1", "fix_versions": ["1.1"]}])
    verdict = advisories.judge({"dependencies": [bad, {"name": "b", "skip_reason": "x"}]})
    assert advisories.summary({"pypi": verdict}) == (1, ["a 1.0: PYSEC-1, mended in 1.1"])


def test_sources_that_answer_for_nothing_are_told_in_one_sentence():
    status, lines = advisories.summary({"pypi": Verdict(9, 9), "osv": Verdict(0, 0)})
    assert (status, len(lines)) == (2, 1)
    assert "the dependencies are not audited: pypi answered for 0 of 9 packages; osv" in lines[0]


def test_where_no_source_can_be_reached_the_audit_fails(tmp_path, closed_port):
    lock = tmp_path / "some.lock"
    lock.write_text("six==1.17.0 --hash=sha256:" + "0" * 64 + "\n")
    proxy = f"http://{LOOPBACK}:{closed_port}"
    environment = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.audit", "dependencies", str(lock)],
        cwd=ROOT,
        env={**environment, "HTTPS_PROXY": proxy, "HTTP_PROXY": proxy},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "No advisory source could be asked" in ended.stdout
    assert "audit dependencies: FAILED in " in ended.stdout
