"""The options that choose posts, the same for `posts` and for the raw verb `pull`."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec

from replicator.protocol.ids import parse_global_id, parse_node_id
from replicator.protocol.messages import Filter

F = TypeVar("F", bound=Callable[..., Any])


class Moment(click.ParamType[int]):
    """A time: ISO 8601 (without a zone: UTC) or whole ms since the Unix epoch; converts to ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return ``value`` in ms since the epoch; a usage error where it is no time."""
        if isinstance(value, int):
            return value
        if str(value).isdecimal():
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither ISO 8601 nor milliseconds", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)


_OPTIONS = (
    click.option("--node", "nodes", multiple=True, help="Only posts of this node (repeatable)."),
    click.option(
        "--except-node", "except_nodes", multiple=True, help="No posts of this node (repeatable)."
    ),
    click.option("--since", type=Moment(), help="Published at this time or later."),
    click.option("--until", type=Moment(), help="Published before this time."),
    click.option("--tag", "tags", multiple=True, help="With any of these tags (repeatable)."),
    click.option(
        "--thread", "threads", multiple=True, help="In this thread, NODE/ID (repeatable)."
    ),
)


def filter_options(command: F) -> F:
    """Give a command the filter options; `filter_of` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filter_of(options: dict[str, Any]) -> Filter | None:
    """Take the filter options out of ``options``; return their filter, None where all are empty.

    Raises:
        Malformed: an id that is none.
        click.UsageError: options that exclude each other, or too many values.
    """
    chosen = {name: options.pop(name) for name in Filter.__struct_fields__}
    if chosen["nodes"] and chosen["except_nodes"]:
        raise click.UsageError("--node and --except-node exclude each other")
    for node in (*chosen["nodes"], *chosen["except_nodes"]):
        parse_node_id(node)
    for thread in chosen["threads"]:
        parse_global_id(thread)
    try:
        wanted = msgspec.convert(chosen, Filter)
    except msgspec.ValidationError as error:
        raise click.UsageError(f"the filter is not allowed: {error}") from error
    return None if wanted == Filter() else wanted
