"""What every monitor can do; each overrides what it needs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from replicator.node.ports import Ring
from replicator.protocol.ids import Digest
from replicator.simulator.watch import Violation

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World


class Monitor:
    """A promise; ``name`` is what a failing run is said to have broken."""

    name = "?"

    def __init__(self, world: "World") -> None:
        self.world = world

    def look(self) -> None:
        """Look at everything, every few virtual seconds."""

    def finish(self) -> None:
        """Look at everything at the end, when the sets are equal."""

    def published(self, machine: "Machine", posts: Mapping[Digest, int]) -> None:
        """Note that a board was told that its posts are stored; ``posts``: with their dates."""

    def ended(self, machine: "Machine", kind: str, ring: Ring | None, report: object) -> None:
        """Note how a task ended."""

    def broken(self, message: str) -> NoReturn:
        """Say that the promise is broken."""
        raise Violation(self.name, message)
