"""Figures with their targets: what a lane returns, how it is repeated, printed and written."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Args:
        lane: which part of the bench it belongs to.
        name: what was measured.
        unit: of the value.
        runs: the value of each run; the median counts.
        first, goal: the targets; at least that much, or at most where ``at_most`` is set.
    """

    lane: str
    name: str
    unit: str
    runs: tuple[float, ...]
    first: float | None = None
    goal: float | None = None
    at_most: bool = False

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.runs)

    def reaches(self, target: float | None) -> bool | None:
        """Tell whether the median reaches a target; None where there is none."""
        if target is None:
            return None
        return self.value <= target if self.at_most else self.value >= target


def per_second(work: Callable[[], object], items: int, *, seconds: float, runs: int) -> list[float]:
    """Return items per second of each run; a run repeats ``work`` for at least ``seconds``."""
    work()
    rates = []
    for _ in range(runs):
        times, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            work()
            times += 1
        rates.append(times * items / passed)
    return rates


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(figures: Iterable[Figure], console: Console) -> None:
    """Print figures as a table with their targets."""
    table = Table(title="median of the runs against the targets")
    for column in ("lane", "figure", "median", "unit", "first target", "goal", "runs"):
        numeric = column in ("median", "first target", "goal")
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for figure in figures:
        table.add_row(
            figure.lane,
            figure.name,
            _number(figure.value),
            figure.unit,
            _target(figure, figure.first),
            _target(figure, figure.goal),
            " ".join(_number(run) for run in figure.runs),
        )
    console.print(table)


def write(figures: Iterable[Figure], path: Path, *, quick: bool) -> None:
    """Write figures and what they were measured on as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "quick": quick,
        "figures": [
            {
                **asdict(figure),
                "median": figure.value,
                "reaches_first": figure.reaches(figure.first),
                "reaches_goal": figure.reaches(figure.goal),
            }
            for figure in figures
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _target(figure: Figure, target: float | None) -> str:
    if target is None:
        return ""
    sign = "≤" if figure.at_most else "≥"
    mark = "[green]✓[/]" if figure.reaches(target) else "[red]✗[/]"
    return f"{sign} {_number(target)} {mark}"
