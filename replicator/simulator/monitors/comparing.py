"""Repair: a comparison that says it is done has found everything that differed all along."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from replicator.node.ports import Ring
from replicator.node.repair import Repaired
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.post import Ref
from replicator.simulator.monitors.base import Monitor

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World


@dataclass(frozen=True, slots=True)
class _Begun:
    at: int
    mine: set[Digest]
    theirs: set[Digest]


class Comparing(Monitor):
    """After a repair nothing that one side held from its begin on is unknown to the other.

    Unknown: neither held, nor decided against, nor ever queued for fetching since Redis was
    flushed last.
    """

    name = "comparing"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._wanted: dict[tuple[NodeId, int], set[Digest]] = {}
        world.watch.on("work", "hold", self._on_hold)
        world.watch.on("work", "want", self._on_want)

    def _on_hold(
        self, machine: "Machine", fiber: Any, took: Any, kind: str, peer: NodeId, *_: Any
    ) -> None:
        mate = self.world.by_id.get(peer)
        if took and kind == "repair" and mate is not None and mate.honest and machine.honest:
            now = self.world.scheduler.now
            mine, theirs = self.world.digests_of(machine), self.world.digests_of(mate)
            fiber.notes["begun"] = _Begun(now, mine, theirs)

    def _on_want(
        self, machine: "Machine", fiber: Any, _: Any, holder: NodeId, refs: list[Ref], now: int
    ) -> None:
        self._wanted_at(machine).update(ref.digest for ref in refs)

    def _wanted_at(self, machine: "Machine") -> set[Digest]:
        return self._wanted.setdefault((machine.id, machine.flushed_at), set())

    def ended(self, machine: "Machine", kind: str, ring: Ring | None, report: object) -> None:
        """Compare what a repair should have found with what became of it."""
        if not isinstance(report, Repaired) or report.ended != "done" or report.more:
            return
        fiber = self.world.fibers.current
        begun = fiber.notes.get("begun") if fiber is not None else None
        mate = self.world.by_id.get(report.peer)
        if begun is None or mate is None or not report.pools:
            return
        if max(machine.flushed_at, mate.flushed_at) >= begun.at:
            return
        if self.world.scheduler.now - begun.at >= self.world.limits.slice_seconds * 1000:
            return  # its slice was over before it had seen everything
        self._check(machine, begun.theirs, mate)
        if len(begun.mine) <= self.world.limits.items_max:
            self._check(mate, begun.mine, machine)

    def _check(self, machine: "Machine", digests: set[Digest], other: "Machine") -> None:
        # what lost to another post of its id, or expired, cannot be given any more
        floor = max(machine.store.floor(), other.store.floor())
        there = {ref.digest for ref in other.store.refs(digests=digests) if ref.published >= floor}
        lost = there - machine.store.known(there) - self._wanted_at(machine)
        if lost:
            self.broken(
                f"{machine.id} was compared with {other.id} and lacks {len(lost)} unnoticed"
            )
