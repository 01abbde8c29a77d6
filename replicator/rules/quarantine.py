"""How much of posts of unknown origin is kept: bounds per deliverer, and of all together. Pure."""

from collections.abc import Mapping
from typing import Protocol

from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.protocol.post import Post


class Copy(Protocol):
    """A copy of a post, and who gave it."""

    @property
    def post(self) -> Post:
        """The post."""

    @property
    def deliverer(self) -> NodeId:
        """Who gave it."""


class Room:
    """What room is left while copies are taken one after the other.

    Args:
        limits: the bounds.
        counts: copies and bytes that wait already, by deliverer.
    """

    def __init__(self, limits: Limits, counts: Mapping[NodeId, tuple[int, int]]) -> None:
        self._limits = limits
        self._counts = dict(counts)
        self._posts = sum(posts for posts, _ in counts.values())
        self._size = sum(size for _, size in counts.values())

    def take(self, copy: Copy) -> bool:
        """Take a copy if it fits; what is there stays, so that nobody can drive it out."""
        limits, size = self._limits, copy.post.size
        posts, taken = self._counts.get(copy.deliverer, (0, 0))
        fits = (
            posts < limits.quarantine_posts_per_peer_max
            and taken + size <= limits.quarantine_bytes_per_peer_max
            and self._posts < limits.quarantine_posts_max
            and self._size + size <= limits.quarantine_bytes_max
        )
        if fits:
            self._counts[copy.deliverer] = posts + 1, taken + size
            self._posts += 1
            self._size += size
        return fits
