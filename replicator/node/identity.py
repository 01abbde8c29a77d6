"""Who this node is: its id, its node keys and the pools it belongs to.

The private keys stay inside `PrivateKey`, whose repr is masked. The first node key is the current
one; older ones still verify what they signed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from replicator.protocol.envelope import Credentials
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.signing import PrivateKey


@dataclass(frozen=True)
class Identity:
    """A node's id and keys.

    Args:
        node_id: this node.
        node_keys: at least one; the first signs, all are published in the node document.
        pool_keys: one per pool that the node is a member of; may be empty.
    """

    node_id: NodeId
    node_keys: tuple[PrivateKey, ...]
    pool_keys: tuple[PrivateKey, ...] = ()

    @cached_property
    def pools(self) -> frozenset[KeyText]:
        """The pools whose key this node holds."""
        return frozenset(key.public for key in self.pool_keys)

    @cached_property
    def public_node_keys(self) -> frozenset[KeyText]:
        """The public halves of the node keys."""
        return frozenset(key.public for key in self.node_keys)

    def credentials(self, pools: Collection[KeyText] | None = None) -> Credentials:
        """Return what a message is signed with: the current node key and pool keys.

        Args:
            pools: only these pools' keys; None is all of them (a request proves membership
                wherever both sides are members).
        """
        members = [key for key in self.pool_keys if pools is None or key.public in pools]
        return Credentials(
            self.node_id,
            ((self.node_keys[0], "node"), *((key, "pool") for key in members)),
        )
