"""`WorkState` in memory: the twin of `redis.work.RedisWorkState`, same rules, same order.

Deterministic, and safe to share between threads. Where Redis drops a stored request by its own
clock, this drops it when a later `admit` shows that its time is over.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace

from replicator.adapters.memory.exclusive import exclusive
from replicator.adapters.memory.fetch_queue import MemoryFetchQueue
from replicator.adapters.memory.looks import MemoryLooks
from replicator.adapters.memory.malformed import MemoryMalformed
from replicator.adapters.memory.rates import MemoryRates
from replicator.limits import Limits
from replicator.node.ports import (
    DoorbellKind,
    DueKind,
    Entry,
    HoldKind,
    Progress,
    Receipt,
    RefusalRecord,
    Reply,
)
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import Breaker


class MemoryWorkState(MemoryRates, MemoryFetchQueue, MemoryLooks, MemoryMalformed):
    """The work in hand of one node in a test or a simulation.

    Args:
        limits: the node's bounds.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._refusals: deque[RefusalRecord] = deque(maxlen=limits.refusal_records_max)
        self._forget_rates()
        self._forget_requests_and_lanes()

    def _forget_requests_and_lanes(self) -> None:
        self._forget_malformed()
        self._forget_looks()
        self._nonces: dict[tuple[NodeId, str], tuple[int, str]] = {}
        self._requests: dict[str, tuple[int, Receipt, bytes]] = {}
        self._replies: dict[str, deque[Reply]] = {}
        self._refusals.clear()
        self._doorbells: dict[tuple[DoorbellKind, NodeId], int] = {}
        self._holds: dict[tuple[HoldKind, NodeId], tuple[int, str]] = {}
        self._breakers: dict[NodeId, Breaker] = {}
        self._dues: dict[tuple[DueKind, NodeId], int] = {}
        self._progresses: dict[NodeId, Progress] = {}

    @exclusive
    def flush(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self._forget_queues()
        self._forget_rates()
        self._forget_requests_and_lanes()

    # requests in hand

    @exclusive
    def admit(self, receipt: Receipt, nonce: str, body: bytes, now: int) -> Entry:
        """Set the nonce of (sender, nonce) and store receipt and body, both expiring."""
        self._collect_garbage(now)
        name = (receipt.sender, nonce)
        expires, owner = self._nonces.get(name, (0, ""))
        if owner != receipt.token and expires > now:
            return Entry(replayed=True)
        if wait_ms := self._take_request_token(receipt.sender, now):
            return Entry(wait_ms=wait_ms)
        self._nonces[name] = (now + self._limits.nonce_seconds * 1000, receipt.token)
        body_until = now + self._limits.work_body_seconds * 1000
        self._requests[receipt.token] = (body_until, receipt, body)
        return Entry()

    def _collect_garbage(self, now: int) -> None:
        """Drop what is over; both dicts are in order of time as long as time goes on."""
        while self._nonces and next(iter(self._nonces.values()))[0] <= now:
            del self._nonces[next(iter(self._nonces))]
        while self._requests and next(iter(self._requests.values()))[0] <= now:
            del self._requests[next(iter(self._requests))]

    @exclusive
    def take_request(self, token: str) -> tuple[Receipt, bytes] | None:
        """Return a stored request, leaving it for a redelivered task; None: expired or answered."""
        stored = self._requests.get(token)
        return None if stored is None else stored[1:]

    @exclusive
    def forget_request(self, token: str) -> None:
        """Drop a stored request whose gateway waits no longer."""
        self._requests.pop(token, None)

    @exclusive
    def reply(self, gateway: str, reply: Reply) -> None:
        """Hand an answer to the gateway that waits for it and drop the stored request."""
        waiting = deque[Reply](maxlen=self._limits.answers_in_flight_max)
        self._replies.setdefault(gateway, waiting).append(reply)
        self._requests.pop(reply.token, None)

    @exclusive
    def take_replies(self, gateway: str) -> list[Reply]:
        """Return and remove the replies that wait for a gateway, oldest first (`ReplyReader`)."""
        return list(self._replies.pop(gateway, ()))

    @exclusive
    def note_refusal(self, record: RefusalRecord) -> None:
        """Keep a refusal for the operator; the oldest of too many are dropped."""
        chars = self._limits.record_chars_max
        cut = RefusalRecord(record.at, record.sender[:chars], record.code, record.message[:chars])
        self._refusals.appendleft(cut)

    @exclusive
    def refusals(self, limit: int) -> list[RefusalRecord]:
        """Return the newest refusals, newest first."""
        return list(self._refusals)[: max(0, limit)]

    # doorbells, leases, breakers

    @exclusive
    def ring(self, kind: DoorbellKind, peer: NodeId, now: int) -> bool:
        """Set the doorbell flag; True where it was not set, so that a message must be sent."""
        if self._doorbells.get((kind, peer), 0) > now:
            return False
        self._doorbells[kind, peer] = now + self._limits.doorbell_seconds * 1000
        return True

    @exclusive
    def hear(self, kind: DoorbellKind, peer: NodeId) -> None:
        """Clear the flag, before the work starts: a ring during the work is a new ring."""
        self._doorbells.pop((kind, peer), None)

    @exclusive
    def hold(self, kind: HoldKind, peer: NodeId, token: str, now: int) -> bool:
        """Take the lease of one kind of work for one peer; False where another token has it."""
        expires, owner = self._holds.get((kind, peer), (0, ""))
        if owner != token and expires > now:
            return False
        self._holds[kind, peer] = (now + self._limits.lease_seconds * 1000, token)
        return True

    @exclusive
    def release(self, kind: HoldKind, peer: NodeId, token: str) -> None:
        """Give a lease back if ``token`` still has it."""
        if self._holds.get((kind, peer), (0, ""))[1] == token:
            del self._holds[kind, peer]

    @exclusive
    def breakers(self, peers: Collection[NodeId]) -> dict[NodeId, Breaker]:
        """Return the breaker of each of ``peers``."""
        return {peer: self._breakers.get(peer, Breaker()) for peer in peers}

    @exclusive
    def set_breaker(self, peer: NodeId, before: Breaker, after: Breaker) -> bool:
        """Replace a peer's breaker if it is still ``before``; False, and unchanged, where not."""
        if self._breakers.get(peer, Breaker()) != self._cut(before):
            return False
        self._breakers[peer] = self._cut(after)
        if after == Breaker():
            del self._breakers[peer]
        return True

    def _cut(self, breaker: Breaker) -> Breaker:
        return replace(breaker, reason=breaker.reason[: self._limits.record_chars_max])

    @exclusive
    def set_dues(self, kind: DueKind, times: Mapping[NodeId, int]) -> None:
        """Store when the next periodic work of a kind is due, per peer."""
        self._dues.update({(kind, peer): at for peer, at in times.items()})

    @exclusive
    def dues(self, kind: DueKind, peers: Collection[NodeId]) -> dict[NodeId, int]:
        """Return that time of each of ``peers``, 0 where none is stored."""
        return {peer: self._dues.get((kind, peer), 0) for peer in peers}

    @exclusive
    def note_progress(self, peer: NodeId, progress: Progress | None) -> None:
        """Keep how far catching up with a peer has got; None: it is done."""
        self._progresses.pop(peer, None)
        if progress is not None:
            self._progresses[peer] = progress

    @exclusive
    def progresses(self, peers: Collection[NodeId]) -> dict[NodeId, Progress]:
        """Return the progress of those of ``peers`` that are being caught up with."""
        return {peer: self._progresses[peer] for peer in peers if peer in self._progresses}

    @exclusive
    def forget(self, peer: NodeId) -> None:
        """Drop all that is kept of a peer: queue, dead letters, flags, breaker, times."""
        self._forget_holder(peer)
        self._forget_looks_at(peer)
        self._breakers.pop(peer, None)
        self._progresses.pop(peer, None)
        self._doorbells = {name: at for name, at in self._doorbells.items() if name[1] != peer}
        self._holds = {name: held for name, held in self._holds.items() if name[1] != peer}
        self._dues = {name: at for name, at in self._dues.items() if name[1] != peer}
