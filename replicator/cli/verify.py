"""`replicator verify`: whether a peer's set of posts and ours are equal, and where they differ.

It asks and shows; it repairs nothing and changes nothing, here or there.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from replicator.cli.output import emit, iso, json_option, table
from replicator.cli.session import known_peer, opened_node
from replicator.errors import ConfigurationError, PeerRefused
from replicator.node.comparing import UNSUPPORTED, Difference, compare
from replicator.node.context import Node
from replicator.node.conversation import Heard, hear
from replicator.node.pages import refs_of
from replicator.node.ports import Peer
from replicator.protocol.ids import Digest, KeyText, parse_key
from replicator.protocol.messages import Get, GetAnswer, Request
from replicator.protocol.post import Ref

_SECONDS: Final = 60.0
"""How long one pool is compared; what was found by then is shown."""
_SHOWN: Final = 5
"""Posts named per side."""
_WINDOWS: Final = {"hour": len("2024-01-31T23"), "day": len("2024-01-31"), "month": len("2024-01")}
"""Kinds of windows → how much of an ISO time names one."""


@dataclass(frozen=True, slots=True)
class _Side:
    """What one side lacks: how many posts, and those of them that are known by more than digest."""

    count: int
    refs: Sequence[Ref]


@click.command()
@click.argument("peer")
@click.option("--pool", help="Only within this pool (its key).")
@click.option(
    "--by",
    type=click.Choice(tuple(_WINDOWS)),
    default="day",
    show_default=True,
    help="Windows of time, in UTC, in which differences are counted.",
)
@json_option
@click.pass_context
def verify(ctx: click.Context, peer: str, pool: str | None, by: str, *, as_json: bool) -> None:
    """Tell whether PEER (a node id) and this node hold the same posts; repair nothing.

    Within each shared pool the two sets are compared: posts held, and posts decided against; not
    what one of both does not keep any more (its floor). Shown is how many each side lacks, in which
    windows of time those were published, and the first few.

    Exit code: 0 the sets are equal, 1 they differ, or could not be compared.
    """
    with opened_node(ctx.obj) as node:
        known = known_peer(node, peer)
        found = [_compared(node, known, key, by) for key in _pools(node, known, pool)]
    if as_json:
        emit({"peer": peer, "equal": all(one["equal"] for one in found), "pools": found})
    else:
        for one in found:
            _show(one)
    if not all(one["equal"] for one in found):
        ctx.exit(1)


def _pools(node: Node, peer: Peer, asked: str | None) -> list[KeyText]:
    shared = node.identity.reach(peer.pools)
    if asked is not None:
        key = parse_key(asked)
        if key not in node.identity.reach(node.identity.pools):
            raise ConfigurationError(f"{asked} is no pool of this node; see: replicator keys list")
        return [key]
    if not shared:
        raise ConfigurationError(f"{peer.id} has proved no pool that this node is in")
    return sorted(shared)


def _asked(node: Node, peer: Peer, request: Request) -> Heard:
    """Ask without a breaker: the operator wants to know now, and nothing is noted."""
    return hear(node, peer, request)


def _compared(node: Node, peer: Peer, pool: KeyText, by: str) -> dict[str, Any]:
    deadline = node.clock.monotonic() + _SECONDS
    try:
        found = compare(node, peer, pool, deadline=deadline, asking=_asked)
    except PeerRefused as refusal:
        if refusal.code != UNSUPPORTED:
            raise
        raise ConfigurationError(
            f"{peer.id} cannot compare sets (it answers reconcile with: not supported); "
            "its whole log is read once a day instead"
        ) from refusal
    here = _Side(len(found.need), _asked_refs(node, peer, found.need))
    there = _Side(len(found.have), _own_refs(node, found))
    return {
        "pool": pool,
        "since": iso(found.since) if found.since else None,
        "equal": found.is_none,
        "complete": found.complete,
        "rounds": found.rounds,
        "bytes": found.sent + found.received,
        "here": _described(here, by),
        "there": _described(there, by),
    }


def _asked_refs(node: Node, peer: Peer, digests: Sequence[Digest]) -> list[Ref]:
    """Return what the peer says of posts that this node lacks."""
    refs: list[Ref] = []
    for batch in _batches(digests, node.limits.items_max):
        answer = _asked(node, peer, Get(digests=batch, want="refs")).answer
        given = refs_of(answer.refs or ()) if isinstance(answer, GetAnswer) else ()
        asked = set(batch)
        refs += [ref for ref in given if ref.digest in asked]
    return refs


def _own_refs(node: Node, found: Difference) -> list[Ref]:
    batches = _batches(found.have, node.limits.items_max)
    return [ref for batch in batches for ref in node.store.refs(digests=batch)]


def _batches(digests: Sequence[Digest], size: int) -> Iterable[tuple[Digest, ...]]:
    return (tuple(digests[at : at + size]) for at in range(0, len(digests), size))


def _described(side: _Side, by: str) -> dict[str, Any]:
    refs = sorted(side.refs, key=lambda ref: (ref.published, ref.id))
    windows = Counter(iso(ref.published)[: _WINDOWS[by]] for ref in refs)
    return {
        "lacking": side.count,
        "decided": side.count - len(refs),
        "windows": dict(windows),
        "first": [
            {"id": ref.id, "digest": ref.digest, "published": iso(ref.published)}
            for ref in refs[:_SHOWN]
        ],
    }


def _show(one: dict[str, Any]) -> None:
    click.echo(f"pool {one['pool']}")
    since = f", of posts dated since {one['since']}" if one["since"] else ""
    if one["equal"]:
        click.echo(f"  the sets are equal{since}")
        return
    here, there = one["here"], one["there"]
    if not one["complete"]:
        click.echo("  the comparison met a bound: at least this differs")
    click.echo(f"  lacking here: {_count(here)}; lacking there: {_count(there)}{since}")
    names = sorted(here["windows"].keys() | there["windows"].keys())
    if names:
        rows = ((at, here["windows"].get(at, 0), there["windows"].get(at, 0)) for at in names)
        titles = ("  PUBLISHED (UTC)", "LACKING HERE", "LACKING THERE")
        table(titles, ((f"  {at}", *rest) for at, *rest in rows))
    for side, lacking in (("here", here), ("there", there)):
        for post in lacking["first"]:
            click.echo(f"  lacking {side}: {post['published']}  {post['id']}")


def _count(side: dict[str, Any]) -> str:
    plain = f"{side['lacking']:,} {'post' if side['lacking'] == 1 else 'posts'}"
    return f"{plain} ({side['decided']:,} decided against)" if side["decided"] else plain
