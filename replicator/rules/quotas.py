"""How much is taken per day of one deliverer and of one origin: quotas as buckets, and their sums.

Pure. A quota is a bucket that holds a day's worth and fills within a day, so that a peer that was
quiet may bring a day's worth at once; within any day at most twice the quota comes in. What is over
quota is not refused for good: it waits until its turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from replicator.protocol.ids import NodeId
from replicator.rules.buckets import TOLERANCE_MS, Bucket, standing, take

DAY_MS: Final = 86_400_000
OVER: Final = "quota"
"""The reason of a post that is over quota; temporary."""

Levels = tuple[float, float]
"""When a node's buckets of posts and of bytes are full again; (0, 0): never used."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """Posts and canonical bytes per day, of one deliverer and of one origin; None: no bound."""

    peer_posts: int | None = None
    peer_bytes: int | None = None
    origin_posts: int | None = None
    origin_bytes: int | None = None

    def __bool__(self) -> bool:
        """Tell whether there is any bound."""
        return any((self.peer_posts, self.peer_bytes, self.origin_posts, self.origin_bytes))

    @property
    def of_peer(self) -> tuple[int | None, int | None]:
        """Posts and bytes of one deliverer."""
        return self.peer_posts, self.peer_bytes

    @property
    def of_origin(self) -> tuple[int | None, int | None]:
        """Posts and bytes of one origin."""
        return self.origin_posts, self.origin_bytes


@dataclass(frozen=True, slots=True)
class Load:
    """What one post costs: its origin and its canonical bytes."""

    origin: NodeId
    size: int


@dataclass(slots=True)
class Account:
    """The buckets of one node within one batch.

    Args:
        measures: posts and bytes per day, None for no bound.
        levels: what the buckets hold; after the batch, what they hold then.
        line: the same with what is over quota: each further post waits until those before it will
            have had their turn, so that not all come back at once.
    """

    measures: tuple[int | None, int | None]
    levels: Levels
    line: Levels

    @classmethod
    def opened(cls, measures: tuple[int | None, int | None], levels: Levels, now: int) -> "Account":
        """Return the account as it stands before a batch."""
        posts, size = (standing(level, now, DAY_MS) for level in levels)
        return cls(measures, (posts, size), (posts, size))

    def after(self, levels: Levels, size: int, now: int) -> tuple[Levels, float]:
        """Return the buckets after one post, and how long it has to wait."""
        posts, posts_wait = self._take(self.measures[0], levels[0], 1, now)
        held, bytes_wait = self._take(self.measures[1], levels[1], size, now)
        return (posts, held), max(posts_wait, bytes_wait)

    @staticmethod
    def _take(measure: int | None, full_at: float, cost: int, now: int) -> tuple[float, float]:
        return (0.0, 0.0) if measure is None else take(full_at, cost, now, Bucket(measure, DAY_MS))

    def queue(self, size: int, now: int) -> float:
        """Give a post the next place in line; return how long it has to wait there."""
        places = []
        wait = 0.0
        for measure, full_at, cost in zip(self.measures, self.line, (1, size), strict=True):
            if measure is None:
                places.append(0.0)
                continue
            place = max(full_at, now) + min(cost, measure) * (DAY_MS / measure)
            wait = max(wait, place - DAY_MS - now)
            places.append(place)
        self.line = (places[0], places[1])
        return wait


def charge(
    loads: Sequence[Load], peer: Account, origins: dict[NodeId, Account], now: int
) -> list[int]:
    """Charge posts in their order to their deliverer and their origins.

    Args:
        origins: an account for each origin in ``loads``.

    Returns:
        Per post 0 where it is within all quotas, and was charged; else the ms to wait, from 1 to
        a day. The accounts hold what is left.
    """
    waits = []
    for load in loads:
        origin = origins[load.origin]
        after_peer, peer_wait = peer.after(peer.levels, load.size, now)
        after_origin, origin_wait = origin.after(origin.levels, load.size, now)
        queued = max(peer.queue(load.size, now), origin.queue(load.size, now))
        if max(peer_wait, origin_wait) < TOLERANCE_MS:
            peer.levels, origin.levels = after_peer, after_origin
            waits.append(0)
        else:
            waits.append(int(min(max(peer_wait, origin_wait, queued, 1.0), DAY_MS)))
    return waits
