"""What goes into the store and comes out of it, as value objects. Pure data."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from replicator.protocol.ids import Cursor, KeyText, NodeId, origin_of
from replicator.protocol.messages import Filter
from replicator.protocol.post import Post, Ref


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
    remaining: int = 0
    """Log entries after ``cursor`` at most, whoever may see them; removed ones count as well."""


@dataclass(frozen=True, slots=True)
class RefPage:
    """As `Page`, with refs: content is not read."""

    refs: tuple[Ref, ...]
    cursor: Cursor
    more: bool
    remaining: int = 0


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
    """How it came here: ``address``, ``operator``, ``pool``, ``roster`` or ``announcement``."""
    until: int | None = None
    """When a current key retires by itself (ms); None: not."""


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
class Keep:
    """How much of each origin's posts is kept; None: no bound."""

    posts: int | None = None
    size: int | None = None
    """Canonical bytes."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a pool as it introduced itself.

    Args:
        node: its node id.
        pools: pools of ours whose key signed the document.
        document: the signed node document as compact JSON, verified before it came here.
        time: the document's own, in ms: the newest one counts.
        offered: nobody has decided yet whether it becomes a peer (roster policy ``ask``).
    """

    node: NodeId
    pools: frozenset[KeyText]
    document: bytes
    time: int
    offered: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A copy of a post whose origin is not known here, as it waits in quarantine.

    Args:
        post: all its signatures were verified.
        deliverer: the node that gave it.
        pools: pools of ours in which the deliverer proved membership then.
    """

    post: Post
    deliverer: NodeId
    pools: frozenset[KeyText] = frozenset()


@dataclass(frozen=True, slots=True)
class WaitingEntry:
    """What there is to know of a copy in quarantine without reading its content.

    Args:
        id: the store's number of it; later copies have higher ones.
        ref: of the post.
        signers: the keys that signed it.
    """

    id: int
    ref: Ref
    signers: frozenset[KeyText]

    @property
    def origin(self) -> NodeId:
        """The node that the post names as its origin."""
        return origin_of(self.ref.id)


@dataclass(frozen=True, slots=True)
class WaitingOrigin:
    """What waits in quarantine of one origin, for people.

    Args:
        copies: one per post and deliverer; ``size``: their canonical bytes.
        deliverers: who gave them, by id.
        oldest: when the first of them came (ms).
    """

    origin: NodeId
    copies: int
    size: int
    deliverers: tuple[NodeId, ...]
    oldest: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """A way through a log from its epoch that is not at its end.

    Args:
        id: the store's number of it; later ones have higher ones.
        peer: whose log; this node's own id: its own.
        query: what is looked for; the store compares it and does not read it.
        cursor: how far it got; None: the epoch.
        reason: why it was started, for people.
        created_at: when (ms).
        posts: that came so far.
        remaining: log entries to come, where anybody has said.
    """

    id: int
    peer: NodeId
    query: str
    cursor: Cursor | None
    reason: str
    created_at: int
    posts: int = 0
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of the store, for people and monitors.

    Args:
        posts: held.
        last_change: sequence of the last log entry.
        gaps: refs that pulls passed and that are still missing.
        peers: known.
        size: canonical bytes of the posts held.
        decided: digests remembered of posts that are not held.
        floor: posts published before are neither kept nor taken (ms since the epoch).
        full: whether there is no room for another post.
    """

    posts: int
    last_change: int
    gaps: int
    peers: int
    size: int = 0
    decided: int = 0
    floor: int = 0
    full: bool = False
