"""Floors: before which date a post is neither kept nor taken, for everybody and per origin."""

from collections.abc import Callable, Iterable

from replicator.node.context import Node
from replicator.protocol.ids import origin_of
from replicator.protocol.post import Ref


def floors(node: Node, refs: Iterable[Ref]) -> Callable[[Ref], int]:
    """Read the floors that bear on ``refs``, in two queries; return the floor of each (ms)."""
    general = node.store.floor()
    own = node.store.origin_floors({origin_of(ref.id) for ref in refs})
    return lambda ref: max(general, own.get(origin_of(ref.id), 0))
