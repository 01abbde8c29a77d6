"""`replicator posts quarantine`: posts that wait until their origin is known here."""

from pathlib import Path
from typing import Any, Final

import click

from replicator.cli.output import counted, emit, iso, json_option, table
from replicator.cli.session import opened_node
from replicator.node.context import Node
from replicator.node.ports import WaitingOrigin

_DELIVERERS_SHOWN: Final = 3


@click.command("quarantine")
@json_option
@click.pass_obj
def quarantine(home: Path, *, as_json: bool) -> None:
    """Show posts that wait until their origin is known here, by origin.

    A post counts once for each peer that gave it. They are not held, served or announced. They come
    out by themselves once the key of their origin is pinned (peers add, peers trust), or a pool
    that signed them is joined.
    """
    with opened_node(home) as node:
        waiting = node.store.waiting_origins()
    if as_json:
        emit([_values(one) for one in waiting])
        return
    table(
        ("ORIGIN", "POSTS", "KIB", "SINCE", "GIVEN BY"),
        (
            (one.origin, one.copies, f"{one.size / 1024:,.1f}", iso(one.oldest), _given_by(one))
            for one in waiting
        ),
    )
    if waiting:
        click.echo("to let them out: replicator peers add ADDRESS, with the origin's address")


def _values(one: WaitingOrigin) -> dict[str, Any]:
    return {
        "origin": one.origin,
        "posts": one.copies,
        "bytes": one.size,
        "deliverers": list(one.deliverers),
        "oldest": iso(one.oldest),
    }


def _given_by(one: WaitingOrigin) -> str:
    shown = ", ".join(one.deliverers[:_DELIVERERS_SHOWN])
    more = len(one.deliverers) - _DELIVERERS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def waiting_totals(node: Node) -> dict[str, int]:
    """Return how many posts wait, of how many origins; each deliverer's copy counts."""
    waiting = node.store.waiting_origins()
    return {"posts": sum(one.copies for one in waiting), "origins": len(waiting)}


def waiting_words(totals: dict[str, int]) -> str:
    """Say how many posts wait, and of how many origins."""
    origins = totals["origins"]
    of = "1 unknown origin" if origins == 1 else f"{origins:,} unknown origins"
    return f"{counted(totals['posts'], 'post')} of {of} in quarantine"
