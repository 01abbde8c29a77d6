"""The fetch queue: leases have one owner, attempts an answer, and nothing outgrows its room."""

from typing import TYPE_CHECKING, Any

from replicator.node.ports import FetchLease, Settlement
from replicator.protocol.ids import Digest, NodeId
from replicator.simulator.fibers import Fiber
from replicator.simulator.monitors.base import Monitor

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World


class LeaseOwner(Monitor):
    """A lease is settled by the task that took it, and not after it was taken over."""

    name = "lease-owner"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._owner: dict[tuple[NodeId, NodeId, Digest], str] = {}
        world.watch.on("work", "lease", self._on_lease)
        world.watch.on("work", "settle", self._on_settle)

    def _on_lease(
        self, machine: "Machine", fiber: Fiber, lease: FetchLease | None, *_: Any
    ) -> None:
        if lease is None:
            return
        fiber.notes["lease"] = lease
        fiber.notes["answers at lease"] = fiber.notes.get("answers", 0)
        for item in lease.items:
            self._owner[machine.id, lease.holder, item.ref.digest] = lease.token

    def _on_settle(
        self,
        machine: "Machine",
        fiber: Fiber,
        settled: Any,
        lease: FetchLease,
        *_: Any,
    ) -> None:
        if not settled:
            return
        mine = fiber.notes.get("lease")
        if mine is None or mine.token != lease.token:
            self.broken(f"{machine.id} settled a lease of {lease.holder} that it did not take")
        for item in lease.items:
            owner = self._owner.get((machine.id, lease.holder, item.ref.digest))
            if owner != lease.token:
                self.broken(
                    f"{machine.id} settled {item.ref.id} though another has leased it since"
                )


class Attempts(Monitor):
    """An attempt is counted against an item only where the holder has answered."""

    name = "attempts"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        world.watch.on("work", "settle", self._on_settle)

    def _on_settle(
        self,
        machine: "Machine",
        fiber: Fiber,
        settled: Any,
        lease: FetchLease,
        outcome: Settlement,
        now: int,
    ) -> None:
        counted = set(outcome.failed) | set(outcome.dead)
        answered = fiber.notes.get("answers", 0) > fiber.notes.get("answers at lease", 0)
        if settled and counted and not answered:
            self.broken(
                f"{machine.id} counted {len(counted)} attempts though {lease.holder} "
                "had not answered"
            )


class Bounds(Monitor):
    """Queues, gaps and dead letters stay within their limits."""

    name = "bounds"

    def look(self) -> None:
        """Compare counts with the limits."""
        limits = self.world.limits
        for machine in self.world.machines.values():
            queued = machine.work.queued()
            if any(count > limits.fetch_queue_items_max for count in queued.values()):
                self.broken(f"{machine.id} has queues of {queued}")
            if len(machine.work.dead(limits.dead_letters_max + 1)) > limits.dead_letters_max:
                self.broken(f"{machine.id} has more dead letters than it may keep")
            totals = machine.store.totals()
            if totals.gaps > limits.gaps_per_peer_max * max(1, totals.peers):
                self.broken(f"{machine.id} has {totals.gaps} gaps")
            if totals.peers > limits.peers_max:
                self.broken(f"{machine.id} has {totals.peers} peers")
