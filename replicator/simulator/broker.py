"""The message broker of one machine: messages that wait, get lost, come twice or late."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from replicator.node.ports import Ring

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine


class SimDoorbell:
    """Delivers rings to the machine's processes after a drawn time, or not at all."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._generation = 0

    def ring(self, rings: Sequence[Ring]) -> None:
        """Take messages; as `Doorbell.ring`."""
        for ring in rings:
            self._send(ring)

    def flush(self) -> None:
        """Lose every message that is still under way (the broker lives in Redis)."""
        self._generation += 1

    def again(self, ring: Ring, delay_ms: float) -> None:
        """Deliver a message once more: its worker died, or it came twice."""
        generation = self._generation
        self._machine.world.scheduler.after(delay_ms, lambda: self._deliver(ring, generation))

    def _send(self, ring: Ring) -> None:
        machine, world = self._machine, self._machine.world
        world.tally.message(ring.task)
        chance, faults = world.chance, world.faults
        if faults.strikes(machine, faults.plan.doorbell_loss, "doorbell-loss"):
            return
        self.again(ring, chance.uniform(0.5, 5))
        if faults.strikes(machine, faults.plan.doorbell_duplication, "doorbell-duplication"):
            self.again(ring, chance.choice((chance.uniform(1, 50), chance.uniform(1_000, 20_000))))

    def _deliver(self, ring: Ring, generation: int) -> None:
        if generation == self._generation:
            self._machine.take(ring)
