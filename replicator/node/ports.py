"""The outside things a node needs, as interfaces, each with a twin and one contract suite.

Nothing here does I/O. Adapters (`replicator.adapters`) implement these; use cases receive them.
Methods raise only errors of `replicator.errors`: the store `StoreUnavailable`, the work state
`WorkUnavailable`, the doorbell `BrokerUnavailable`, the transport `PeerUnavailable` and
`BadAnswer`. All times are ms since the Unix epoch, UTC. Every write is idempotent: doing it twice
is doing it once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, TypeVar

from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.messages import Filter
from replicator.protocol.post import Post, Ref

# --- store: the truth ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Incoming:
    """A verified post on its way into the store.

    Args:
        post: authenticated already; every signature in it was verified.
        received_from: the node that delivered it, or None where it was published here.
        pools: of the pools this node holds, those whose keys signed the post.
        entry_pools: the subset that this node must announce the post in: it is the post's entry
            node there, because nobody of that pool delivered it.
    """

    post: Post
    received_from: NodeId | None
    pools: frozenset[KeyText] = frozenset()
    entry_pools: frozenset[KeyText] = frozenset()


class Added(StrEnum):
    """What became of one post given to `Store.add`."""

    STORED = "stored"
    KNOWN = "known"
    """Held with the same digest; further signatures and pools were merged."""
    DECIDED = "decided"
    """Decided against before; not stored."""
    REPLACED = "replaced"
    """Stored in place of another content of the same id (equivocation, smaller digest wins)."""
    LOST = "lost"
    """Another content of the same id is kept (equivocation); this digest is now decided."""
    CONFLICT = "conflict"
    """`Store.publish` only: the id is held with another content; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to read from the change log.

    Args:
        filter: as in a pull; None is everything.
        scopes: only posts of any of these pools; None is every post, an empty set is none.
        limit: rows at most.
        bytes_max: canonical bytes at most; the first matching row is given whatever its size.
    """

    filter: Filter | None = None
    scopes: frozenset[KeyText] | None = None
    limit: int = 500
    bytes_max: int = 1 << 40


@dataclass(frozen=True, slots=True)
class Page:
    """Posts in change-log order.

    Args:
        posts: at most the query's limit and bytes.
        cursor: after the last entry looked at; equal to the given one where nothing was.
        more: whether entries after ``cursor`` exist. An empty page with more is legal.
    """

    posts: tuple[Post, ...]
    cursor: Cursor
    more: bool


@dataclass(frozen=True, slots=True)
class RefPage:
    """As `Page`, with refs: content is not read."""

    refs: tuple[Ref, ...]
    cursor: Cursor
    more: bool


@dataclass(frozen=True, slots=True)
class LanePage:
    """What a lane has to announce next.

    Args:
        refs: in change-log order, posts that this node must announce in one of the pools.
        positions: the change-log sequence of each ref, ascending.
        upto: where the lane may move to once all refs are delivered (past skipped entries too).
    """

    refs: tuple[Ref, ...]
    positions: tuple[int, ...]
    upto: int


@dataclass(frozen=True, slots=True)
class Pin:
    """A node key that is pinned for a node."""

    key: KeyText
    state: Literal["current", "retired", "revoked"]
    pinned_at: int
    source: str
    """How it came here: ``address``, ``operator``, ``pool`` or ``announcement``."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A node this node speaks with.

    Args:
        id: its node id.
        address: base URL (``https://host:port``), or None where it only speaks to us.
        pools: pools of ours in which it has proved membership.
        pushed: change-log sequence up to which its lane has delivered.
        pulled: its cursor up to which this node has pulled, or None for the epoch.
        clock_offset_ms: its clock minus ours, learned from a ``stale`` answer.
        paused: the operator stopped the lanes towards it.
    """

    id: NodeId
    address: str | None = None
    pools: frozenset[KeyText] = frozenset()
    pushed: int = 0
    pulled: Cursor | None = None
    clock_offset_ms: int = 0
    paused: bool = False
    added_at: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of the store, for people and monitors."""

    posts: int
    last_change: int
    gaps: int
    peers: int


class Store(Protocol):
    """The database: posts, the change log, peers, pins and cursors. It is the truth.

    The change log is append-only; sequences grow, gaps are normal, and a reader never passes an
    entry that commits later (see `adapters.sql`). Each method is one transaction.
    """

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts and their change-log entries; one outcome per item, in order.

        A digest that is stored leaves `gaps`. Posts given twice in one call are stored once.
        """

    def publish(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """As `add`, for posts made here: an id that is held with another digest is `CONFLICT`.

        Of two items of one call with the same id the first counts. This node never equivocates.
        """

    def decide(self, digests: Collection[Digest], reason: str, now: int) -> None:
        """Record digests as decided against, by lasting policy; they leave `gaps`."""

    def known(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are decided: held, or decided against."""

    def held(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held."""

    def get(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Post]:
        """Return held posts by id or digest within ``scopes`` (as in `Query`), in no set order."""

    def refs(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Ref]:
        """As `get`, with refs: content is not read, so the answer is bounded by what is asked."""

    def page(self, query: Query, after: Cursor | None) -> Page:
        """Return the next posts of the change log after ``after`` (None: from the epoch).

        Raises:
            Refusal: ``bad-cursor`` where ``after`` is not of this database's log, is past its
                end, or names another digest than the entry it points at.
        """

    def ref_page(self, query: Query, after: Cursor | None) -> RefPage:
        """As `page`, with refs; reads no content."""

    def end_cursor(self) -> Cursor:
        """Return the cursor after the last change-log entry."""

    def digests(self) -> list[tuple[Digest, int]]:
        """Return (digest, published) of every held post, ordered by digest."""

    def last_change(self) -> int:
        """Return the sequence of the last change-log entry, 0 where there is none. Cheap."""

    def totals(self) -> Totals:
        """Return counts."""

    # peers and cursors

    def peers(self) -> list[Peer]:
        """Return all peers, ordered by id."""

    def peer(self, node: NodeId) -> Peer | None:
        """Return one peer, or None."""

    def add_peer(self, node: NodeId, address: str | None, now: int) -> None:
        """Add a peer, or give a known one another address (None keeps the present one)."""

    def join_pools(self, node: NodeId, pools: Collection[KeyText]) -> bool:
        """Note that a peer proved membership in pools; return whether any was new.

        When a membership is new, the peer's lane starts from the beginning of the log (``pushed``
        0), and its pull cursor from the epoch: the scope both share has grown.
        """

    def set_paused(self, node: NodeId, *, paused: bool) -> None:
        """Stop or start the lanes towards a peer."""

    def set_clock_offset(self, node: NodeId, offset_ms: int) -> None:
        """Remember a peer's clock minus ours."""

    def forget_peer(self, node: NodeId) -> bool:
        """Remove a peer with its pins, pools, cursors and gaps; posts stay. False: not there."""

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        """Return what the lane to ``peer`` has to announce after ``peer.pushed``.

        That is every entry of a post with one of ``pools`` among its entry pools, not received
        from the peer itself. Looks at a bounded number of entries; ``upto`` moves in any case.
        """

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        """Move ``pushed`` from ``before`` to ``after``; raise `CursorConflict` if it moved."""

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
        """Commit one pulled page: its posts, what could not be had yet, and the cursor, at once.

        Gaps that are decided already are not kept. Raises `CursorConflict`, and saves nothing,
        where the cursor is not ``before`` any more.
        """

    def gaps(self, node: NodeId, limit: int) -> list[Ref]:
        """Return refs that pulls from ``node`` passed and that are still missing, oldest first."""

    def drop_gaps(self, node: NodeId, digests: Collection[Digest]) -> None:
        """Forget gaps of one holder (it turned out not to give them)."""

    # pins

    def pins(self, node: NodeId) -> tuple[Pin, ...]:
        """Return the keys pinned for a node, current first; empty where none is."""

    def all_pins(self, nodes: Collection[NodeId]) -> dict[NodeId, tuple[Pin, ...]]:
        """Return pins of many nodes in one query; nodes without pins are absent."""

    def pin(self, node: NodeId, keys: Collection[KeyText], source: str, now: int) -> bool:
        """Pin keys for a node that has none; return False (and change nothing) where it has."""

    def repin(self, node: NodeId, keys: Collection[KeyText], now: int) -> None:
        """Replace a node's pins by the operator's word; old keys become retired."""


# --- work state: the work in hand ----------------------------------------------------------------


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
    """An item that is not tried again unless the operator requeues it."""

    ref: Ref
    holder: NodeId
    reason: str
    attempts: int
    at: int


@dataclass(frozen=True, slots=True)
class Health:
    """How calls to a peer have gone: ``failures`` in a row, no call before ``next_at`` (ms)."""

    failures: int = 0
    next_at: int = 0
    reason: str = ""


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


# --- the rest ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ring:
    """One doorbell message: run ``task`` for ``peer`` (None: for the node).

    ``note`` is what a person reads in Flower besides the peer ("3 posts, 4,096 bytes").

    Raises:
        ValueError: an answer without the token of its request, or work for a peer without one.
    """

    task: Literal["answer", "announce", "fetch", "pull", "repair", "upkeep"]
    peer: NodeId | None = None
    token: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if (self.task == "answer") != (self.token is not None):
            raise ValueError("an answer, and nothing else, has the token of a request")
        if self.peer is None and self.task not in ("answer", "upkeep"):
            raise ValueError(f"{self.task} needs a peer")


class Doorbell(Protocol):
    """The message broker, as far as `replicator` knows it. A lost message costs time only."""

    def ring(self, rings: Sequence[Ring]) -> None:
        """Send messages, all in one go; raise `BrokerUnavailable` where that is in doubt."""


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """An HTTP answer as it came, body bounded while reading and decompressed.

    ``wire_body`` are the transmitted bytes (what the content digest covers).
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    wire_body: bytes


class Transport(Protocol):
    """One call to a peer's address. No retries, no redirects, no proxies."""

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        """Send one request and read one answer within ``seconds`` in all.

        Raises:
            PeerUnavailable: no connection, no complete answer in time, or a redirect.
            BadAnswer: the answer is larger than ``bytes_max``, or does not decompress.
        """

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        """As `post`, for a document that is read without a request body."""


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> int:
        """Return ms since the Unix epoch, UTC."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Pending(Protocol[T_co]):
    """A value that may still be under way."""

    def result(self) -> T_co:
        """Wait for the value, or raise what its making raised."""


class Background(Protocol):
    """Runs something beside the caller; the twin runs it when its result is asked for."""

    def submit(self, work: Callable[[], T]) -> Pending[T]:
        """Start ``work``."""
