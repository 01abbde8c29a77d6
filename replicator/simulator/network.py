"""The network between machines: calls that travel, and what becomes of them on the way.

A call is delivered to the other machine's gateway, which admits it and rings for a worker; the
reply travels back when the worker has given it. The caller's fiber sleeps until the reply comes or
its time is over. Bodies cross as bytes, so nothing but the wire format passes between nodes.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from replicator.adapters.memory.transport import inflated
from replicator.errors import BadAnswer, ErrorCode, PeerUnavailable, Refusal, Unavailable
from replicator.node import admission, node_page
from replicator.node.admission import Refused
from replicator.node.contact import NODE_PATH
from replicator.node.conversation import SYNC_PATH
from replicator.node.ports import Receipt, Reply, Ring, WireAnswer
from replicator.node.replies import Asker
from replicator.protocol import codec
from replicator.simulator.fibers import Fiber
from replicator.simulator.process import Died, Process

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World

Outcome = WireAnswer | PeerUnavailable | BadAnswer
GATEWAY = "gateway"


class Call:
    """One call under way; whatever comes first ends it."""

    def __init__(self, world: "World", source: "Machine", fiber: Fiber, bytes_max: int) -> None:
        self._world = world
        self._fiber = fiber
        self.source = source
        self.task: str = fiber.notes["kind"]
        self.bytes_max = bytes_max
        self.over = False

    def end(self, outcome: Outcome) -> None:
        """Let the caller go on with an outcome; later ones are dropped."""
        if not self.over:
            self.over = True
            self._world.fibers.resume(self._fiber, outcome)


class SimTransport:
    """A process's way to its peers; as `Transport`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        """Send one request and wait for its answer in virtual time; as `Transport.post`."""
        process = self._process
        process.step()
        network = process.machine.world.network
        outcome = network.call(
            process, url.removesuffix(SYNC_PATH), headers, body, bytes_max, seconds
        )
        if not process.alive:
            raise Died
        fiber = process.machine.world.fibers.current
        if isinstance(outcome, Exception):
            raise outcome
        if fiber is not None:
            fiber.notes["answers"] = fiber.notes.get("answers", 0) + 1
            fiber.notes["status"] = outcome.status
        process.step()
        return outcome

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        """Read a node document; as `Transport.get`."""
        process = self._process
        process.step()
        machine = process.machine.world.by_address.get(url.removesuffix(NODE_PATH))
        if machine is None or not machine.processes["gateway"].alive:
            raise PeerUnavailable(f"nobody answers at {url}")
        document = codec.encode(codec.JSON, node_page.current(machine.processes["gateway"].node))
        return WireAnswer(200, {"content-type": codec.JSON}, document, document)


class Network:
    """All links between machines."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._held: dict[tuple[int, str], tuple[Call, Machine]] = {}

    def call(
        self,
        process: Process,
        address: str,
        headers: Mapping[str, str],
        body: bytes,
        bytes_max: int,
        seconds: float,
    ) -> Outcome:
        """Send a request from within a fiber; return what ends the call."""
        world, source = self._world, process.machine
        fiber = world.fibers.current
        if fiber is None:
            raise RuntimeError("only a fiber may call a peer")
        call = Call(world, source, fiber, bytes_max)
        world.tally.request(call.task, headers, body)
        deadline = PeerUnavailable(f"no answer within {seconds:.0f} s")
        world.scheduler.after(seconds * 1000, lambda: call.end(deadline))
        target = world.by_address.get(address)
        if target is None:
            self._refuse(call, address)
        else:
            self._send(call, target, headers, body)
        outcome: Outcome = world.fibers.suspend()
        return outcome

    def _refuse(self, call: Call, address: str) -> None:
        """End a call to a dead node: refused at once, or never answered."""
        self._world.faults.met("dead")
        if self._world.faults.refuses(address):
            error = PeerUnavailable("connection refused")
            self._world.scheduler.after(self._world.chance.uniform(1, 5), lambda: call.end(error))

    def _send(self, call: Call, target: "Machine", headers: Mapping[str, str], body: bytes) -> None:
        faults, scheduler = self._world.faults, self._world.scheduler
        source = call.source
        if faults.cut(source, target):
            return
        delay = faults.delay_ms(source, target)
        if faults.link_strikes(source, target, faults.plan.loss, "loss"):
            if self._world.chance.random() < 0.5:
                reset = PeerUnavailable("connection reset")
                scheduler.after(delay, lambda: call.end(reset))
            return
        scheduler.after(delay, lambda: self._arrive(call, target, headers, body))
        if faults.link_strikes(source, target, faults.plan.duplication, "duplication"):
            later = delay + self._world.chance.uniform(1, 3_000)
            scheduler.after(later, lambda: self._arrive(call, target, headers, body))

    def _arrive(
        self, call: Call, target: "Machine", headers: Mapping[str, str], body: bytes
    ) -> None:
        """Do what the gateway does with a request."""
        process = target.processes[GATEWAY]
        if not process.alive:
            call.end(PeerUnavailable("connection refused"))
            return
        fiber = Fiber(lambda: self._receive(call, process, headers, body))
        fiber.notes.update(kind=GATEWAY, machine=target)
        self._world.fibers.start(fiber)

    def _receive(
        self, call: Call, process: Process, headers: Mapping[str, str], body: bytes
    ) -> None:
        try:
            admitted = self._admit(process, headers, body)
        except Died:
            error = PeerUnavailable("connection reset")
            self._world.scheduler.after(1, lambda: call.end(error))
            return
        if isinstance(admitted, Reply):
            self._travel(call, process.machine, admitted)
            return
        machine = process.machine
        self._held[machine.number, admitted.token] = (call, machine)
        self._world.scheduler.after(
            process.node.limits.answer_seconds * 1000,
            lambda: self._too_late(call, process, admitted),
        )

    def _admit(
        self, process: Process, headers: Mapping[str, str], wire_body: bytes
    ) -> Receipt | Reply:
        node = process.node
        refused: Refused
        try:
            verdict = admission.admit(
                node,
                headers,
                wire_body,
                media_type=codec.JSON,
                gateway=GATEWAY,
                received_at=node.clock.now(),
            )
            if isinstance(verdict, Refused):
                return admission.refuse(node, verdict, token="", media_type=codec.JSON)
            receipt = verdict.receipt
            body = inflated(headers, wire_body, node.limits.message_bytes_max)
            entry = node.work.admit(receipt, verdict.nonce, body, receipt.received_at)
            if entry:
                node.doorbell.ring([Ring("answer", receipt.sender, receipt.token)])
                return receipt
            refused = admission.refused_entry(entry, receipt)
        except Refusal as refusal:
            refused = Refused(refusal)
        except Unavailable:
            refused = Refused(Refusal(ErrorCode.BUSY, "try again", retry_after=1))
        return admission.refuse(node, refused, token="", media_type=codec.JSON)

    def _too_late(self, call: Call, process: Process, receipt: Receipt) -> None:
        """Answer `busy` for a request whose worker has not answered in time."""
        held = self._held.pop((process.machine.number, receipt.token), None)
        if held is None or not process.alive or call.over:
            return
        asker = Asker(receipt.sender, receipt.base_digest, receipt.pool_keys)
        refused = Refused(Refusal(ErrorCode.BUSY, "try again", retry_after=1), asker)
        try:
            reply = admission.refuse(process.node, refused, token="", media_type=codec.JSON)
        except Died:
            return
        self._travel(call, process.machine, reply)

    def replied(self, machine: "Machine") -> None:
        """Send the replies that a worker of a machine has handed to its gateway."""
        for reply in machine.work.take_replies(GATEWAY):
            held = self._held.pop((machine.number, reply.token), None)
            if held is not None and machine.processes[GATEWAY].alive:
                self._travel(held[0], machine, reply)

    def reset(self, machine: "Machine") -> None:
        """Break the connections that a machine's gateway held: it is dead."""
        for name in [name for name in self._held if name[0] == machine.number]:
            call, _ = self._held.pop(name)
            self._world.scheduler.after(1, partial(call.end, PeerUnavailable("connection reset")))

    def _travel(self, call: Call, machine: "Machine", reply: Reply) -> None:
        world, faults = self._world, self._world.faults
        world.tally.answer(call.task, reply)
        outcome = _wire_answer(reply, call.bytes_max)
        if faults.cut(machine, call.source):
            return
        delay = faults.delay_ms(machine, call.source) + faults.slow_ms(machine)
        if faults.link_strikes(machine, call.source, faults.plan.loss, "loss"):
            outcome = PeerUnavailable("connection reset")
        world.scheduler.after(delay, lambda: call.end(outcome))


def _wire_answer(reply: Reply, bytes_max: int) -> Outcome:
    headers = dict(reply.headers)
    try:
        body = inflated(headers, reply.body, bytes_max)
    except Refusal as refusal:
        return BadAnswer(refusal.message)
    if len(body) > bytes_max:
        return BadAnswer(f"the answer has more than {bytes_max} bytes")
    return WireAnswer(reply.status, headers, body, reply.body)
