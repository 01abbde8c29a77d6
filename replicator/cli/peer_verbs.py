"""What an operator does to one peer: pause, resume, flush, resync and probe (`replicator peers`).

Each may be given twice, and says in one line what it did.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from replicator.cli.output import counted, emit, json_option, printable
from replicator.cli.session import known_peer, opened_node
from replicator.node import operating
from replicator.node.probing import Probed
from replicator.node.probing import probe as ask_now


@click.command()
@click.argument("peer")
@json_option
@click.pass_obj
def pause(home: Path, peer: str, *, as_json: bool) -> None:
    """Stop calling PEER until you resume it.

    Nothing is sent to it, fetched from it or compared with it. Nothing is lost by that: what it
    misses waits. It may still call this node, and is answered. What runs now ends within seconds.
    """
    with opened_node(home) as node:
        known = known_peer(node, peer)
        changed = operating.pause(node, known.id)
    undo = f"undo: replicator peers resume {known.id}"
    said = f"is paused; {undo}" if changed else f"was paused already; {undo}"
    _say(as_json, f"{known.id} {said}", peer=known.id, paused=True, changed=changed)


@click.command()
@click.argument("peer")
@json_option
@click.pass_obj
def resume(home: Path, peer: str, *, as_json: bool) -> None:
    """Call PEER again, at once.

    Whatever its failures were before is forgiven.
    """
    with opened_node(home) as node:
        known = known_peer(node, peer)
        changed = operating.resume(node, known.id)
    said = "is called again" if changed else "was not paused; what waits for it is tried now"
    _say(as_json, f"{known.id} {said}", peer=known.id, paused=False, changed=changed)


@click.command()
@click.argument("peer")
@json_option
@click.pass_obj
def flush(home: Path, peer: str, *, as_json: bool) -> None:
    """Try everything that waits for PEER now.

    Nothing is dropped. Use it when you know that a peer is back: its failures are forgiven, and its
    lane, its fetch queue, its pull and its repair are due at once.
    """
    with opened_node(home) as node:
        known = known_peer(node, peer)
        flushed = operating.flush(node, known.id)
    said = (
        f"{known.id} is tried now: {counted(flushed.queued, 'post')} to fetch "
        f"({flushed.hastened:,} had to wait), "
        f"{counted(flushed.behind, 'log entry', 'log entries')} to look at"
    )
    _say(as_json, said, peer=known.id, **asdict(flushed))


@click.command()
@click.argument("peer")
@json_option
@click.pass_obj
def resync(home: Path, peer: str, *, as_json: bool) -> None:
    """Compare everything with PEER anew.

    Its log is read from the start, and the sets of posts are compared. Use it when you do not trust
    what both believe they have: after a restore, or a defect. Posts that are held are not sent
    again; each costs a line of about 150 bytes.
    """
    with opened_node(home) as node:
        known = known_peer(node, peer)
        starts = operating.resync(node, known.id)
    when = "now" if starts else f"once it is resumed: replicator peers resume {known.id}"
    said = f"{known.id}: its log is read from the start, and the sets are compared, {when}"
    _say(as_json, said, peer=known.id, starts_now=starts)


@click.command()
@click.argument("peer")
@json_option
@click.pass_context
def probe(ctx: click.Context, peer: str, *, as_json: bool) -> None:
    """Call PEER now and say how it answers.

    It is called whatever happened before. A good answer ends its back-off; a bad one changes
    nothing. Exit code: 0 it answered well, 1 it did not.
    """
    with opened_node(ctx.obj) as node:
        known = known_peer(node, peer)
        probed = ask_now(node, known)
        window_ms = node.limits.window_seconds * 1000
    well = probed.end is None and probed.key != "changed"
    if as_json:
        emit({"peer": known.id, "well": well, **asdict(probed)})
    else:
        _show(known.id, probed, window_ms)
    if not well:
        ctx.exit(1)


def _show(peer: str, probed: Probed, window_ms: int) -> None:
    if probed.end is None:
        click.echo(f"{peer} answers well at {probed.address}, in {probed.round_trip_ms} ms")
    else:
        reason = printable(probed.reason, 300)
        click.echo(f"{peer} at {probed.address}: {probed.end}: {reason}")
    click.echo(f"  {_key_words(peer, probed)}")
    if probed.clock_ms is not None:
        apart = probed.clock_ms / 1000
        side = "ahead" if apart > 0 else "behind"
        advice = ": let both machines keep time by NTP" if abs(probed.clock_ms) > window_ms else ""
        click.echo(f"  its clock is {abs(apart):.1f} s {side}{advice}")
    if probed.types:
        click.echo(f"  it answers: {', '.join(probed.types)}")


def _key_words(peer: str, probed: Probed) -> str:
    match probed.key:
        case "pinned":
            return "its key is the one that is pinned"
        case "new":
            return "no key was pinned for it before"
        case "changed":
            return (
                f"its key is NOT the one that is pinned; ask its operator, then: peers trust {peer}"
            )
        case "unknown":
            return "its key was not seen"


def _say(as_json: bool, line: str, **values: Any) -> None:  # noqa: FBT001  # passed on from click
    if as_json:
        emit(values)
    else:
        click.echo(line)
