"""Retention: posts that are too old, or too many of their origin, go, and are not taken again.

The store keeps the floors; every way in compares a post's date with them before anything is
fetched or stored (`node.floors`). Removing goes in small transactions for a slice of time; what is
left is removed in the next round. What a floor has passed is gone for good, whatever it is set to
later: floors never move down.
"""

from dataclasses import dataclass

import structlog

from replicator.node.context import Node
from replicator.rules.retention import floor_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Expired:
    """What one run removed; ``more``: there was not time for all.

    ``items`` are posts, and digests that were remembered of posts and are not needed any more.
    """

    items: int = 0
    more: bool = False


def expire(node: Node) -> Expired:
    """Raise the floor to where the settings put it now, and remove what is not kept any more.

    Raises:
        StoreUnavailable: what was removed before stays removed.
    """
    now = node.clock.now()
    floor = floor_of(now, node.keep_days, node.limits)
    if floor > node.store.floor():
        node.store.raise_floor(floor)
        log.info("retention.floor_raised", floor=floor)
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    items = 0
    while removed := node.store.expire(node.keep, now):
        items += removed
        if node.clock.monotonic() >= deadline:
            break
    if items:
        log.info("retention.expired", items=items, more=bool(removed))
    return Expired(items, more=bool(removed))
