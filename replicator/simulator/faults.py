"""The faults of a run as they strike: the plan's rates and times meet the machines.

No fault strikes after the plan's time of healing, or touches the two calm nodes. What struck is
counted by kind, so that a test can tell that every kind really occurs.
"""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from replicator.simulator.plan import Plan, Span

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World

_STALL_MS = (31_000, 45_000)
"""Longer than every lease, shorter than a stored request's life."""


class Faults:
    """What goes wrong, and when."""

    def __init__(self, world: "World", plan: Plan) -> None:
        self._world = world
        self.plan = plan
        self.counts: Counter[str] = Counter()

    def met(self, kind: str) -> None:
        """Count a fault that has struck."""
        self.counts[kind] += 1

    @property
    def active(self) -> bool:
        """Whether faults that can end are going on still."""
        return self._world.scheduler.now < self.plan.heal_ms

    def schedule(self) -> None:
        """Put the plan's crashes, power cuts and flushes on the schedule."""
        world = self._world
        for crash in self.plan.crashes:
            machine = world.machines[crash.node]
            world.scheduler.after(crash.at, partial(machine.crash, crash))
        for number, at in self.plan.perish.items():
            world.scheduler.after(at, world.machines[number].perish)
        for at, number in self.plan.flushes:
            world.scheduler.after(at, world.machines[number].flush)

    def strikes(self, machine: "Machine", rate: float, kind: str) -> bool:
        """Draw whether a fault of a machine strikes now."""
        if not rate or not self.active or machine.number in self.plan.calm:
            return False
        return self._draw(rate, kind)

    def link_strikes(self, source: "Machine", target: "Machine", rate: float, kind: str) -> bool:
        """Draw whether a fault of a link strikes now."""
        if not rate or not self.active or self._is_calm(source, target):
            return False
        return self._draw(rate, kind)

    def _draw(self, rate: float, kind: str) -> bool:
        struck = self._world.chance.random() < rate
        if struck:
            self.counts[kind] += 1
        return struck

    def _is_calm(self, source: "Machine", target: "Machine") -> bool:
        return source.number in self.plan.calm and target.number in self.plan.calm

    def cut(self, source: "Machine", target: "Machine") -> bool:
        """Tell whether a partition stands between two machines."""
        for span in self.plan.partitions:
            if self._in(span) and (source.number in span.nodes) != (target.number in span.nodes):
                self.counts["partition"] += 1
                return True
        return False

    def is_out(self, machine: "Machine", port: str) -> bool:
        """Tell whether a port of a machine is away."""
        for span in self.plan.outages:
            if span.port == port and machine.number in span.nodes and self._in(span):
                self.counts["outage"] += 1
                return True
        return False

    def _in(self, span: Span) -> bool:
        return span.begin <= self._world.scheduler.now < span.end

    def delay_ms(self, source: "Machine", target: "Machine") -> float:
        """Draw how long something travels from one machine to another."""
        chance = self._world.chance
        if not self.active or self._is_calm(source, target):
            return chance.uniform(1, 20)
        if self.plan.delay_ms > 20:
            self.counts["delay"] += 1
        if self.plan.reordering and self._draw(self.plan.reordering, "reordering"):
            return chance.uniform(1, 8_000)
        return chance.uniform(1, self.plan.delay_ms)

    def slow_ms(self, machine: "Machine") -> float:
        """Draw how long a slow node waits before it answers."""
        if machine.number not in self.plan.slow:
            return 0.0
        self.counts["slow"] += 1
        return self._world.chance.uniform(2_500, 9_000)

    def refuses(self, address: str) -> bool:
        """Tell whether a dead address refuses connections; others swallow what they are sent."""
        return sum(address.encode()) % 2 == 0

    def pause(self, machine: "Machine") -> None:
        """Let other fibers in at a port call, for a moment or for longer than a lease."""
        plan, chance = self.plan, self._world.chance
        if not plan.pauses or not self.active or chance.random() >= plan.pauses:
            return
        if self.strikes(machine, plan.stalls, "stall"):
            self._world.scheduler.sleep(chance.uniform(*_STALL_MS))
        else:
            self._world.scheduler.sleep(chance.uniform(0, 5))
