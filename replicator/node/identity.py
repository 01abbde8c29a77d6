"""Who this node is: its id, its node keys and the pools it belongs to.

The private keys stay inside `PrivateKey`, whose repr is masked. Which node keys sign depends on the
time: during the overlap of a rotation the new one and the ones before it, afterwards the new one.
An identity is read when a process starts; a rotation or a left pool counts from the next start.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from replicator.errors import ConfigurationError
from replicator.protocol.announcement import Announced, current_keys
from replicator.protocol.envelope import Credentials
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.signing import PrivateKey
from replicator.rules import key_life
from replicator.rules.trust import KeyState


@dataclass(frozen=True)
class Identity:
    """A node's id and keys.

    Args:
        node_id: this node.
        node_keys: at least one, none revoked; all are published in the node document. Without
            ``announced`` the first signs and the others verify.
        pool_keys: one per pool that the node is a member of; may be empty.
        announced: what the node says of its node keys, or None.
        heirs: pools that were replaced, with the pool of ours that stands for each.
        public_pools: pools it is a member of whose private key this process does not have.
    """

    node_id: NodeId
    node_keys: tuple[PrivateKey, ...]
    pool_keys: tuple[PrivateKey, ...] = ()
    announced: Announced | None = None
    heirs: Mapping[KeyText, KeyText] = field(default_factory=dict)
    public_pools: tuple[KeyText, ...] = ()

    @cached_property
    def pools(self) -> frozenset[KeyText]:
        """The pools that the node is a member of: it signs with their keys, and accepts them."""
        return frozenset(key.public for key in self.pool_keys) | frozenset(self.public_pools)

    @cached_property
    def retired_pools(self) -> frozenset[KeyText]:
        """Pools of ours that were replaced: nothing new is signed with their keys."""
        return frozenset(self.heirs)

    @cached_property
    def public_node_keys(self) -> frozenset[KeyText]:
        """The public halves of the node keys."""
        return frozenset(key.public for key in self.node_keys)

    def reach(self, proved: Collection[KeyText]) -> frozenset[KeyText]:
        """Return the pools whose posts are open to who proved membership in ``proved``.

        Those are the pools of ours among them, and the ones that they took the place of.
        """
        members = self.pools.intersection(proved)
        return members.union(old for old, heir in self.heirs.items() if heir in members)

    def signing_keys(self, now: int) -> tuple[PrivateKey, ...]:
        """Return the node keys that sign at ``now`` (ms), the newest first; at least one."""
        if self.announced is None:
            return self.node_keys[:1]
        current = current_keys(self.announced.content.keys, now)
        return tuple(key for key in self.node_keys if key.public in current)

    def key_states(self, now: int) -> Mapping[KeyText, KeyState]:
        """Return what each of this node's keys counts for at ``now``, as peers may know it."""
        if self.announced is None:
            return dict.fromkeys(self.public_node_keys, "current")
        return key_life.states(self.announced.content, now)

    def pool_signers(self, pools: Collection[KeyText]) -> tuple[PrivateKey, ...]:
        """Return the private keys of these pools of ours, in the order they came.

        Raises:
            ConfigurationError: this process was started without the private key of one of them.
        """
        absent = [pool for pool in self.public_pools if pool in pools]
        if absent:
            raise ConfigurationError(
                f"this process has no private pool keys, so it cannot sign for {absent[0]}"
            )
        return tuple(key for key in self.pool_keys if key.public in pools)

    def credentials(self, now: int, pools: Collection[KeyText] | None = None) -> Credentials:
        """Return what a message is signed with: the current node keys and pool keys.

        Args:
            now: in ms since the Unix epoch.
            pools: only these pools' keys; None is all of them (a request proves membership
                wherever both sides are members).

        Raises:
            ConfigurationError: as `pool_signers`.
        """
        members = self.pool_signers(self.pools if pools is None else pools)
        return Credentials(
            self.node_id,
            (
                *((key, "node") for key in self.signing_keys(now)),
                *((key, "pool") for key in members),
            ),
        )
