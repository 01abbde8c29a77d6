"""What the in-memory store notes about posts, log entries, decisions and reconciled sets."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, Ref
from replicator.rules.negentropy import Item, SortedItems


@dataclass(slots=True)
class Held:
    """A post with what the store notes about it."""

    post: Post
    received_from: NodeId | None
    pools: set[KeyText]


@dataclass(frozen=True, slots=True)
class Entry:
    """A log entry: who sees it (None in ``pools``: readers of everything), who announces it."""

    sequence: int
    digest: Digest
    pools: frozenset[KeyText | None]
    entry_pools: frozenset[KeyText]


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a digest was decided against, and what it was of."""

    reason: str
    published: int
    id: GlobalId
    signers: frozenset[KeyText]


@dataclass(slots=True)
class PoolSet:
    """The reconciled set of one pool, sorted when it is asked for."""

    items: set[Item] = field(default_factory=set)
    sorted: SortedItems | None = None

    def change(self, *, add: Iterable[Item] = (), remove: Iterable[Item] = ()) -> None:
        """Add items and remove others."""
        self.items.update(add)
        self.items.difference_update(remove)
        self.sorted = None

    def view(self) -> SortedItems:
        """Return the set in order."""
        if self.sorted is None:
            self.sorted = SortedItems(self.items)
        return self.sorted


def item_of(ref: Ref) -> Item:
    """Return what stands in a reconciled set for a post."""
    return ref.published, bytes.fromhex(ref.digest)
