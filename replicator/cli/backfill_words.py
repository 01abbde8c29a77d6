"""Backfills in words for people and in values for programs."""

from collections.abc import Sequence
from typing import Any, Final

import click

from replicator.cli.output import counted, iso, printable
from replicator.node.backfill import WHOLE
from replicator.node.ports import Backfill

_SHOWN_MAX: Final = 10
_REASON_CHARS_MAX: Final = 160


def backfill_values(job: Backfill) -> dict[str, Any]:
    """Return a backfill for programs."""
    return {
        "peer": job.peer,
        "reason": job.reason,
        "everything": job.query in WHOLE,
        "since": iso(job.created_at),
        "posts": job.posts,
        "remaining": job.remaining,
    }


def show_backfills(backfills: Sequence[dict[str, Any]]) -> None:
    """Say how far backfills have got, the oldest first; of many a few."""
    for job in backfills[:_SHOWN_MAX]:
        reason = printable(job["reason"], _REASON_CHARS_MAX)
        wanted = " for everything" if job["everything"] else ""
        head = f"looking again through the log of {job['peer']}{wanted} ({reason})"
        click.echo(f"{head}: {_progress(job)}")
    if len(backfills) > _SHOWN_MAX:
        click.echo(f"and {len(backfills) - _SHOWN_MAX:,} more")


def _progress(job: dict[str, Any]) -> str:
    if job["remaining"] is None:
        return "not begun"
    return f"{counted(job['posts'], 'post')} so far, {job['remaining']:,} log entries left"
