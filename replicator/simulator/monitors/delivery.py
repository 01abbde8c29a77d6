"""Delivery: nobody's faults delay two healthy nodes, and a redelivered task does its work."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from replicator.node.ports import Ring
from replicator.protocol.ids import Digest, NodeId
from replicator.simulator.monitors.base import Monitor

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World

DELIVERED_MS: Final = 30_000
"""Between two calm nodes; each may have slow peers that hold a few of its workers for a while."""


class CalmPair(Monitor):
    """What one calm node publishes reaches the other soon, whatever happens to all others."""

    name = "calm-pair"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._due: dict[tuple[NodeId, Digest], tuple[int, int]] = {}

    def published(self, machine: "Machine", posts: Mapping[Digest, int]) -> None:
        """Remember by when the other calm node must hold these."""
        calm = self.world.plan.calm
        if machine.number not in calm or self.world.plan.ring:
            return
        for number in calm - {machine.number}:
            other = self.world.machines[number]
            for digest, published in posts.items():
                due = self.world.scheduler.now + DELIVERED_MS
                self._due[other.id, digest] = due, published

    def look(self) -> None:
        """Look for what is overdue."""
        for (node, digest), (due, published) in list(self._due.items()):
            store = self.world.by_id[node].store
            if store.held([digest]) or published < store.floor():
                del self._due[node, digest]
            elif due < self.world.scheduler.now:
                seconds = DELIVERED_MS // 1000
                self.broken(f"{node} lacks a post of its calm peer after {seconds} s")


class Redelivery(Monitor):
    """A task that is delivered again, because its worker died, answers its request."""

    name = "redelivery"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._admitted: dict[str, int] = {}
        self._answered: set[str] = set()
        world.watch.on("work", "admit", self._on_admit)
        world.watch.on("work", "reply", self._on_reply)

    def _on_admit(self, machine: "Machine", _: Any, took: Any, receipt: Any, *__: Any) -> None:
        if took:  # what is stored lives from the time at which it was received
            waited = machine.clock.now() - receipt.received_at
            self._admitted[receipt.token] = self.world.scheduler.now - waited

    def _on_reply(self, machine: "Machine", _: Any, __: Any, gateway: str, reply: Any) -> None:
        self._answered.add(reply.token)

    def ended(self, machine: "Machine", kind: str, ring: Ring | None, report: object) -> None:
        """Compare a task that found nothing to answer with what is kept of its request."""
        if kind != "answer" or ring is None or getattr(report, "outcome", "") != "gone":
            return
        token = ring.token or ""
        since = self._admitted.get(token, -1)
        lives = self.world.limits.work_body_seconds * 1000
        fresh = self.world.scheduler.now - since < lives and machine.flushed_at < since
        if token not in self._answered and since >= 0 and fresh:
            self.broken(f"{machine.id} left a request of {ring.peer} unanswered")
