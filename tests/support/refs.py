"""Refs made from numbers, so that a failing test shows small names."""

from replicator.protocol.ids import Digest, GlobalId
from replicator.protocol.post import Ref


def digest(number: int) -> Digest:
    """Return a digest that sorts as its number does."""
    return Digest(f"{number:064x}")


def ref(number: int, size: int = 1000) -> Ref:
    """Return a ref; equal numbers give equal refs."""
    return Ref(GlobalId(f"origin.example/p{number}"), digest(number), 1_700_000_000_000, size)


def refs(count: int, first: int = 0) -> list[Ref]:
    """Return ``count`` refs with numbers from ``first`` on."""
    return [ref(number) for number in range(first, first + count)]
