"""Peers that lie."""

from typing import TYPE_CHECKING

from replicator.simulator.process import Process

if TYPE_CHECKING:
    from replicator.simulator.world import World


def schedule(world: "World") -> None:
    """Nothing yet."""


def lie(process: Process, token: str) -> bool:
    """Answer a request falsely; False: answer it well this time."""
    return False
