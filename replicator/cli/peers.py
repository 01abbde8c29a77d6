"""`replicator peers`: whom this node speaks with, and under which keys it knows them.

A key is pinned only on the operator's word; what a verb will do is shown before it is done.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from replicator.cli.equivocations import twice_words
from replicator.cli.output import counted, emit, iso, json_option, table
from replicator.cli.peer_adding import add_by_id, add_by_url, url_of
from replicator.cli.peer_trust import trust
from replicator.cli.peer_verbs import flush, pause, probe, resume, resync
from replicator.cli.peer_words import Standings, progress_words
from replicator.cli.session import known_peer, opened_node
from replicator.node import operating
from replicator.node.context import Node
from replicator.node.ports import Member, Peer
from replicator.protocol.ids import NodeId
from replicator.protocol.node_document import keys_of
from replicator.protocol.signing import fingerprint
from replicator.rules.trust import states_at

_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def peers() -> None:
    """Add, show, pause, probe, trust and forget peers."""


for verb in (pause, resume, flush, resync, probe, trust):
    peers.add_command(verb)


@peers.command("add")
@click.argument("target")
@click.argument("address", required=False)
@_YES
@json_option
@click.pass_obj
def add(home: Path, target: str, address: str | None, *, yes: bool, as_json: bool) -> None:
    """Add a peer by its URL, or by its id.

    After an id may stand the ADDRESS where it can be reached. By URL the node's signed document is
    read, its id and the fingerprint of its keys are shown, and its keys are pinned when you agree.
    Compare the fingerprint with the peer's operator, who sees it with: replicator keys list. By id
    nobody is called: a member that others introduced (peers list shows those) is added with the
    address and keys of its introduction, when you agree. Any other one's key is pinned on the first
    message it signs, whoever that is: that is said, and asked, before.
    """
    if ":" in target:
        url_of(target)
    with opened_node(home) as node:
        if "://" not in target:
            add_by_id(node, target, address, yes=yes)
            known = _describe(node, known_peer(node, target))
        elif address is not None:
            raise click.UsageError("a URL stands alone; an id may be followed by an address")
        else:
            known = _describe(node, add_by_url(node, target, yes=yes))
    if as_json:
        emit(known)
    else:
        click.echo(f"{known['id']} is a peer")


@peers.command("list")
@json_option
@click.pass_obj
def list_peers(home: Path, *, as_json: bool) -> None:
    """List all peers, and members of the pools that you may add."""
    with opened_node(home) as node:
        known = _all_described(node, node.store.peers())
        waiting = [_offer(node, member) for member in operating.offered(node)]
    if as_json:
        emit([*known, *waiting])
        return
    table(
        ("ID", "ADDRESS", "POOLS", "KEYS", "STATE"),
        (
            (one["id"], one["address"] or "-", len(one["pools"]), len(one["keys"]), one["words"])
            for one in (*known, *waiting)
        ),
    )


@peers.command("show")
@click.argument("peer")
@json_option
@click.pass_obj
def show(home: Path, peer: str, *, as_json: bool) -> None:
    """Show one peer: address, pools, keys, state."""
    with opened_node(home) as node:
        known = _describe(node, known_peer(node, peer))
    if as_json:
        emit(known)
        return
    for name in ("id", "address", "words", "pushed", "pulled", "clock_offset_ms"):
        value = known[name]
        title = "state" if name == "words" else name
        click.echo(f"{title + ':':17}{'-' if value is None else value}")
    if known["progress"] is not None:
        click.echo(f"{'catching up:':17}{progress_words(known['progress'])}")
    for pool in known["pools"]:
        click.echo(f"{'pool:':17}{pool}")
    for key in known["keys"]:
        end = f" until {key['until']}" if key["until"] and key["state"] == "current" else ""
        click.echo(f"{'key:':17}{key['fingerprint']}  {key['state']}{end}, by {key['source']}")
    if known["equivocations"]:
        click.echo(f"{'warning:':17}{twice_words(known['equivocations'])}")
    if known["blocked"]:
        click.echo(f"{'blocked:':17}none of its own posts is taken (replicator posts blocks)")


@peers.command("forget")
@click.argument("peer")
@_YES
@json_option
@click.pass_obj
def forget(home: Path, peer: str, *, yes: bool, as_json: bool) -> None:
    """Remove PEER; the posts it gave stay.

    Its pins and cursors go, and what waits for it; keys that were revoked here stay revoked. A
    member of a pool comes back by itself where roster is auto and it has other keys. To stop
    calling it for a while: peers pause.
    """
    with opened_node(home) as node:
        known = known_peer(node, peer)
        if not yes:
            click.confirm(_forgotten(node, known.id), abort=True, err=True)
        operating.forget(node, known.id)
    if as_json:
        emit({"peer": known.id, "forgotten": True})
    else:
        click.echo(f"{known.id} is forgotten")


def _forgotten(node: Node, peer: NodeId) -> str:
    revoked = sum(pin.state == "revoked" for pin in node.store.pins(peer))
    kept = f" {counted(revoked, 'revoked key')} of it stay revoked." if revoked else ""
    return f"Forget {peer} and its pinned keys?{kept}"


def _describe(node: Node, peer: Peer) -> dict[str, Any]:
    return _all_described(node, [peer])[0]


def _all_described(node: Node, known: Sequence[Peer]) -> list[dict[str, Any]]:
    standings = Standings(node, known)
    ids = [peer.id for peer in known]
    pins = node.store.all_pins(ids)
    now = node.clock.now()
    flagged = {one.node: one.times for one in node.store.equivocators(ids)}
    blocked = {one.name.value for one in node.store.blocks() if one.name.kind == "node"}
    return [
        {
            "id": peer.id,
            "address": peer.address,
            "added_at": iso(peer.added_at),
            **standings.described(peer),
            "pools": sorted(peer.pools),
            "keys": [
                {
                    "key": pin.key,
                    "fingerprint": fingerprint(pin.key),
                    "state": states_at([pin], now)[pin.key],
                    "until": None if pin.until is None else iso(pin.until),
                    "source": pin.source,
                    "pinned_at": iso(pin.pinned_at),
                }
                for pin in pins.get(peer.id, ())
            ],
            "pushed": peer.pushed,
            "pulled": peer.pulled,
            "clock_offset_ms": peer.clock_offset_ms,
            "equivocations": flagged.get(peer.id, 0),
            "blocked": peer.id in blocked,
        }
        for peer in known
    ]


def _offer(node: Node, member: Member) -> dict[str, Any]:
    """Return a member that waits for the operator's word, in the form of a peer."""
    document = operating.read_introduction(node, member)
    return {
        "id": member.node,
        "address": operating.callable_address(node, document),
        "added_at": None,
        "state": "offered",
        "words": f"offered by its pool; to add it: peers add {member.node}",
        "paused": False,
        "breaker": None,
        "progress": None,
        "pools": sorted(member.pools),
        "keys": [
            {
                "key": key,
                "fingerprint": fingerprint(key),
                "state": "offered",
                "until": None,
                "source": "roster",
                "pinned_at": None,
            }
            for key in keys_of(document)
        ],
        "pushed": 0,
        "pulled": None,
        "clock_offset_ms": 0,
        "equivocations": 0,
        "blocked": False,
    }
