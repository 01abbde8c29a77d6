"""The fetch queue of `MemoryWorkState`: the rules of the Lua scripts in plain Python.

Deterministic: lease tokens are counted, ties are broken by digest. It keeps no index, so it is
slow for large queues; it is what the scripts are compared with.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from replicator.adapters.memory.exclusive import Exclusive, exclusive
from replicator.limits import Limits
from replicator.node.ports import DeadLetter, FetchItem, FetchLease, Settlement, Wanted
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.post import Ref

WORKER_LOST = "worker lost"


@dataclass(slots=True)
class _Queued:
    ref: Ref
    at: int
    """Next attempt; where ``token`` is set, when that lease expires."""
    attempts: int = 0
    suspicions: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class _Claim:
    until: int
    token: str
    holder: NodeId


class MemoryFetchQueue(Exclusive):
    """The fetch queue methods of `WorkState`; see there."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._leases_given = 0
        self._forget_queues()

    def _forget_queues(self) -> None:
        self._queues: dict[NodeId, dict[Digest, _Queued]] = {}
        self._claims: dict[Digest, _Claim] = {}
        self._leases: set[str] = set()
        self._dead: dict[tuple[Digest, NodeId], DeadLetter] = {}

    @exclusive
    def want(self, holder: NodeId, refs: Sequence[Ref], now: int) -> list[Wanted]:
        """Queue refs for fetching from ``holder``, due now; per ref, what became of it."""
        return [self._want(holder, ref, now) for ref in refs]

    def _want(self, holder: NodeId, ref: Ref, now: int) -> Wanted:
        queue = self._queues.get(holder, {})
        if ref.digest not in queue:
            if (ref.digest, holder) in self._dead:
                return Wanted.DEAD
            if len(queue) >= self._limits.fetch_queue_items_max:
                return Wanted.FULL
            self._queues.setdefault(holder, queue)[ref.digest] = _Queued(ref, now)
        limits = self._limits
        latest = now + int(max(limits.retry_cap_seconds, limits.lease_seconds) * 1000)
        queue[ref.digest].at = min(queue[ref.digest].at, latest)
        others = (other for name, other in self._queues.items() if name != holder)
        later = any(ref.digest in other for other in others)
        return Wanted.LATER if later else Wanted.QUEUED

    @exclusive
    def lease(self, holder: NodeId, limit: int, bytes_max: int, now: int) -> FetchLease | None:
        """Lease due items of a holder, smallest due time first; None where nothing is due."""
        self._leases_given += 1
        token = f"lease-{self._leases_given}"
        taken: list[_Queued] = []
        room, bytes_taken = limit, 0
        for item in self._due_items(holder, now):
            if len(taken) >= room:
                break
            if item.token and self._expire(holder, item, now):
                continue
            if self._claimed_elsewhere(holder, item, now):
                continue
            room = min(room, self._company(item))
            if taken and (len(taken) >= room or bytes_taken + item.ref.size > bytes_max):
                break
            self._take(holder, item, token, now)
            taken.append(item)
            bytes_taken += item.ref.size
        if not taken:
            return None
        self._leases.add(token)
        items = (FetchItem(item.ref, item.attempts, item.suspicions) for item in taken)
        return FetchLease(holder, token, tuple(items))

    def _company(self, item: _Queued) -> int:
        """Return with how many in all an item may be leased."""
        match item.suspicions:
            case 0:
                return self._limits.fetch_queue_items_max
            case 1:
                return self._limits.suspects_max
        return 1

    def _claimed_elsewhere(self, holder: NodeId, item: _Queued, now: int) -> bool:
        """Tell whether another holder's fetch has an item; it is looked at again later."""
        claim = self._claims.get(item.ref.digest)
        if claim is None or claim.holder == holder or claim.until <= now:
            return False
        tick_ms = max(1, int(self._limits.tick_seconds * 1000))
        item.at = min(claim.until, now + tick_ms)
        return True

    def _due_items(self, holder: NodeId, now: int) -> list[_Queued]:
        due = [item for item in self._queues.get(holder, {}).values() if item.at <= now]
        return sorted(due, key=lambda item: (item.at, item.ref.digest))

    def _expire(self, holder: NodeId, item: _Queued, now: int) -> bool:
        """End an expired lease of one item; True where the item is dead now."""
        self._leases.discard(item.token)
        self._release(item)
        item.token = ""
        return self._suspect(holder, item, WORKER_LOST, now)

    def _suspect(self, holder: NodeId, item: _Queued, reason: str, now: int) -> bool:
        """Count a suspicion; True where it was the last one and the item is dead now."""
        if item.suspicions + 1 >= self._limits.crash_attempts_max:
            self._bury(holder, item, reason, now)
            return True
        item.suspicions += 1
        return False

    def _take(self, holder: NodeId, item: _Queued, token: str, now: int) -> None:
        item.token = token
        item.at = now + self._limits.lease_seconds * 1000
        until = now + self._limits.claim_seconds * 1000
        self._claims[item.ref.digest] = _Claim(until, token, holder)

    def _release(self, item: _Queued) -> None:
        claim = self._claims.get(item.ref.digest)
        if claim is not None and claim.token == item.token:
            del self._claims[item.ref.digest]

    def _bury(self, holder: NodeId, item: _Queued, reason: str, now: int) -> None:
        digest = item.ref.digest
        self._remove(holder, digest)
        cut = reason[: self._limits.record_chars_max]
        tries = item.attempts + item.suspicions + 1
        letter = DeadLetter(item.ref, holder, cut, tries, now)
        self._dead[digest, holder] = letter
        if len(self._dead) > self._limits.dead_letters_max:
            del self._dead[min(self._dead, key=self._age)]

    def _remove(self, holder: NodeId, digest: Digest) -> None:
        queue = self._queues.get(holder, {})
        queue.pop(digest, None)
        if not queue:
            self._queues.pop(holder, None)

    def _age(self, name: tuple[Digest, NodeId]) -> tuple[int, tuple[Digest, NodeId]]:
        return self._dead[name].at, name

    @exclusive
    def settle(self, lease: FetchLease, outcome: Settlement, now: int) -> bool:
        """End a lease; False, and nothing changed, where it had expired and was taken over."""
        if lease.token not in self._leases:
            return False
        self._leases.discard(lease.token)
        for digest in outcome.done:
            self._claims.pop(digest, None)
            for holder in list(self._queues):
                self._remove(holder, digest)
        queue = self._queues.get(lease.holder, {})
        for digest in (item.ref.digest for item in lease.items):
            item = queue.get(digest)
            if item is not None and item.token == lease.token:
                self._settle_item(lease.holder, item, outcome, now)
        return True

    def _settle_item(self, holder: NodeId, item: _Queued, outcome: Settlement, now: int) -> None:
        digest = item.ref.digest
        self._release(item)
        item.token = ""
        if digest in outcome.missing:
            self._remove(holder, digest)
        elif digest in outcome.dead:
            self._bury(holder, item, outcome.dead[digest], now)
        elif digest in outcome.failed:
            item.at = outcome.failed[digest]
            item.attempts += 1
        elif digest not in outcome.suspects or not self._suspect(
            holder, item, outcome.suspects[digest], now
        ):
            suspected = digest in outcome.suspects
            item.at = now if suspected else outcome.muted.get(digest, now)

    @exclusive
    def due_holders(self, now: int, limit: int) -> list[NodeId]:
        """Return holders with due (or lease-expired) items, longest due first."""
        earliest = {
            holder: min(item.at for item in queue.values())
            for holder, queue in self._queues.items()
        }
        due = sorted((at, holder) for holder, at in earliest.items() if at <= now)
        return [holder for _, holder in due][: max(0, limit)]

    @exclusive
    def queued(self) -> dict[NodeId, int]:
        """Return the number of queued items per holder, leased ones included."""
        return {holder: len(queue) for holder, queue in self._queues.items()}

    @exclusive
    def dead(self, limit: int) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        newest = sorted(self._dead, key=self._age, reverse=True)
        return [self._dead[name] for name in newest[: max(0, limit)]]

    @exclusive
    def requeue(self, digests: Collection[Digest], now: int, holder: NodeId | None = None) -> int:
        """Queue dead letters again with no attempts counted; return how many."""
        queued = 0
        for name in self._letters(digests, holder):
            queue = self._queues.get(name[1], {})
            if len(queue) < self._limits.fetch_queue_items_max:
                self._queues.setdefault(name[1], queue)
                queue[name[0]] = _Queued(self._dead.pop(name).ref, now)
                queued += 1
        return queued

    @exclusive
    def drop(self, digests: Collection[Digest], holder: NodeId | None = None) -> int:
        """Remove dead letters, of all holders or of one; return how many."""
        names = self._letters(digests, holder)
        for name in names:
            del self._dead[name]
        return len(names)

    def _letters(
        self, digests: Collection[Digest], holder: NodeId | None
    ) -> list[tuple[Digest, NodeId]]:
        """Return names of letters, oldest first."""
        oldest = sorted(self._dead, key=self._age)
        return [name for name in oldest if name[0] in digests and holder in (None, name[1])]

    @exclusive
    def hasten(self, holder: NodeId, now: int) -> int:
        """Make items that wait for a later attempt due now; return how many."""
        queue = self._queues.get(holder, {})
        waiting = [item for item in queue.values() if item.at > now and not item.token]
        for item in waiting:
            item.at = now
        return len(waiting)

    def _forget_holder(self, holder: NodeId) -> None:
        for item in self._queues.pop(holder, {}).values():
            self._leases.discard(item.token)
        self._claims = {d: claim for d, claim in self._claims.items() if claim.holder != holder}
        self._dead = {name: letter for name, letter in self._dead.items() if name[1] != holder}
