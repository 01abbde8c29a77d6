"""Redis as a port: the work in hand, which may vanish at any moment. Raises `WorkUnavailable`.

All times are ms since the Unix epoch, UTC; `now` is always an argument.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from replicator.protocol.ids import Digest, KeyText, NodeId
from replicator.protocol.post import Ref


@dataclass(frozen=True, slots=True)
class FetchItem:
    """A post that is wanted from a holder; ``attempts`` counts tries that ended badly."""

    ref: Ref
    attempts: int = 0


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


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that is not tried again before the next sweep, unless the operator requeues it."""

    ref: Ref
    holder: NodeId
    reason: str
    attempts: int
    at: int


@dataclass(frozen=True, slots=True)
class Health:
    """How calls to a peer have gone: ``failures`` in a row, no call before ``next_at`` (ms).

    ``slow``: the last failure held its caller for longer than making a connection may.
    """

    failures: int = 0
    next_at: int = 0
    reason: str = ""
    slow: bool = False


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


DoorbellKind = Literal["announce", "fetch", "pull", "repair"]


class WorkState(Protocol):
    """Redis: bodies in flight, the fetch queue, leases, doorbell flags, peers' health.

    All of it may vanish at any moment (a flush): that costs time, never data. Each method is one
    atomic operation. All keys carry the node's prefix. Nothing here grows without bound.
    """

    # requests in hand

    def admit(self, receipt: Receipt, nonce: str, body: bytes, now: int) -> bool:
        """Set the nonce of (sender, nonce) and store receipt and body, both expiring.

        Returns False, and stores nothing, where the nonce was used by another receipt.
        """

    def take_request(self, token: str) -> tuple[Receipt, bytes] | None:
        """Return a stored request, leaving it for a redelivered task; None: expired or answered."""

    def reply(self, gateway: str, reply: Reply) -> None:
        """Hand an answer to the gateway that waits for it and drop the stored request."""

    def note_refusal(self, record: RefusalRecord) -> None:
        """Keep a refusal for the operator; the oldest of too many are dropped."""

    def refusals(self, limit: int) -> list[RefusalRecord]:
        """Return the newest refusals, newest first."""

    # fetch queue

    def want(self, holder: NodeId, refs: Sequence[Ref], now: int) -> list[bool]:
        """Queue refs for fetching from ``holder``, due now; per ref, whether it is queued.

        A ref queued there already keeps its attempts and time (True). False: the holder's queue
        is full; the holder is then still repaired by pull. A dead letter is not queued again.
        """

    def lease(self, holder: NodeId, limit: int, bytes_max: int, now: int) -> FetchLease | None:
        """Lease due items of a holder, smallest due time first; None where nothing is due.

        Items claimed by a fetch from another holder are passed over. The first item is given
        whatever its size. A lease that expires gives its items back with one attempt counted.
        """

    def settle(self, lease: FetchLease, outcome: Settlement, now: int) -> bool:
        """End a lease; False, and nothing changed, where it had expired and was taken over."""

    def due_holders(self, now: int, limit: int) -> list[NodeId]:
        """Return holders with due (or lease-expired) items, longest due first."""

    def queued(self) -> dict[NodeId, int]:
        """Return the number of queued items per holder, leased ones included."""

    def dead(self, limit: int) -> list[DeadLetter]:
        """Return dead letters, newest first."""

    def requeue(self, digests: Collection[Digest], now: int) -> int:
        """Queue dead letters again with no attempts counted; return how many."""

    def drop(self, digests: Collection[Digest]) -> int:
        """Remove dead letters; return how many."""

    # doorbells, leases, health

    def ring(self, kind: DoorbellKind, peer: NodeId, now: int) -> bool:
        """Set the doorbell flag; True where it was not set, so that a message must be sent.

        A flag expires after ``doorbell_seconds``: its message may have been lost.
        """

    def hear(self, kind: DoorbellKind, peer: NodeId) -> None:
        """Clear the flag, before the work starts: a ring during the work is a new ring."""

    def hold(self, kind: DoorbellKind, peer: NodeId, token: str, now: int) -> bool:
        """Take the lease of one kind of work for one peer; False where another token has it.

        The same token renews. The lease expires after ``lease_seconds``.
        """

    def release(self, kind: DoorbellKind, peer: NodeId, token: str) -> None:
        """Give a lease back if ``token`` still has it."""

    def health(self, peer: NodeId) -> Health:
        """Return how calls to a peer have gone."""

    def set_health(self, peer: NodeId, health: Health) -> None:
        """Store a peer's health; a default `Health` clears it."""

    def set_due(self, kind: DoorbellKind, peer: NodeId, at: int) -> None:
        """Store when the next periodic work of a kind is due."""

    def due(self, kind: DoorbellKind, peer: NodeId) -> int:
        """Return that time, or 0 where none is stored (due at once)."""
