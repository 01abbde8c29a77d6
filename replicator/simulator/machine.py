"""A machine: one node's store, Redis and broker, and the processes that work on them.

The store keeps what was committed whatever dies; Redis and the broker keep all or lose all. The
processes are a gateway, a worker for answers and a worker for everything that waits for peers, as
in a real node. A task whose worker dies is delivered again after the visibility time.
"""

import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from replicator.adapters.memory.background import InlineBackground
from replicator.adapters.memory.store import MemoryStore
from replicator.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ReplicatorError,
    StoreUnavailable,
    WorkUnavailable,
)
from replicator.node.context import Node
from replicator.node.identity import Identity
from replicator.node.ports import Doorbell, Ring, Store, WorkState
from replicator.protocol.ids import NodeId
from replicator.rules.policy import Policy
from replicator.simulator.broker import SimDoorbell
from replicator.simulator.fibers import Fiber
from replicator.simulator.network import SimTransport
from replicator.simulator.plan import Crash
from replicator.simulator.process import Died, Guard, Process
from replicator.simulator.scheduler import NodeClock

if TYPE_CHECKING:
    from replicator.simulator.world import World

_SLOTS = {"gateway": 8, "answers": 2, "lanes": 8}
_OUTAGES: dict[str, type[ReplicatorError]] = {
    "work": WorkUnavailable,
    "store": StoreUnavailable,
    "doorbell": BrokerUnavailable,
}


class Machine:
    """One node as the simulation sees it."""

    def __init__(self, world: "World", number: int, identity: Identity) -> None:
        self.world = world
        self.number = number
        self.identity = identity
        self.id: NodeId = identity.node_id
        self.address = f"http://{self.id}"
        self.honest = number in world.honest
        self.clock = NodeClock(world.scheduler, world.plan.skews.get(number, 0))
        self.random = random.Random(f"{world.plan.order.seed}/{self.id}")
        if self.clock.skew_ms:
            world.faults.met("skew")
        self.store = MemoryStore(world.limits, log_id=self.random.randbytes(8))
        self.work = world.mutant.twin(world.limits)
        self.notes: dict[Any, Any] = {}
        """What mutants remember of this machine."""
        self.broker = SimDoorbell(self)
        self.waiting: dict[str, deque[Ring]] = {"answers": deque(), "lanes": deque()}
        self.processes: dict[str, Process] = {}
        self.flushed_at = -1
        self.gone = False
        for name in _SLOTS:
            self.start(name)

    def start(self, name: str) -> None:
        """Begin a new incarnation of a process, over the same store and Redis."""
        world = self.world
        process = Process(self, name, _SLOTS[name])
        store: Any = Guard(process, "store", self.store)
        work: Any = Guard(process, "work", self.work)
        doorbell: Any = Guard(process, "doorbell", self.broker)
        mutant = world.mutant
        process.node = Node(
            identity=self.identity,
            limits=world.limits,
            policy=Policy(),
            store=cast(Store, mutant.store(store, process)),
            work=cast(WorkState, mutant.work(work, process)),
            doorbell=cast(Doorbell, doorbell),
            transport=SimTransport(process),
            clock=self.clock,
            random=self.random,
            background=InlineBackground(),
            address=self.address,
            keep_days=1 if world.plan.expiring else None,
        )
        self.processes[name] = process
        self._next_of(name)

    @property
    def node(self) -> Node:
        """The node as its worker of lanes sees it."""
        return self.processes["lanes"].node

    # faults

    def crash(self, crash: Crash) -> None:
        """Let a process die some points from now, or the whole machine at once."""
        if crash.process is None:
            self.power_off(crash.away, flush=crash.flush)
            return
        process = self.processes[crash.process]
        process.steps_left, process.away_ms = crash.steps, crash.away
        process.flush = crash.flush

    def died(self, process: Process) -> None:
        """Note that a process has just died, and have it started again."""
        process.kill()
        world = self.world
        world.note(self, f"{process.name} dies")
        world.faults.met("crash")
        if process.name == "gateway":
            world.network.reset(self)
        if process.flush:
            world.scheduler.after(process.away_ms, self.flush)
        world.scheduler.after(process.away_ms, lambda: self._restart(process))

    def _restart(self, process: Process) -> None:
        if self.processes[process.name] is process and not self.gone:
            self.world.note(self, f"{process.name} runs again")
            self.start(process.name)

    def perish(self) -> None:
        """Die for good: the address stays, nobody answers there."""
        self.world.note(self, "is gone for good")
        self.world.faults.met("dead")
        self.world.network.reset(self)
        self.gone = True
        for process in self.processes.values():
            process.kill()
        del self.world.by_address[self.address]

    def power_off(self, away_ms: int, *, flush: bool) -> None:
        """Kill all processes at once; start them again later."""
        self.world.note(self, "power fails")
        self.world.faults.met("power")
        self.world.network.reset(self)
        dead = list(self.processes.values())
        for process in dead:
            process.kill()

        def on() -> None:
            if flush:
                self.flush()
            for process in dead:
                self._restart(process)

        self.world.scheduler.after(away_ms, on)

    def flush(self) -> None:
        """Lose all of Redis, the broker's messages with it."""
        self.world.note(self, "Redis is flushed")
        self.world.faults.met("flush")
        self.work.flush()
        self.broker.flush()
        for queue in self.waiting.values():
            queue.clear()
        self.flushed_at = self.world.scheduler.now

    def pause(self, port: str) -> None:
        """Let other tasks in, now and then, when a port is called."""
        del port
        if self.world.fibers.current is not None:
            self.world.faults.pause(self)

    def outage(self, port: str) -> ReplicatorError | None:
        """Return what a port raises now, or None."""
        if self.world.faults.is_out(self, port):
            return _OUTAGES[port](f"the {port} was made unavailable")
        return None

    # tasks

    def take(self, ring: Ring) -> None:
        """Take a message from the broker: run its task now, or when a slot is free."""
        name = "answers" if ring.task == "answer" else "lanes"
        self.waiting[name].append(ring)
        self._next_of(name)

    def _next_of(self, name: str) -> None:
        queue, process = self.waiting.get(name), self.processes[name]
        while queue and process.alive and process.busy < process.slots:
            ring = queue.popleft()
            self.run(process, ring.task, partial(self._work, process, ring), ring)

    def _work(self, process: Process, ring: Ring) -> object:
        use = self.world.uses[ring.task]
        return use(process, ring)

    def run(
        self, process: Process, kind: str, work: Callable[[], object], ring: Ring | None = None
    ) -> None:
        """Run a task of a process as a fiber; `ring`: is delivered again if the process dies."""
        fiber = Fiber(lambda: self._task(process, kind, work, ring))
        fiber.notes.update(kind=kind, machine=self, peer=ring and ring.peer, ring=ring)
        process.busy += 1
        self.world.fibers.start(fiber)

    def _task(
        self, process: Process, kind: str, work: Callable[[], object], ring: Ring | None
    ) -> None:
        world = self.world
        try:
            report = work()
        except Died:
            if ring is not None and not world.over:
                self.broker.again(ring, world.limits.visibility_seconds * 1000)
            return
        except ConfigurationError:
            raise
        except ReplicatorError as error:
            report = f"{type(error).__name__}: {error}"
        world.ended(self, kind, ring, report)
        process.busy -= 1
        if process.alive:
            world.scheduler.after(0, lambda: self._next_of(process.name))
