"""`replicator doctor`: runs every check and says, line by line, what is wrong and what to do."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import click

from replicator import bootstrap
from replicator.cli.checks import CHECKS
from replicator.cli.findings import Finding, Subject, guarded
from replicator.cli.home import settings_of
from replicator.cli.output import emit, json_option
from replicator.cli.session import NO_SERVER, log_to_stderr
from replicator.errors import ConfigurationError

_MARKS: Final = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@json_option
@click.pass_obj
def doctor(home: Path, *, as_json: bool) -> None:
    """Check everything this node needs: settings, keys, database, broker, clock, peers, disk.

    Each line says what was found and, where something is wrong, what to do. The exit code is 1
    where a check failed; warnings alone leave it 0.
    """
    log_to_stderr()
    findings = _examine(home)
    if as_json:
        emit([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.level]} {finding.check}: {finding.message}")
            if finding.level != "ok" and finding.advice:
                click.echo(f"     → {finding.advice}")
    if any(finding.level == "fail" for finding in findings):
        raise SystemExit(1)


def _examine(home: Path) -> list[Finding]:
    try:
        settings = settings_of(home)
    except ConfigurationError as error:
        return [Finding("configuration", "fail", str(error))]
    try:
        bootstrap.load_identity(settings)
    except ConfigurationError as error:
        return [Finding("keys", "fail", str(error)), *_all(Subject(settings, None))]
    try:
        # With no server yet the node can still be opened; the check of `work` says so.
        opened = replace(settings, work_url=settings.work_url or NO_SERVER)
        node = bootstrap.open_node(opened)
    except ConfigurationError as error:
        return [Finding("configuration", "fail", str(error)), *_all(Subject(settings, None))]
    try:
        return _all(Subject(settings, node))
    finally:
        bootstrap.close_node(node)


def _all(subject: Subject) -> list[Finding]:
    return [finding for name, check in CHECKS.items() for finding in guarded(name, check, subject)]
