"""One simulation: machines, their network and their monitors, from the first post to equal sets."""

import hashlib
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from replicator.node.announce import announce
from replicator.node.answer import answer
from replicator.node.fetch import fetch
from replicator.node.identity import Identity
from replicator.node.looking import look
from replicator.node.ports import Ring
from replicator.node.pull import pull
from replicator.node.reconciler import tick
from replicator.node.repair import repair
from replicator.node.roster import ask_members
from replicator.node.upkeep import upkeep
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.signing import PrivateKey
from replicator.simulator import board, liars
from replicator.simulator.faults import Faults
from replicator.simulator.machine import Machine
from replicator.simulator.monitors import all_monitors
from replicator.simulator.mutants import mutant_named
from replicator.simulator.network import Network
from replicator.simulator.plan import Order, Plan, draw, limits_of
from replicator.simulator.process import Process
from replicator.simulator.scheduler import Scheduler
from replicator.simulator.tally import Tally
from replicator.simulator.watch import Violation, Watch

CONVERGE_MS: Final = 900_000
"""Sets must be equal this long after the last fault has healed."""
_LOOK_MS: Final = 2_000
_UPKEEP_MS: Final = 30_000
_REGULAR: Final = ("tick", "upkeep")

Use = Callable[[Process, Ring], object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        violation: what was broken, or None where the sets became equal.
        monitor: which monitor found it.
        virtual_ms: how long it took in virtual time.
        digest: SHA-256 of the whole timeline: equal for equal runs.
    """

    order: Order
    plan: Plan
    violation: str | None
    monitor: str | None
    virtual_ms: int
    tally: Tally
    faults: dict[str, int]
    timeline: list[str] = field(repr=False)

    @property
    def digest(self) -> str:
        """The timeline as one number, to compare runs by."""
        return hashlib.sha256("\n".join(self.timeline).encode()).hexdigest()


class World:
    """All that takes part in one simulation."""

    def __init__(self, order: Order) -> None:
        self.plan = draw(order)
        self.limits = limits_of(self.plan)
        seed = order.seed
        self.scheduler = Scheduler(random.Random(f"{seed}/order"))
        self.fibers = self.scheduler.fibers
        self.chance = random.Random(f"{seed}/chance")
        self.faults = Faults(self, self.plan)
        self.network = Network(self)
        self.tally = Tally()
        self.watch = Watch()
        self.timeline: list[str] = []
        self.honest = frozenset(self.plan.honest)
        self.mutant = mutant_named(order.mutant)
        self.over = False
        self.unacknowledged = 0
        self.pool = _key(f"{seed}/pool")
        self.uses = _USES
        self.monitors = all_monitors(self)
        self.watch.on("work", "reply", lambda machine, *_: self.network.replied(machine))
        identities = [self._identity(number) for number in range(self.plan.nodes)]
        self.machines: dict[int, Machine] = {
            number: Machine(self, number, identity)
            for number, identity in enumerate(identities)
            if number not in self.plan.dead
        }
        self.by_address = {machine.address: machine for machine in self.machines.values()}
        self.by_id = {machine.id: machine for machine in self.machines.values()}
        for machine in self.machines.values():
            self._acquaint(machine, identities)

    def _identity(self, number: int) -> Identity:
        node_id = NodeId(f"n{number:02}")
        return Identity(node_id, (_key(f"{self.plan.order.seed}/{node_id}"),), (self.pool,))

    def _acquaint(self, machine: Machine, identities: list[Identity]) -> None:
        """Let a machine know the others, or its neighbours only where the pool is a ring."""
        count = len(identities)
        now = machine.clock.now()
        for number, other in enumerate(identities):
            near = (number - machine.number) % count in (1, count - 1)
            if number == machine.number or (self.plan.ring and not near):
                continue
            machine.store.add_peer(other.node_id, f"http://{other.node_id}", now)
            machine.store.pin(other.node_id, sorted(other.public_node_keys), "operator", now)
            machine.store.join_pools(other.node_id, other.pools)

    def run(self) -> Outcome:
        """Let everything happen until the sets are equal, a promise is broken, or time is up."""
        violation: Violation | None = None
        try:
            with _Quiet():
                self._schedule()
                self._go_on()
        except Violation as error:
            violation = error
        except Exception as error:
            told = "".join(traceback.format_exception(error))
            violation = Violation("bug", f"a task raised {error!r}\n{told}")
        finally:
            self._end()
        if violation is not None:
            self.timeline.append(f"{self.scheduler.now / 1000:10.3f} VIOLATION {violation}")
        return Outcome(
            order=self.plan.order,
            plan=self.plan,
            violation=None if violation is None else str(violation),
            monitor=None if violation is None else violation.monitor,
            virtual_ms=self.scheduler.now,
            tally=self.tally,
            faults=dict(sorted(self.faults.counts.items())),
            timeline=self.timeline,
        )

    def _schedule(self) -> None:
        self.faults.schedule()
        board.schedule(self)
        for machine in self.machines.values():
            self._beat(machine, "tick", self.chance.uniform(2_000, 5_000))
            self._beat(machine, "upkeep", _UPKEEP_MS)
        liars.schedule(self)

    def _beat(self, machine: Machine, kind: str, period_ms: float) -> None:
        def beat() -> None:
            # ticks are taken where nothing waits for a peer
            process = machine.processes["answers" if kind == "tick" else "lanes"]
            if process.alive:
                use = self.uses[kind]
                machine.run(process, kind, lambda: use(process, Ring("upkeep")))
            self.scheduler.after(period_ms, beat)

        self.scheduler.after(self.chance.uniform(0, period_ms), beat)

    def _go_on(self) -> None:
        deadline = self.plan.heal_ms + CONVERGE_MS
        while self.scheduler.now < deadline:
            self.scheduler.run(self.scheduler.now + _LOOK_MS)
            for monitor in self.monitors:
                monitor.look()
            if not self.faults.active and board.is_done(self) and not self._left():
                for monitor in self.monitors:
                    monitor.finish()
                return
        raise Violation("convergence", f"after {deadline // 1000} s: {self._left()}")

    def _left(self) -> str:
        return self.unequal() or self.unsettled()

    def unsettled(self) -> str:
        """Say what honest nodes have left to do for each other; empty where there is nothing."""
        for machine in self.machines.values():
            for peer in machine.store.peers() if machine.honest else ():
                mate = self.by_id.get(peer.id)
                if mate is None or not mate.honest:
                    continue
                if peer.address is None:
                    continue  # its clock is so far ahead that no introduction counts: it calls
                pools = frozenset({self.pool.public})
                if machine.store.lane(peer, pools, 1, 1).refs:
                    return f"the lane of {machine.id} to {peer.id} stands at {peer.pushed}"
                if machine.work.queued().get(peer.id) or machine.store.gaps(peer.id, 1):
                    return f"{machine.id} lacks something that {peer.id} has"
        return ""

    def unequal(self) -> str:
        """Say how the sets of the honest nodes differ; empty where they are equal."""
        honest = [machine for machine in self.machines.values() if machine.honest]
        floor = max(machine.store.floor() for machine in honest)
        sets = {machine.id: self.digests_of(machine, floor) for machine in honest}
        union: set[Digest] = set().union(*sets.values())
        lacking = [
            f"{node} lacks {len(union - held)}"
            for node, held in sets.items()
            if len(held) < len(union)
        ]
        return ", ".join(lacking)

    def digests_of(self, machine: Machine, floor: int = 0) -> set[Digest]:
        """Return what a machine holds of posts published since a floor (ms)."""
        return {digest for digest, published in machine.store.digests() if published >= floor}

    def _end(self) -> None:
        """Let every task that is under way die without effect, and its thread end."""
        self.over = True
        for machine in self.machines.values():
            for process in machine.processes.values():
                process.kill()
        self.fibers.unwind()
        self.fibers.close()

    # the timeline

    def note(self, machine: Machine, text: str) -> None:
        """Add a line to the timeline."""
        self.timeline.append(f"{self.scheduler.now / 1000:10.3f} {machine.id} {text}")

    def ended(self, machine: Machine, kind: str, ring: Ring | None, report: object) -> None:
        """Add how a task ended, but for regular ones: what they ring for shows them."""
        peer = f" {ring.peer}" if ring is not None and ring.peer else ""
        if kind not in _REGULAR:
            self.note(machine, f"{kind}{peer}: {report}")
        for monitor in self.monitors:
            monitor.ended(machine, kind, ring, report)


def _key(name: str) -> PrivateKey:
    return PrivateKey.from_seed(hashlib.sha256(name.encode()).digest())


def _by_peer(use: Callable[[Any, NodeId], object]) -> Use:
    def run(process: Process, ring: Ring) -> object:
        if ring.peer is None:
            raise ValueError(f"{ring.task} needs a peer")
        return use(process.node, ring.peer)

    return run


def _answer(process: Process, ring: Ring) -> object:
    token = ring.token or ""
    machine = process.machine
    if machine.number in machine.world.plan.liars and liars.lie(process, token):
        return "lied"
    return answer(process.node, token)


_USES: Final[dict[str, Use]] = {
    "answer": _answer,
    "announce": _by_peer(announce),
    "fetch": _by_peer(fetch),
    "pull": _by_peer(pull),
    "repair": _by_peer(repair),
    "roster": _by_peer(ask_members),
    "look": _by_peer(look),
    "tick": lambda process, _: tick(process.node),
    "upkeep": lambda process, _: upkeep(process.node),
}


class _Quiet:
    """Drop log lines while a simulation runs; the timeline tells what happened."""

    def __enter__(self) -> None:
        self._before = structlog.get_config()
        structlog.configure(
            processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(50)
        )

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)


def _drop(*_: object) -> Any:
    raise structlog.DropEvent
