"""The roster: members of a pool introduce each other by their signed node documents."""

from replicator.errors import NotSupported
from replicator.node.context import Node
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Answer, Roster


def answer(node: Node, request: Roster, sender: NodeId) -> tuple[Answer, int]:
    """Return the members this node knows; keep the sender's introduction."""
    raise NotSupported("roster")
