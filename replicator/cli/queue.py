"""`replicator queue`: posts to fetch, dead letters, and queue entries that were no messages."""

import base64
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from replicator.cli.output import counted, emit, iso, json_option, printable, table
from replicator.cli.session import opened_node
from replicator.node import operating
from replicator.node.context import Node
from replicator.node.ports import DeadLetter, MalformedEntry
from replicator.protocol.ids import NodeId, parse_digest, parse_node_id

F = TypeVar("F", bound=Callable[..., Any])
_REASON_CHARS_MAX: Final = 80


@click.group()
def queue() -> None:
    """Show what waits to be fetched, was given up, or was set aside; try again, or drop."""


@queue.command("list")
@json_option
@click.pass_obj
def list_queue(home: Path, *, as_json: bool) -> None:
    """Count what waits, and dead letters, per peer."""
    with opened_node(home) as node:
        queued = node.work.queued()
        dead = Counter(letter.holder for letter in operating.letters(node))
        paused = {peer.id for peer in node.store.peers() if peer.paused}
    rows = [
        {"peer": peer, "queued": queued.get(peer, 0), "dead": dead[peer], "paused": peer in paused}
        for peer in sorted({*queued, *dead})
    ]
    totals = {"queued": sum(queued.values()), "dead": sum(dead.values())}
    if as_json:
        emit({**totals, "peers": rows})
        return
    click.echo(
        f"{counted(totals['queued'], 'post')} to fetch, {counted(totals['dead'], 'dead letter')}"
    )
    if rows:
        table(("PEER", "TO FETCH", "DEAD", ""), (_row(row) for row in rows))


def _row(row: dict[str, Any]) -> tuple[str, str, str, str]:
    paused = "paused" if row["paused"] else ""
    return row["peer"], f"{row['queued']:,}", f"{row['dead']:,}", paused


@queue.command("dead")
@click.option("--peer", help="Only what was given up towards this peer.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@json_option
@click.pass_obj
def dead(home: Path, peer: str | None, limit: int, *, as_json: bool) -> None:
    """List posts that were given up, newest first.

    A peer named each of them and did not give it. Only posts that this node lacks are shown. A dead
    letter is tried again once a day by itself.
    """
    with opened_node(home) as node:
        letters = operating.letters(node, holder=None if peer is None else parse_node_id(peer))
    if as_json:
        emit([_described(letter) for letter in letters[:limit]])
        return
    for letter in letters[:limit]:
        reason = printable(letter.reason, _REASON_CHARS_MAX)
        click.echo(f"{letter.ref.digest}  {letter.ref.id} from {letter.holder}")
        click.echo(f"  {iso(letter.at)}, {counted(letter.attempts, 'try', 'tries')}: {reason}")
    more = len(letters) - limit
    tail = f", {more:,} of them not shown (--limit)" if more > 0 else ""
    click.echo(f"{counted(len(letters), 'dead letter')}{tail}")


def _described(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.ref.id,
        "digest": letter.ref.digest,
        "holder": letter.holder,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "at": iso(letter.at),
    }


@queue.command("malformed")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--drop", "dropping", is_flag=True, help="Forget all of them.")
@click.option("--yes", is_flag=True, help="Do not ask (only --drop does).")
@json_option
@click.pass_obj
def malformed(home: Path, limit: int, *, dropping: bool, yes: bool, as_json: bool) -> None:
    """List entries of the message queues that were set aside, newest first.

    This node writes none of them: somebody else can write to its broker, or a program is broken.
    They did nothing, and are kept, bounded, to be looked at; --json shows how each begins.
    """
    with opened_node(home) as node:
        count = node.work.count_malformed()
        if dropping:
            if count and not yes:
                click.confirm(f"Forget {_counted_entries(count)}?", abort=True, err=True)
            _say_dropped(node.work.drop_malformed(), as_json=as_json)
            return
        entries = node.work.malformed(limit)
    if as_json:
        emit({"count": count, "entries": [_shown(entry) for entry in entries]})
        return
    for entry in entries:
        reason = printable(entry.reason, _REASON_CHARS_MAX)
        name = printable(entry.queue, _REASON_CHARS_MAX)
        click.echo(f"{iso(entry.at)}  {name}: {reason} ({entry.size:,} bytes)")
    more = count - len(entries)
    tail = f", {more:,} of them not shown (--limit)" if more > 0 else ""
    click.echo(f"{_counted_entries(count)}{tail}")


def _counted_entries(count: int) -> str:
    return counted(count, "malformed entry", "malformed entries")


def _say_dropped(count: int, *, as_json: bool) -> None:
    if as_json:
        emit({"dropped": count})
    else:
        click.echo(f"forgotten: {_counted_entries(count)}")


def _shown(entry: MalformedEntry) -> dict[str, Any]:
    return {
        "at": iso(entry.at),
        "queue": entry.queue,
        "reason": entry.reason,
        "size": entry.size,
        "head_base64": base64.b64encode(entry.head).decode("ascii"),
    }


def _choice(command: F) -> F:
    """Give a command its ways of naming dead letters."""
    every = click.option("--all", "every", is_flag=True, help="All dead letters.")
    peer = click.option("--peer", help="Those of this peer.")
    digests = click.argument("digests", nargs=-1, metavar="[DIGEST]...")
    return digests(peer(every(command)))


@queue.command("requeue")
@_choice
@json_option
@click.pass_obj
def requeue(
    home: Path, digests: tuple[str, ...], peer: str | None, *, every: bool, as_json: bool
) -> None:
    """Try dead letters again now.

    Those of each DIGEST, those of one peer, or all.
    """
    with opened_node(home) as node:
        chosen, holder = _chosen(node, digests, peer, every=every)
        queued = operating.requeue(node, chosen, holder)
    stay = max(0, len(chosen) - queued)
    if as_json:
        emit({"requeued": queued, "left": stay})
        return
    tail = f"; {stay:,} stay dead: the queue of their peer is full" if stay else ""
    click.echo(f"tried again: {counted(queued, 'dead letter')}{tail}")


@queue.command("drop")
@_choice
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def drop(
    home: Path,
    digests: tuple[str, ...],
    peer: str | None,
    *,
    every: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Forget dead letters.

    Those of each DIGEST, those of one peer, or all. The posts stay wanted: when sets are compared
    they may come up, and be tried, again.
    """
    with opened_node(home) as node:
        chosen, holder = _chosen(node, digests, peer, every=every)
        if chosen and not yes:
            click.confirm(f"Forget {counted(len(chosen), 'dead letter')}?", abort=True, err=True)
        dropped = operating.drop(node, chosen, holder)
    if as_json:
        emit({"dropped": dropped})
    else:
        click.echo(f"forgotten: {counted(dropped, 'dead letter')}")


def _chosen(
    node: Node, digests: Collection[str], peer: str | None, *, every: bool
) -> tuple[list[DeadLetter], NodeId | None]:
    """Return the letters that are meant, and the one holder that is meant, if any."""
    if every == bool(digests or peer):
        raise click.UsageError("name dead letters by DIGEST or --peer, or say --all")
    holder = None if peer is None else parse_node_id(peer)
    return operating.letters(node, {parse_digest(text) for text in digests}, holder), holder
