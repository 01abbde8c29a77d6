"""`replicator peers trust`: other keys for a peer, on the operator's word.

Everything is shown before it is done: the peer's keys as they are and as they would be, this node's
own for the operator at the other end, and what is accepted and refused from then on.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from replicator.cli.output import emit, iso, json_option
from replicator.cli.session import known_peer, opened_node
from replicator.errors import ConfigurationError
from replicator.node.contact import introduce
from replicator.node.contact import trust as pin_anew
from replicator.node.context import Node
from replicator.node.ports import Peer, Pin
from replicator.node.rekeying import take_announcement
from replicator.protocol import announcement
from replicator.protocol.announcement import current_keys
from replicator.protocol.ids import KeyText, NodeId, parse_key
from replicator.protocol.node_document import NodeDocument, keys_of
from replicator.protocol.signing import fingerprint
from replicator.rules.trust import current_among, states_at


@click.command()
@click.argument("peer")
@click.argument("keys", nargs=-1)
@click.option(
    "--revoke-others",
    is_flag=True,
    help="Its other keys may be in other hands: posts they sign count no more either.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def trust(
    home: Path,
    peer: str,
    keys: tuple[str, ...],
    *,
    revoke_others: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Pin other keys for PEER.

    That is KEYS, or those that its address gives now. Use it when a peer's operator tells you that
    the node has new keys which this one cannot follow by itself. Compare the fingerprints by phone,
    both ways. A key that is revoked here is taken only where you name it. May be given again: what
    is so already is not changed.
    """
    with opened_node(home) as node:
        known = known_peer(node, peer)
        document = None if keys else _document(node, known)
        before = node.store.pins(known.id)
        wanted = [parse_key(key) for key in keys] or _not_revoked(_current(node, document), before)
        _refuse_own(node, wanted)
        changed = not _is_so(before, wanted, node.clock.now(), revoke_others=revoke_others)
        _show(node, known.id, wanted, before)
        if changed:
            _tell(known.id, wanted, before, revoke=revoke_others)
            if not yes:
                click.confirm(f"Pin these keys for {known.id}?", abort=True, err=True)
            pin_anew(node, known.id, wanted, revoke=revoke_others)
        if document is not None:
            take_announcement(node, document)
        own = sorted(current_among(node.identity.key_states(node.clock.now())))
    if as_json:
        emit({"peer": known.id, "keys": wanted, "changed": changed, "own_keys": own})
    elif changed:
        click.echo(f"{known.id} is trusted under {len(wanted)} keys")
    else:
        click.echo(f"{known.id} was trusted under these keys already: nothing was changed")


def _document(node: Node, peer: Peer) -> NodeDocument:
    if peer.address is None:
        raise ConfigurationError(f"no address is known for {peer.id}: give its keys")
    introduction = introduce(node, peer.address)
    if introduction.node_id != peer.id:
        raise ConfigurationError(
            f"{peer.address} is now {introduction.node_id}, not {peer.id}: nothing is pinned"
        )
    return introduction.document


def _current(node: Node, document: NodeDocument | None) -> list[KeyText]:
    """Return the keys that a document says are current; without an announcement all it lists."""
    if document is None:
        return []
    found = announcement.of_document(document, node.limits)
    listed = keys_of(document)
    current = (
        current_keys(found[0].keys, node.clock.now()) if found is not None else frozenset(listed)
    )
    return [key for key in listed if key in current] or list(listed)


def _not_revoked(wanted: list[KeyText], before: Sequence[Pin]) -> list[KeyText]:
    """Refuse keys that an address gives and that were taken back: a thief would give them."""
    revoked = {pin.key for pin in before if pin.state == "revoked"}
    for key in wanted:
        if key in revoked:
            raise ConfigurationError(
                f"its address gives a key that is REVOKED here ({fingerprint(key)}): somebody may "
                f"play this node with a stolen key. Nothing is pinned; where its operator says by "
                f"another way that it counts, name it: {key}"
            )
    return wanted


def _refuse_own(node: Node, wanted: Sequence[KeyText]) -> None:
    own = {*node.identity.key_states(node.clock.now()), *node.identity.pools}
    for key in wanted:
        if key in own:
            raise ConfigurationError(
                f"{fingerprint(key)} is a key of this node itself: nothing is pinned"
            )


def _is_so(
    pins: Sequence[Pin], wanted: Sequence[KeyText], now: int, *, revoke_others: bool
) -> bool:
    """Tell whether exactly the wanted keys are current, and the others revoked where asked for."""
    states = states_at(pins, now)
    if current_among(states) != set(wanted):
        return False
    return not revoke_others or "retired" not in states.values()


def _show(node: Node, peer: NodeId, wanted: Sequence[KeyText], before: Sequence[Pin]) -> None:
    now = node.clock.now()
    for key, state in node.identity.key_states(now).items():
        if state == "current":
            _line("own:", key, "what the operator there should see of this node")
    states = states_at(before, now)
    for pin in before:
        end = f" until {iso(pin.until)}" if pin.until and states[pin.key] == "current" else ""
        _line("now:", pin.key, f"{states[pin.key]}{end}, by {pin.source}")
    if not before:
        click.echo(f"now:  no key is pinned for {peer}", err=True)
    for key in wanted:
        _line("then:", key, f"pinned now as {states[key]}" if key in states else "new")


def _line(title: str, key: KeyText, words: str) -> None:
    click.echo(f"{title:5} {fingerprint(key)}  {words}", err=True)


def _tell(peer: NodeId, wanted: Sequence[KeyText], before: Sequence[Pin], *, revoke: bool) -> None:
    """Say what will be accepted and refused."""
    others = [pin for pin in before if pin.key not in wanted and pin.state != "revoked"]
    lines = [f"Messages of {peer} will be accepted under the keys after `then` alone."]
    if others and revoke:
        lines.append(
            "Posts of it that are held here stay. Others that only its other keys signed will be\n"
            "refused, whoever brings them: those keys count as revoked."
        )
    elif others:
        lines.append(
            "Posts of it that are held here stay, and others that its other keys signed are still\n"
            "taken from whoever brings them. If such a key may be in other hands, stop here and\n"
            "use --revoke-others."
        )
    if any(pin.key in wanted and pin.state == "revoked" for pin in before):
        lines.append("A key that is REVOKED here would count again: be sure of it.")
    lines.append(
        "What it announces of its keys from then on counts if a key after `then` signed it.\n"
        "What was refused from it, or of it, is asked for again.\n"
        "Read the fingerprints to each other: `then` must be what `keys list` shows there."
    )
    click.echo("\n".join(lines), err=True)
