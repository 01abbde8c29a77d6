"""Promises that are checked while nodes run: small objects that watch the ports of all of them."""

from typing import TYPE_CHECKING

from replicator.simulator.monitors.base import Monitor
from replicator.simulator.monitors.comparing import Comparing
from replicator.simulator.monitors.cursors import LaneCursor, PullCursor
from replicator.simulator.monitors.delivery import CalmPair, Redelivery
from replicator.simulator.monitors.posts import Acknowledged, Authentic, Follower, Once
from replicator.simulator.monitors.queue import Attempts, Bounds, LeaseOwner

if TYPE_CHECKING:
    from replicator.simulator.world import World

__all__ = ["Monitor", "all_monitors"]

_ALL: tuple[type[Monitor], ...] = (
    LaneCursor,
    PullCursor,
    LeaseOwner,
    Attempts,
    Bounds,
    Acknowledged,
    Authentic,
    Follower,
    Once,
    CalmPair,
    Redelivery,
    Comparing,
)


def all_monitors(world: "World") -> list[Monitor]:
    """Set all monitors up to watch a world."""
    return [monitor(world) for monitor in _ALL]
