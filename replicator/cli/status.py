"""`replicator status`: what this node holds, what runs, what waits, and its peers."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

import click

from replicator.cli.backfill_words import backfill_values, show_backfills
from replicator.cli.equivocations import equivocators_words
from replicator.cli.home import settings_of
from replicator.cli.output import counted, emit, iso, json_option, printable, table
from replicator.cli.peer_words import Standings, progress_words
from replicator.cli.quarantine import waiting_totals, waiting_words
from replicator.cli.session import opened_node
from replicator.cli.up_state import up_state
from replicator.errors import WorkUnavailable
from replicator.node.context import Node
from replicator.node.dead_letters import dead_letters
from replicator.node.ports import Peer

_SHOWN_MAX: Final = 100
_REASON_CHARS_MAX: Final = 160
_CAUSES_MAX: Final = 3
_DEAD_LINES_MAX: Final = 10


@click.command()
@json_option
@click.pass_obj
def status(home: Path, *, as_json: bool) -> None:
    """Show what this node holds and does."""
    with opened_node(home) as node:
        known = node.store.peers()
        state = {**_store_state(node, known), **_work(node, home), "up": _up(home)}
    if as_json:
        emit(state)
    else:
        _show(state)


def _store_state(node: Node, known: list[Peer]) -> dict[str, Any]:
    totals = node.store.totals()
    standings = Standings(node, known)
    return {
        "node_id": node.identity.node_id,
        "address": node.address,
        "pools": sorted(node.identity.pools),
        "posts": totals.posts,
        "bytes": totals.size,
        "full": totals.full,
        "floor": iso(totals.floor) if totals.floor else None,
        "decided": totals.decided,
        "members": _members(node),
        "quarantine": waiting_totals(node),
        "blocks": len(node.store.blocks()),
        "equivocators": [one.node for one in node.store.equivocators()],
        "backfills": [backfill_values(job) for job in node.store.backfills()],
        "last_change": totals.last_change,
        "gaps": totals.gaps,
        "cursor": node.store.end_cursor(),
        "peers": [
            {
                "id": peer.id,
                "address": peer.address,
                "pools": len(peer.pools),
                "behind": max(0, totals.last_change - peer.pushed),
                **standings.described(peer),
            }
            for peer in known
        ],
    }


def _members(node: Node) -> int:
    """Count the members of the pools that are known by their introductions; they are bounded."""
    count, page = 0, node.store.members(limit=node.limits.items_max)
    while page:
        count += len(page)
        page = node.store.members(after=page[-1].node, limit=node.limits.items_max)
    return count


def _work(node: Node, home: Path) -> dict[str, Any]:
    """Return what waits in Redis; where it cannot be asked, None and the reason."""
    if settings_of(home).work_url is None:
        return {"work": None, "work_error": "no Valkey runs for this node: replicator up"}
    try:
        return {"work": _work_state(node), "work_error": None}
    except WorkUnavailable as error:
        return {"work": None, "work_error": str(error).removeprefix("work state: ")}


def _work_state(node: Node) -> dict[str, Any]:
    letters = dead_letters(node)
    return {
        "queued": dict(node.work.queued()),
        "dead_letters": len(letters),
        "newest_dead_letters": [
            {
                "id": letter.ref.id,
                "digest": letter.ref.digest,
                "holder": letter.holder,
                "reason": letter.reason,
                "attempts": letter.attempts,
                "at": iso(letter.at),
            }
            for letter in letters[:_SHOWN_MAX]
        ],
        "refusals": [
            {"at": iso(one.at), "sender": one.sender, "code": one.code, "message": one.message}
            for one in node.work.refusals(_SHOWN_MAX)
        ],
    }


def _up(home: Path) -> dict[str, Any] | None:
    state = up_state(home)
    if state.pid is None:
        return None
    children = {
        name: {"pid": pid, "starts": state.starts[name]} for name, pid in state.children.items()
    }
    return {"pid": state.pid, "children": children}


def _show(state: dict[str, Any]) -> None:
    posts, pools = counted(state["posts"], "post"), counted(len(state["pools"]), "pool")
    click.echo(f"{state['node_id']}: {posts}, {pools}")
    click.echo(f"kept: {_kept(state)}")
    if state["equivocators"]:
        click.echo(f"warning: {equivocators_words(len(state['equivocators']))}")
    up, work = state["up"], state["work"]
    if up is None:
        click.echo("processes: replicator up does not run here")
    else:
        running = ", ".join(
            f"{name} {'dead' if child['pid'] is None else child['pid']}"
            for name, child in up["children"].items()
        )
        click.echo(f"processes: up {up['pid']}, {running}")
    if work is None:
        click.echo(f"work: {printable(state['work_error'], _REASON_CHARS_MAX)}")
    else:
        queued = sum(work["queued"].values())
        click.echo(
            f"work: {counted(queued, 'post')} to fetch, {counted(state['gaps'], 'gap')}, "
            f"{counted(work['dead_letters'], 'dead letter')}, {refused_requests(work['refusals'])}"
        )
        _show_dead(work["newest_dead_letters"])
    table(
        ("PEER", "ADDRESS", "POOLS", "LOG ENTRIES BEHIND", "STATE"),
        (
            (
                peer["id"],
                peer["address"] or "-",
                peer["pools"],
                f"{peer['behind']:,}",
                peer["words"],
            )
            for peer in state["peers"]
        ),
    )
    for peer in state["peers"]:
        if peer["progress"] is not None:
            click.echo(f"catching up with {peer['id']}: {progress_words(peer['progress'])}")
    show_backfills(state["backfills"])


def _kept(state: dict[str, Any]) -> str:
    """Say what is kept, and whether there is room for more."""
    parts = [f"{state['bytes'] / 1024**2:,.1f} MiB of posts"]
    if state["floor"] is not None:
        parts.append(f"none older than {state['floor']}")
    parts.append(f"{state['decided']:,} decided against")
    parts.append(f"{state['members']:,} members known")
    if state["quarantine"]["posts"]:
        parts.append(f"{waiting_words(state['quarantine'])} (replicator posts quarantine)")
    if state["blocks"]:
        parts.append(f"{counted(state['blocks'], 'block')} (replicator posts blocks)")
    if state["full"]:
        parts.append("FULL: no post is taken (replicator doctor)")
    return ", ".join(parts)


def _show_dead(letters: list[dict[str, Any]]) -> None:
    for letter in letters[:_DEAD_LINES_MAX]:
        reason = printable(letter["reason"], _REASON_CHARS_MAX)
        click.echo(
            f"  dead: {letter['id']} from {letter['holder']}: {reason}, "
            f"{counted(letter['attempts'], 'try', 'tries')}"
        )
    if len(letters) > _DEAD_LINES_MAX:
        click.echo("  more of them: replicator status --json")


def refused_requests(refusals: list[dict[str, Any]]) -> str:
    """Say how many requests were refused lately, and the most frequent codes and senders."""
    count = f"{len(refusals)}{' or more' if len(refusals) == _SHOWN_MAX else ''} refused requests"
    by = Counter((one["code"], one["sender"]) for one in refusals).most_common(_CAUSES_MAX)
    causes = (f"{code} from {sender or 'unknown'}: {times}" for (code, sender), times in by)
    return f"{count} ({printable(', '.join(causes), _REASON_CHARS_MAX)})" if by else count
