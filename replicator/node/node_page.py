"""What this node says of itself at GET /v1/node, signed by all of its keys.

Reads nothing but the node's own configuration, its clock and its floor.
"""

from replicator.node.context import Node
from replicator.protocol import codec, node_document
from replicator.protocol.messages import PROTOCOL_VERSION, REQUEST_TYPES, Model


def current(node: Node) -> codec.Tree:
    """Return the signed node document of this moment, as a tree for `codec.encode`.

    Raises:
        StoreUnavailable: the floor cannot be read.
    """
    identity = node.identity
    document = node_document.NodeDocument(
        id=identity.node_id,
        keys=tuple(key.public for key in identity.node_keys),
        # named is what signs it: a process without private pool keys names none
        pools=tuple(key.public for key in identity.pool_keys),
        protocols=(PROTOCOL_VERSION,),
        models=(Model(),),
        types=tuple(kind for kind in REQUEST_TYPES if kind not in _turned_off(node)),
        features=(),
        limits=node_document.limits_of(node.limits),
        addresses=() if node.address is None else (node.address,),
        time=node.clock.now(),
        floor=node.store.floor(),
        announcement=None if identity.announced is None else identity.announced.tree,
    )
    return node_document.make(document, (*identity.node_keys, *identity.pool_keys))


def _turned_off(node: Node) -> set[str]:
    """Return the request types that this node's operator does not want answered."""
    chosen = {"reconcile": node.policy.reconcile, "roster": node.policy.roster}
    return {kind for kind, policy in chosen.items() if policy == "off"}
