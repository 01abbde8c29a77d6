"""`replicator publish`: posts from a file of JSON lines into this node, in batches.

A line counts as published only after its batch is committed. Refused lines are told by number;
publishing the same file again is safe where its posts have ids.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from replicator.cli.output import emit, json_option
from replicator.cli.post_lines import Line, opened, read_lines
from replicator.cli.session import opened_node
from replicator.errors import ConfigurationError, Malformed, Unavailable
from replicator.node.context import Node
from replicator.node.publish import Draft, Published, read_draft
from replicator.node.publish import publish as publish_drafts
from replicator.protocol.ids import KeyText, parse_key

BATCH: Final = 500
REPORTED_MAX: Final = 100
"""Refused lines that are told one by one; the rest is counted."""


@dataclass(slots=True)
class Report:
    """What became of the lines so far."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)
    notices: Counter[str] = field(default_factory=Counter)

    def note(self, number: int, result: Published) -> None:
        """Count one result."""
        self.counts[result.status] += 1
        self.notices.update(result.notices)
        if result.reason is not None:
            self._keep(number, f"{result.status}: {result.reason}")

    def refuse(self, number: int, reason: str) -> None:
        """Count a line that is no post."""
        self.counts["refused"] += 1
        self._keep(number, f"refused: {reason}")

    @property
    def failed(self) -> int:
        """Lines that were not taken."""
        return self.counts["refused"] + self.counts["conflict"]

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        names = ("stored", "known", "conflict", "refused")
        return {
            **{name: self.counts[name] for name in names},
            "lines_not_taken": self.refused,
            "notices": dict(self.notices),
        }

    def _keep(self, number: int, reason: str) -> None:
        if len(self.refused) < REPORTED_MAX:
            self.refused.append({"line": number, "reason": reason})


@click.command()
@click.argument("file")
@click.option(
    "--pool", "pools", multiple=True, help="Sign for this pool only (its key; repeatable)."
)
@click.option("--no-pool", is_flag=True, help="Sign with the node key alone.")
@json_option
@click.pass_obj
def publish(home: Path, file: str, pools: tuple[str, ...], *, no_pool: bool, as_json: bool) -> None:
    """Publish the posts of FILE: one JSON object a line, plain or .gz; - is standard input.

    \b
    Fields, all optional:
      id         the post's name within this node; made where it is missing
      title, text, author
      tags       list of strings
      thread     the post this one belongs to (a bare id means one of this node)
      published  ISO 8601 with a zone, or ms since the Unix epoch; now where it is missing

    With an id publishing is idempotent: the same fields again change nothing, other fields are a
    conflict. By default the posts are signed for all pools of this node. The exit code is 1 where
    any line was not taken.
    """
    if no_pool and pools:
        raise click.UsageError("--pool and --no-pool exclude each other")
    report = Report()
    with opened_node(home) as node:
        chosen = _chosen(node, pools, no_pool=no_pool)
        try:
            _publish_file(node, file, chosen, report)
        except Unavailable as error:
            click.echo(_summary(report), err=True)
            raise ConfigurationError(f"stopped early: {error}; publish again to go on") from error
    _tell(report, as_json=as_json)
    if report.failed:
        raise SystemExit(1)


def _chosen(node: Node, pools: tuple[str, ...], *, no_pool: bool) -> list[KeyText] | None:
    if no_pool:
        return []
    chosen = [parse_key(pool) for pool in pools]
    foreign = set(chosen) - node.identity.pools
    if foreign:
        raise ConfigurationError(f"this node holds no key of pool {min(foreign)}")
    return chosen or None


def _publish_file(node: Node, file: str, pools: list[KeyText] | None, report: Report) -> None:
    console = Console(stderr=True)
    columns = (
        TextColumn("publishing"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[posts]:,} posts"),
        TimeRemainingColumn(),
    )
    with (
        opened(file) as (source, size),
        Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task("publishing", total=size, posts=0)
        for batch in _batches(read_lines(source)):
            _publish_batch(node, batch, pools, report)
            progress.update(task, completed=batch[-1].offset, posts=report.counts.total())


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _publish_batch(
    node: Node, batch: list[Line], pools: list[KeyText] | None, report: Report
) -> None:
    numbers: list[int] = []
    drafts: list[Draft] = []
    for line in batch:
        if line.post is None:
            report.refuse(line.number, line.problem or "no post")
            continue
        try:
            drafts.append(read_draft(node.identity.node_id, line.post))
            numbers.append(line.number)
        except Malformed as error:
            report.refuse(line.number, str(error))
    for number, result in zip(numbers, publish_drafts(node, drafts, pools), strict=True):
        report.note(number, result)


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        emit(report.as_json())
        return
    for entry in report.refused:
        click.echo(f"line {entry['line']}: {entry['reason']}", err=True)
    if report.failed > len(report.refused):
        click.echo(f"and {report.failed - len(report.refused)} more lines", err=True)
    for notice, count in report.notices.most_common(10):
        click.echo(f"note: {notice} ({count} posts)", err=True)
    click.echo(_summary(report))


def _summary(report: Report) -> str:
    counts = report.counts
    parts = [f"{counts['stored']:,} stored", f"{counts['known']:,} known already"]
    if counts["conflict"]:
        parts.append(f"{counts['conflict']:,} in conflict")
    if counts["refused"]:
        parts.append(f"{counts['refused']:,} refused")
    return ", ".join(parts)
