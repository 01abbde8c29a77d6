"""Planted bugs, switched on by name: the monitors must find each of them.

A mutant stands between the use cases and the guarded ports, or sets the limits of a twin. Nothing
in the product is patched.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from replicator.adapters.memory.work import MemoryWorkState
from replicator.errors import CursorConflict
from replicator.limits import Limits
from replicator.node.ports import Added, FetchLease, Incoming, LanePage, Peer, Settlement
from replicator.protocol.ids import Cursor, KeyText, NodeId
from replicator.protocol.post import Ref
from replicator.rules.breaker import Breaker
from replicator.rules.negentropy import Bound, Item, Items
from replicator.simulator.process import Process

_NEVER: Final = 2**53 - 1
_LATE_MS: Final = 3_000


class _Port:
    """A port that does what the one inside does, but for what a subclass overrides."""

    def __init__(self, inner: Any, process: Process) -> None:
        self.inner = inner
        self.process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Mutant:
    """Changes nothing; the planted bugs name the ports that they replace."""

    store_port: type[_Port] | None = None
    work_port: type[_Port] | None = None

    def store(self, inner: Any, process: Process) -> Any:
        """Return the store that use cases of a process get."""
        return self.store_port(inner, process) if self.store_port else inner

    def work(self, inner: Any, process: Process) -> Any:
        """Return the work state that use cases of a process get."""
        return self.work_port(inner, process) if self.work_port else inner

    def twin(self, limits: Limits) -> MemoryWorkState:
        """Return the work state of a machine, below the guards."""
        return MemoryWorkState(limits)


class _CursorEarly(_Port):
    """The lane's cursor is moved when its entries are read, not when they were answered for."""

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        page: LanePage = self.inner.lane(peer, pools, limit, bytes_max)
        if page.refs and self._in_lane():
            self.inner.move_lane(peer.id, peer.pushed, page.upto)
        return page

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        peer = self.inner.peer(node)
        if peer.pushed < after:
            self.inner.move_lane(node, peer.pushed, after)

    def _in_lane(self) -> bool:
        fiber = self.process.machine.world.fibers.current
        return fiber is not None and fiber.notes.get("kind") == "announce"


class _CursorFar(_Port):
    """The lane's cursor is moved to the page's end, however few of its posts were sent."""

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        page: LanePage = self.inner.lane(peer, pools, limit, bytes_max)
        self._upto = page.upto
        return page

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        self.inner.move_lane(node, before, max(after, self._upto))


class _PullEarly(_Port):
    """A pull's cursor is recorded before the posts of its page."""

    def record_pull(
        self,
        node: NodeId,
        before: Cursor | None,
        after: Cursor | None,
        *,
        posts: Sequence[Incoming] = (),
        gaps: Sequence[Ref] = (),
        now: int,
    ) -> list[Added]:
        self.inner.record_pull(node, before, after, posts=(), gaps=gaps, now=now)
        added: list[Added] = self.inner.add(posts, now)
        return added


class _GapsForgotten(_Port):
    """What a pull could not have at once is queued in Redis alone."""

    def record_pull(self, *args: Any, gaps: Sequence[Ref] = (), **kwargs: Any) -> list[Added]:
        added: list[Added] = self.inner.record_pull(*args, gaps=(), **kwargs)
        return added


class _UnfencedCursor(_Port):
    """The compare-and-set of lanes is ignored."""

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        try:
            self.inner.move_lane(node, before, after)
        except CursorConflict:
            self.inner.move_lane(node, self.inner.peer(node).pushed, after)


class _UnfencedQueue(MemoryWorkState):
    """A lease that was taken over may be settled still."""

    def settle(self, lease: FetchLease, outcome: Settlement, now: int) -> bool:
        self._leases.add(lease.token)
        return super().settle(lease, outcome, now)


class _StickyQueue(MemoryWorkState):
    """A claim never ends, also where its holder turned out not to give the post."""

    def _release(self, item: Any) -> None:
        del item


class _NonceAsTruth(_Port):
    """The task that takes a request uses it up, so that its redelivery is refused."""

    def take_request(self, token: str) -> Any:
        taken = self.process.machine.notes.setdefault("taken", set())
        if token in taken:
            return None
        taken.add(token)
        return self.inner.take_request(token)


class _DoorbellForever(_Port):
    """A doorbell's flag never expires, although its message may have been lost."""

    def ring(self, kind: str, peer: NodeId, now: int) -> bool:
        flags = self._flags()
        if (kind, peer) in flags:
            return False
        flags.add((kind, peer))
        rung: bool = self.inner.ring(kind, peer, now)
        return rung

    def hear(self, kind: str, peer: NodeId) -> None:
        self._flags().discard((kind, peer))
        self.inner.hear(kind, peer)

    def _flags(self) -> set[tuple[str, NodeId]]:
        machine = self.process.machine
        flags: set[tuple[str, NodeId]] = machine.notes.setdefault(
            ("flags", machine.flushed_at), set()
        )
        return flags


class _BreakerStuck(_Port):
    """A breaker that has opened never lets a probe out."""

    def breakers(self, peers: Collection[NodeId]) -> Mapping[NodeId, Breaker]:
        seen: dict[NodeId, Breaker] = self.inner.breakers(peers)
        return {
            node: replace(breaker, next_at=_NEVER) if breaker.failures else breaker
            for node, breaker in seen.items()
        }

    def set_breaker(self, peer: NodeId, before: Breaker, after: Breaker) -> bool:
        stored = self.inner.breakers([peer])[peer]
        took: bool = self.inner.set_breaker(peer, stored, after)
        return took


class _AttemptsCounted(_Port):
    """Items count an attempt although their holder was away."""

    def settle(self, lease: FetchLease, outcome: Settlement, now: int) -> bool:
        if outcome == Settlement():
            digests = [item.ref.digest for item in lease.items]
            outcome = Settlement(failed=dict.fromkeys(digests, now + 1_000))
        settled: bool = self.inner.settle(lease, outcome, now)
        return settled


class _ArrivalWins(_Port):
    """Of two posts under one id the one that came first is kept."""

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        ids = [item.post.id for item in items]
        held = {ref.id: ref.digest for ref in self.inner.refs(ids=ids)}
        fresh = [i for i in items if held.get(i.post.id, i.post.digest) == i.post.digest]
        added = dict(zip(map(id, fresh), self.inner.add(fresh, now), strict=True))
        return [added.get(id(item), Added.LOST) for item in items]

    def record_pull(
        self, *args: Any, posts: Sequence[Incoming] = (), now: int, **kwargs: Any
    ) -> list[Added]:
        ids = [item.post.id for item in posts]
        held = {ref.id: ref.digest for ref in self.inner.refs(ids=ids)}
        fresh = [i for i in posts if held.get(i.post.id, i.post.digest) == i.post.digest]
        added: list[Added] = self.inner.record_pull(*args, posts=fresh, now=now, **kwargs)
        return added


class _AcknowledgedEarly(_Port):
    """A board is told that its posts are stored before they are committed."""

    def publish(self, items: Sequence[Incoming], now: int) -> list[Added]:
        process = self.process

        def commit() -> None:
            if process.alive:
                process.machine.store.publish(items, now)

        process.machine.world.scheduler.after(_LATE_MS, commit)
        return [Added.STORED] * len(items)


class _Cut:
    """A set without its last item."""

    def __init__(self, inner: Items) -> None:
        self._inner = inner

    def __len__(self) -> int:
        return max(0, len(self._inner) - 1)

    def slice(self, begin: int, end: int) -> Sequence[Item]:
        return self._inner.slice(begin, min(end, len(self)))

    def rank(self, bound: Bound) -> int:
        return min(self._inner.rank(bound), len(self))

    def total(self, begin: int, end: int) -> int:
        return self._inner.total(begin, min(end, len(self)))


class _LastRangeDropped(_Port):
    """Sets are compared but for their newest post."""

    @contextmanager
    def reconciled(self, pool: KeyText, since: int) -> Iterator[Items]:
        with self.inner.reconciled(pool, since) as items:
            yield _Cut(items)


def _of_store(port: type[_Port]) -> Mutant:
    mutant = Mutant()
    mutant.store_port = port
    return mutant


def _of_work(port: type[_Port]) -> Mutant:
    mutant = Mutant()
    mutant.work_port = port
    return mutant


class _LeaseUnfenced(Mutant):
    def twin(self, limits: Limits) -> MemoryWorkState:
        return _UnfencedQueue(limits)


class _ClaimsForever(Mutant):
    def twin(self, limits: Limits) -> MemoryWorkState:
        return _StickyQueue(replace(limits, claim_seconds=10**9))


MUTANTS: Final[dict[str, Callable[[], Mutant]]] = {
    "cursor-early": lambda: _of_store(_CursorEarly),
    "cursor-far": lambda: _of_store(_CursorFar),
    "pull-early": lambda: _of_store(_PullEarly),
    "gaps-forgotten": lambda: _of_store(_GapsForgotten),
    "cursor-unfenced": lambda: _of_store(_UnfencedCursor),
    "lease-unfenced": _LeaseUnfenced,
    "nonce-as-truth": lambda: _of_work(_NonceAsTruth),
    "doorbell-forever": lambda: _of_work(_DoorbellForever),
    "breaker-stuck": lambda: _of_work(_BreakerStuck),
    "attempts-counted": lambda: _of_work(_AttemptsCounted),
    "claim-forever": _ClaimsForever,
    "arrival-wins": lambda: _of_store(_ArrivalWins),
    "acknowledged-early": lambda: _of_store(_AcknowledgedEarly),
    "last-range-dropped": lambda: _of_store(_LastRangeDropped),
}
"""Planted bugs by name."""


def mutant_named(name: str | None) -> Mutant:
    """Return a mutant; ValueError where there is none of this name."""
    if name is None:
        return Mutant()
    if name not in MUTANTS:
        raise ValueError(f"unknown mutant {name!r}; known: {', '.join(MUTANTS)}")
    return MUTANTS[name]()
