"""`replicator policy`: the rules of admission in their order, each with its present setting."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from replicator.cli.home import settings_of
from replicator.cli.output import emit, json_option, table
from replicator.rules.rule import Rule
from replicator.rules.rulebook import STAGES
from replicator.settings import Settings

_LIMIT: Final = "limits."


@click.command()
@click.option("--explain", is_flag=True, help="Say of each rule in a sentence what it asks.")
@json_option
@click.pass_obj
def policy(home: Path, *, explain: bool, as_json: bool) -> None:
    """Show who may ask what and which posts are taken, rule by rule.

    Rules are asked in this order, first of each request, then of each post; the first that refuses
    decides, and its reason is what the other side is told. Settings are those of replicator.toml;
    limits stand in its table [limits].
    """
    settings = settings_of(home)
    rows = list(_rows(settings))
    if as_json:
        emit(rows)
        return
    if explain:
        for row in rows:
            click.echo(f"{row['order']:>2}  {row['rule']} ({row['reason']}): {row['says']}")
            for name, value in row["settings"].items():
                click.echo(f"      {name} = {_shown(value)}")
        return
    table(("#", "OF EACH", "RULE", "REASON", "SETTING"), _lines(rows))


def _rows(settings: Settings) -> Iterator[dict[str, Any]]:
    order = 0
    for stage, rules in STAGES:
        for rule in rules:
            order += 1
            yield {
                "order": order,
                "stage": stage,
                "rule": rule.name,
                "reason": str(rule.reason),
                "says": rule.says,
                "settings": _values(rule, settings),
            }


def _values(rule: Rule[Any], settings: Settings) -> dict[str, Any]:
    return {
        name: getattr(settings.limits, name.removeprefix(_LIMIT))
        if name.startswith(_LIMIT)
        else getattr(settings, name)
        for name in rule.settings
    }


def _lines(rows: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table: one per rule, and one more for each further setting."""
    for row in rows:
        shown = [
            f"{name.removeprefix(_LIMIT)} = {_shown(value)}"
            for name, value in row["settings"].items()
        ]
        first, *more = shown or [""]
        yield str(row["order"]), row["stage"], row["rule"], row["reason"], first
        yield from (("", "", "", "", setting) for setting in more)


def _shown(value: object) -> str:
    if value is None:
        return "no bound"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
