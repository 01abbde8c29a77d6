"""What every command prints with: JSON for programs, short tables and times for people.

Standard output carries the result, standard error everything else.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command ``--json`` as the parameter ``as_json``."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
    return option(command)


def emit(value: object) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def emit_line(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under titles, columns padded to their widest cell."""
    cells = [tuple(titles), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def counted(number: int, one: str, more: str | None = None) -> str:
    """Return a number with its noun: ``1 post``, ``2,000 posts``, ``3 tries``."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def iso(ms: int) -> str:
    """Return a time in ms since the epoch as ISO 8601 in UTC."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"  # beyond the year 9999, which the protocol allows
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(text: str, width: int) -> str:
    """Return text of strangers fit for a terminal: one line, no control characters, cut."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= width else clean[: width - 1] + "…"
