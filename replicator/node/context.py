"""What every use case is given: the node's identity, its limits and its ports.

One `Node` is made per process by `replicator.bootstrap`; the simulator and the tests make theirs
of in-memory twins. It holds no state of its own.
"""

import random
from dataclasses import dataclass, field

from replicator.limits import Limits
from replicator.node.identity import Identity
from replicator.node.ports import Background, Clock, Doorbell, Keep, Store, Transport, WorkState
from replicator.rules.policy import Policy
from replicator.rules.quotas import Quotas


@dataclass(frozen=True)
class Node:
    """A node as its use cases see it."""

    identity: Identity
    limits: Limits
    policy: Policy
    store: Store
    work: WorkState
    doorbell: Doorbell
    transport: Transport
    clock: Clock
    random: random.Random
    background: Background
    address: str | None = None
    """Where peers reach this node (for its node document)."""
    allow_private: bool = False
    """Peers may have addresses that are not of the internet (the transport sees to it)."""
    keep: Keep = field(default_factory=Keep)
    """How much of each origin's posts is kept."""
    keep_days: int | None = None
    """Posts dated longer ago are neither kept nor taken; None: all are."""
    quotas: Quotas = field(default_factory=Quotas)
    """How much is taken per day of one deliverer and of one origin."""
