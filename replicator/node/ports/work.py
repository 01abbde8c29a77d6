"""Redis as a port: the work in hand, which may vanish at any moment. Raises `WorkUnavailable`.

All times are ms since the Unix epoch, UTC; `now` is always an argument.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from replicator.node.ports.looks import LookWork
from replicator.node.ports.malformed import MalformedWork
from replicator.node.ports.rates import Entry, RateWork
from replicator.protocol.ids import Digest, KeyText, NodeId
from replicator.protocol.post import Ref
from replicator.rules.breaker import Breaker


class Wanted(StrEnum):
    """What became of one ref given to `WorkState.want`."""

    QUEUED = "queued"
    """Waits to be fetched from this holder."""
    LATER = "later"
    """Another holder is asked first; this one is noted, in case that one fails."""
    FULL = "full"
    """The holder's queue is full; repair finds it again."""
    DEAD = "dead"
    """A dead letter of this holder; see `WorkState.requeue`."""


@dataclass(frozen=True, slots=True)
class FetchItem:
    """A post that is wanted from a holder.

    Args:
        ref: what is wanted.
        attempts: tries that the holder answered badly.
        suspicions: leases it was in that ended without a word, or with an unusable answer.
    """

    ref: Ref
    attempts: int = 0
    suspicions: int = 0


@dataclass(frozen=True, slots=True)
class FetchLease:
    """Items that one worker may fetch from one holder until the lease expires.

    ``token`` fences `settle`: after expiry the items belong to whoever leased them next.
    """

    holder: NodeId
    token: str
    items: tuple[FetchItem, ...]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a lease's items; items it does not name are given back at once."""

    done: tuple[Digest, ...] = ()
    """Stored, known or decided: leave every holder's queue."""
    failed: Mapping[Digest, int] = field(default_factory=dict)
    """Digest → time of the next attempt; counts an attempt."""
    missing: tuple[Digest, ...] = ()
    """The holder does not give it: leaves this holder's queue only."""
    dead: Mapping[Digest, str] = field(default_factory=dict)
    """Digest → reason: leaves this holder's queue for the dead letters."""
    suspects: Mapping[Digest, str] = field(default_factory=dict)
    """Digest → reason: one of them made the answer unusable. Each counts a suspicion, as when a
    lease expires, and is leased in smaller company from now on (see `WorkState.lease`)."""
    muted: Mapping[Digest, int] = field(default_factory=dict)
    """Digest → time before which this node does not want it; counts nothing against it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that is not tried again before the next sweep, unless the operator requeues it."""

    ref: Ref
    holder: NodeId
    reason: str
    attempts: int
    at: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the present catching up with a peer's log has got, for people.

    Args:
        started_at: when it began (ms).
        at: when this was noted (ms).
        posts: taken since it began.
        remaining: log entries the peer says are left.
    """

    started_at: int
    at: int
    posts: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A request that the gateway admitted: what its worker needs besides the body.

    Args:
        token: random; names the stored body and fences the nonce.
        gateway: the reply list's name.
        sender: the sender's node id.
        node_keys: the sender's node keys that signed.
        pool_keys: keys in the pool role that signed (ours or not).
        media_type: of the body.
        base_digest: SHA-256 hex of the request's signature base (answers bind to it).
        received_at: when the gateway received it.
        accepts_gzip: whether the answer may be compressed.
    """

    token: str
    gateway: str
    sender: NodeId
    node_keys: tuple[KeyText, ...]
    pool_keys: tuple[KeyText, ...]
    media_type: str
    base_digest: str
    received_at: int
    accepts_gzip: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer on its way from a worker to the gateway that holds the request."""

    token: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """A request that was refused, kept (bounded) for the operator."""

    at: int
    sender: str
    code: str
    message: str


DoorbellKind = Literal["announce", "fetch", "pull", "repair", "roster", "look"]
HoldKind = Literal["announce", "fetch", "pull", "repair", "roster", "look", "slow"]
"""Kinds of leases; ``slow`` is for the few slots in which slow peers are called."""
DueKind = Literal["announce", "fetch", "pull", "repair", "roster", "sweep"]
"""Kinds of times; ``sweep``: when the log of a peer that cannot compare sets is read again."""


class WorkState(MalformedWork, RateWork, LookWork, Protocol):
    """Redis: bodies in flight, the fetch queue, leases, doorbell flags, peers' health.

    All of it may vanish at any moment (a flush): that costs time, never data. Each method is one
    atomic operation. All keys carry the node's prefix. Nothing here grows without bound.
    """

    # requests in hand

    def admit(self, receipt: Receipt, nonce: str, body: bytes, now: int) -> Entry:
        """Set the nonce of (sender, nonce) and store receipt and body, both expiring.

        Nothing is stored or counted where the nonce was used by another receipt: who repeats a
        sender's messages does not spend its rate. Then the sender's bucket gives one of its
        ``peer_burst_requests_max`` tokens, or nothing is stored and the nonce is free still.
        """

    def take_request(self, token: str) -> tuple[Receipt, bytes] | None:
        """Return a stored request, leaving it for a redelivered task; None: expired or answered."""

    def forget_request(self, token: str) -> None:
        """Drop a stored request whose gateway waits no longer: its worker finds it gone."""

    def reply(self, gateway: str, reply: Reply) -> None:
        """Hand an answer to the gateway that waits for it and drop the stored request."""

    def note_refusal(self, record: RefusalRecord) -> None:
        """Keep a refusal for the operator; the oldest of too many are dropped."""

    def refusals(self, limit: int) -> list[RefusalRecord]:
        """Return the newest refusals, newest first."""

    # fetch queue

    def want(self, holder: NodeId, refs: Sequence[Ref], now: int) -> list[Wanted]:
        """Queue refs for fetching from ``holder``, due now; per ref, what became of it.

        A ref queued there already keeps its attempts and time, unless that lies further ahead than
        any pause lasts: it is of a clock that was put back. ``LATER`` where another holder has
        it queued: it is queued here as well, and whoever's turn comes first fetches it.
        """

    def lease(self, holder: NodeId, limit: int, bytes_max: int, now: int) -> FetchLease | None:
        """Lease due items of a holder, smallest due time first; None where nothing is due.

        Items claimed by a fetch from another holder are passed over. The first item is given
        whatever its size. A lease that expires gives its items back with one suspicion each.
        An item with one suspicion is leased with at most ``suspects_max`` in all, with more alone,
        so that one that kills its worker is found out; with ``crash_attempts_max`` it is dead.
        """

    def settle(self, lease: FetchLease, outcome: Settlement, now: int) -> bool:
        """End a lease; False, and nothing changed, where it had expired and was taken over."""

    def due_holders(self, now: int, limit: int) -> list[NodeId]:
        """Return holders with due (or lease-expired) items, longest due first."""

    def queued(self) -> dict[NodeId, int]:
        """Return the number of queued items per holder, leased ones included."""

    def dead(self, limit: int) -> list[DeadLetter]:
        """Return dead letters, newest first."""

    def requeue(self, digests: Collection[Digest], now: int, holder: NodeId | None = None) -> int:
        """Queue dead letters again with no attempts counted; return how many.

        Letters of all holders are meant, or of one. Where the queue is full they stay dead.
        """

    def drop(self, digests: Collection[Digest], holder: NodeId | None = None) -> int:
        """Remove dead letters, of all holders or of one; return how many."""

    def hasten(self, holder: NodeId, now: int) -> int:
        """Make items that wait for a later attempt due now; return how many.

        Leased ones are left to their lease; attempts and suspicions stay as they are.
        """

    # doorbells, leases, breakers

    def ring(self, kind: DoorbellKind, peer: NodeId, now: int) -> bool:
        """Set the doorbell flag; True where it was not set, so that a message must be sent.

        A flag expires after ``doorbell_seconds``: its message may have been lost.
        """

    def hear(self, kind: DoorbellKind, peer: NodeId) -> None:
        """Clear the flag, before the work starts: a ring during the work is a new ring."""

    def hold(self, kind: HoldKind, peer: NodeId, token: str, now: int) -> bool:
        """Take the lease of one kind of work for one peer; False where another token has it.

        The same token renews. The lease expires after ``lease_seconds``.
        """

    def release(self, kind: HoldKind, peer: NodeId, token: str) -> None:
        """Give a lease back if ``token`` still has it."""

    def breakers(self, peers: Collection[NodeId]) -> dict[NodeId, Breaker]:
        """Return the breaker of each of ``peers``, in one round trip."""

    def set_breaker(self, peer: NodeId, before: Breaker, after: Breaker) -> bool:
        """Replace a peer's breaker if it is still ``before``; False, and unchanged, where not."""

    def set_dues(self, kind: DueKind, times: Mapping[NodeId, int]) -> None:
        """Store when the next periodic work of a kind is due, per peer, in one round trip."""

    def dues(self, kind: DueKind, peers: Collection[NodeId]) -> dict[NodeId, int]:
        """Return that time of each of ``peers``, 0 where none is stored; in one round trip."""

    def note_progress(self, peer: NodeId, progress: Progress | None) -> None:
        """Keep how far catching up with a peer has got; None: it is done."""

    def progresses(self, peers: Collection[NodeId]) -> dict[NodeId, Progress]:
        """Return the progress of those of ``peers`` that are being caught up with."""

    def forget(self, peer: NodeId) -> None:
        """Drop all that is kept of a peer: queue, dead letters, flags, breaker, times."""
