"""How `replicator peers add` adds a peer: what is known of it is shown, then it asks."""

from collections.abc import Collection

import click

from replicator.cli.session import known_peer
from replicator.errors import ConfigurationError
from replicator.node import operating
from replicator.node.contact import Introduction, accept, introduce
from replicator.node.context import Node
from replicator.node.ports import Peer
from replicator.protocol.ids import KeyText, NodeId, parse_node_id
from replicator.protocol.node_document import NodeDocument, keys_of
from replicator.protocol.signing import fingerprint


def add_by_id(node: Node, target: str, address: str | None, *, yes: bool) -> None:
    """Add a node by its id: a member with the keys it is introduced with, others without keys."""
    peer_id = _not_ourselves(node, parse_node_id(target))
    given = address and url_of(address)
    operating.require_callable(node, given)
    pinned = any(pin.state != "revoked" for pin in node.store.pins(peer_id))
    document = None if pinned else operating.introduced(node, peer_id)
    if document is not None:
        _show_document(document, given or operating.callable_address(node, document), ())
        if not yes:
            click.confirm("Add this member of the pool and pin its keys?", abort=True, err=True)
    elif not pinned and node.store.peer(peer_id) is None:
        _tell_unknown(peer_id)
        if not yes:
            click.confirm("Add it?", abort=True, err=True)
    operating.add(node, peer_id, given, document)


def _tell_unknown(peer_id: NodeId) -> None:
    click.echo(
        f"No key of {peer_id} is known here. The first key that signs a message under this id\n"
        "will be pinned for it, whoever that is. To compare a fingerprint before, add it by URL;\n"
        f"to compare it afterwards: peers show {peer_id}.",
        err=True,
    )


def add_by_url(node: Node, url: str, *, yes: bool) -> Peer:
    """Add the node that answers at a URL and pin its keys."""
    introduction = introduce(node, url_of(url))
    _not_ourselves(node, introduction.node_id)
    _show_introduction(introduction)
    if not yes:
        click.confirm("Add this peer and pin its keys?", abort=True, err=True)
    accept(node, introduction)
    return known_peer(node, introduction.node_id)


def _show_introduction(introduction: Introduction) -> None:
    _show_document(introduction.document, introduction.address, introduction.pinned)


def _show_document(
    document: NodeDocument, address: str | None, pinned: Collection[KeyText]
) -> None:
    click.echo(f"node:        {document.id}", err=True)
    click.echo(f"address:     {address or 'none: it calls us'}", err=True)
    for key in keys_of(document):
        known = " (pinned already)" if key in pinned else ""
        click.echo(f"fingerprint: {fingerprint(key)}{known}", err=True)


def _not_ourselves(node: Node, peer_id: NodeId) -> NodeId:
    if peer_id == node.identity.node_id:
        raise ConfigurationError(f"{peer_id} is this node itself")
    return peer_id


def url_of(text: str) -> str:
    """Return a base URL; fail on what is none."""
    if not text.startswith(("http://", "https://")):
        raise click.UsageError(f"{text} is no address: http:// or https:// is needed")
    return text.rstrip("/")
