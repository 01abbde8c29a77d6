"""`replicator status`: what this node holds, what runs, what waits, and its peers."""

from pathlib import Path
from typing import Any, Final

import click

from replicator.cli.output import emit, json_option, printable, table
from replicator.cli.session import opened_node
from replicator.cli.up_state import up_state
from replicator.errors import WorkUnavailable
from replicator.node.context import Node
from replicator.node.dead_letters import dead_letters

_SHOWN_MAX: Final = 100


@click.command()
@json_option
@click.pass_obj
def status(home: Path, *, as_json: bool) -> None:
    """Show what this node holds and does."""
    with opened_node(home) as node:
        state = {**_store_state(node), "work": _work_state(node), "up": _up(home)}
    if as_json:
        emit(state)
    else:
        _show(state)


def _store_state(node: Node) -> dict[str, Any]:
    totals = node.store.totals()
    return {
        "node_id": node.identity.node_id,
        "address": node.address,
        "pools": sorted(node.identity.pools),
        "posts": totals.posts,
        "last_change": totals.last_change,
        "gaps": totals.gaps,
        "cursor": node.store.end_cursor(),
        "peers": [
            {
                "id": peer.id,
                "address": peer.address,
                "pools": len(peer.pools),
                "behind": max(0, totals.last_change - peer.pushed),
                "paused": peer.paused,
            }
            for peer in node.store.peers()
        ],
    }


def _work_state(node: Node) -> dict[str, Any] | None:
    """Return what waits in Redis, or None where it does not answer."""
    try:
        peers = [peer.id for peer in node.store.peers()]
        return {
            "queued": dict(node.work.queued()),
            "dead_letters": len(dead_letters(node)),
            "health": {
                peer: {"failures": health.failures, "reason": health.reason}
                for peer in peers
                if (health := node.work.health(peer)).failures
            },
            "refusals": [
                {"at": one.at, "sender": one.sender, "code": one.code, "message": one.message}
                for one in node.work.refusals(_SHOWN_MAX)
            ],
        }
    except WorkUnavailable:
        return None


def _up(home: Path) -> dict[str, Any] | None:
    state = up_state(home)
    if state.pid is None:
        return None
    children = {
        name: {"pid": pid, "starts": state.starts[name]} for name, pid in state.children.items()
    }
    return {"pid": state.pid, "children": children}


def _show(state: dict[str, Any]) -> None:
    click.echo(f"{state['node_id']}: {state['posts']:,} posts, {len(state['pools'])} pools")
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
        click.echo("work: Redis or Valkey does not answer")
    else:
        click.echo(
            f"work: {sum(work['queued'].values()):,} posts to fetch, {state['gaps']:,} gaps, "
            f"{work['dead_letters']} dead letters, {len(work['refusals'])} refused requests"
        )
    failing = {} if work is None else work["health"]
    table(
        ("PEER", "ADDRESS", "POOLS", "LOG ENTRIES BEHIND", "STATE"),
        (
            (
                peer["id"],
                peer["address"] or "-",
                peer["pools"],
                f"{peer['behind']:,}",
                _peer_state(peer, failing.get(peer["id"])),
            )
            for peer in state["peers"]
        ),
    )


def _peer_state(peer: dict[str, Any], failing: dict[str, Any] | None) -> str:
    if peer["paused"]:
        return "paused"
    if failing is None:
        return "well"
    return f"{failing['failures']} failures: {printable(failing['reason'], 50)}"
