"""`replicator posts equivocations`: who signed two contents under one id, with the proof."""

import json
from pathlib import Path
from typing import Any

import click

from replicator.cli.output import counted, emit, iso, json_option, table
from replicator.cli.session import opened_node
from replicator.node.context import Node
from replicator.node.ports import Equivocation, Equivocator
from replicator.protocol.ids import KeyText, NodeId, origin_of
from replicator.protocol.post import Post


@click.command()
@json_option
@click.pass_obj
def equivocations(home: Path, *, as_json: bool) -> None:
    """Show origins that published two contents under one id.

    Of the two, every node keeps the one with the smaller digest. With --json both contents come
    with their signatures, so that anybody can verify them. SIGNED BY tells whether a key pinned for
    the origin signed both ("origin"), or a pool's key alone vouches for one: then any member of
    that pool may have made it. "one each" is a forgery: the origin is known, its key signed only
    one of them, and that one is kept whatever its digest.
    """
    with opened_node(home) as node:
        flagged = node.store.equivocators()
        proofs = node.store.equivocations()
        pins = _pins(node, proofs)
    if as_json:
        emit(
            {
                "origins": [_origin_values(one) for one in flagged],
                "evidence": [_values(one, pins) for one in proofs],
            }
        )
        return
    table(
        ("ORIGIN", "TIMES", "FIRST SEEN", "LAST SEEN"),
        ((one.node, f"{one.times:,}", iso(one.first_at), iso(one.last_at)) for one in flagged),
    )
    if proofs:
        click.echo()
        table(
            ("ID", "KEPT", "LOST", "SIGNED BY", "SEEN"),
            (
                (one.id, one.kept[:16], one.lost.digest[:16], _signer(one, pins), iso(one.noted_at))
                for one in proofs
            ),
        )


def equivocators_words(count: int) -> str:
    """Say how many origins are flagged, and where to look."""
    origins = counted(count, "origin")
    return f"{origins} published two contents under one id (replicator posts equivocations)"


def twice_words(times: int) -> str:
    """Say how often one origin was seen to equivocate."""
    contents = "a second content" if times == 1 else f"{times:,} further contents"
    return f"published {contents} under ids of its own (replicator posts equivocations)"


def _pins(node: Node, proofs: list[Equivocation]) -> dict[NodeId, set[KeyText]]:
    origins = {origin_of(one.id) for one in proofs}
    found = {
        origin: {pin.key for pin in pins} for origin, pins in node.store.all_pins(origins).items()
    }
    found[node.identity.node_id] = {*node.identity.public_node_keys}
    return found


def _signer(one: Equivocation, pins: dict[NodeId, set[KeyText]]) -> str:
    keys = pins.get(origin_of(one.id), set())
    posts = [post for post in (one.kept_post, one.lost) if post is not None]
    by_origin = sum(any(map(post.signed_by, keys)) for post in posts)
    if by_origin == len(posts):
        return "origin"
    return "one each" if by_origin else "pool"


def _origin_values(one: Equivocator) -> dict[str, Any]:
    return {
        "node": one.node,
        "times": one.times,
        "first_at": iso(one.first_at),
        "last_at": iso(one.last_at),
    }


def _values(one: Equivocation, pins: dict[NodeId, set[KeyText]]) -> dict[str, Any]:
    return {
        "id": one.id,
        "seen_at": iso(one.noted_at),
        "signed_by": _signer(one, pins),
        "kept": {"digest": one.kept, **_signed(one.kept_post)},
        "lost": {"digest": one.lost.digest, **_signed(one.lost)},
    }


def _signed(post: Post | None) -> dict[str, Any]:
    if post is None:
        return {"content": None, "signatures": []}
    return {
        "content": json.loads(post.canonical),
        "signatures": [{"key": each.key, "value": each.value} for each in post.signatures],
    }
