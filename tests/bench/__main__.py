"""`python -m tests.bench [LANE…]`: measure, print a table with the targets, write bench.json."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from tests.bench import catchup, growth, parts, reconcile, requests, spread
from tests.bench.figures import Figure, show, write
from tests.bench.servers import DATABASES, Servers

_FILE_COLUMNS = 140
LANES = ("parts", "catchup", "spread", "requests", "reconcile", "growth")
OUTPUT = Path(__file__).parents[2] / "build" / "bench.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the lanes asked for (all of them by default)."""
    options = _parser().parse_args(arguments)
    lanes = options.lanes or LANES
    unknown = set(lanes) - set(LANES)
    if unknown:
        raise SystemExit(
            f"no such lane: {', '.join(sorted(unknown))}; there are {', '.join(LANES)}"
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_COLUMNS)
    figures: list[Figure] = []
    with Servers() as servers:
        try:
            for figure in _figures(options, lanes, servers, console):
                figures.append(figure)
                console.print(f"{figure.lane}: {figure.name}: {figure.value:,.4g} {figure.unit}")
        finally:
            if figures:
                show(figures, console)
                write(figures, options.output, quick=options.quick)
                console.print(f"written to {options.output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("lanes", nargs="*", metavar="LANE", help=", ".join(LANES))
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one run of each")
    parser.add_argument(
        "--posts", type=int, help="posts of catchup (50,000) and reconcile (1,000,000)"
    )
    parser.add_argument("--runs", type=int, help="runs of which the median counts (3)")
    parser.add_argument("--seconds", type=float, help="length of the load of spread (12)")
    parser.add_argument("--database", choices=DATABASES, action="append", dest="databases")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser


def _figures(
    options: argparse.Namespace, lanes: Sequence[str], servers: Servers, console: Console
) -> Iterator[Figure]:
    quick = options.quick
    runs = options.runs or (1 if quick else 3)
    posts = options.posts or (5_000 if quick else 50_000)
    databases = tuple(options.databases or DATABASES)
    measured: parts.Parts | None = None
    if "parts" in lanes:
        measured = parts.measure(
            servers, databases, seconds=0.1 if quick else 0.5, runs=3 if quick else 5
        )
        yield from measured.figures
    if "catchup" in lanes:
        for database in databases:
            yield from catchup.measure(servers, database, measured, console, posts=posts, runs=runs)
    if "spread" in lanes:
        seconds = options.seconds or (4.0 if quick else 12.0)
        load = 1_500 if quick else 9_000
        yield from spread.measure(servers, console, seconds=seconds, posts=load, runs=runs)
    if "requests" in lanes:
        yield from requests.measure(servers, runs=runs)
    if "growth" in lanes:
        sizes = (10_000, 60_000 if quick else 1_000_000)
        for database in databases:
            yield from growth.measure(servers, database, console, sizes)
    if "reconcile" in lanes:
        held = options.posts or (20_000 if quick else 1_000_000)
        yield from reconcile.measure(servers, console, posts=held, runs=runs)


if __name__ == "__main__":
    main()
