"""The store in SQLite or PostgreSQL: each method of the port as one transaction.

The work is in the modules beside this one; here stand the transactions and nothing else. See
`engine` for what a transaction guarantees and `replicator.node.ports.Store` for the contract.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, select

from replicator.adapters.sql import (
    adding,
    changes,
    expiring,
    lookups,
    peers,
    removing,
    roster,
    schema,
)
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.reconciled import SummedItems
from replicator.adapters.sql.room import Room
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.ports import (
    Added,
    Incoming,
    Keep,
    LanePage,
    Member,
    Page,
    Peer,
    Pin,
    Query,
    RefPage,
    Totals,
)
from replicator.protocol.cursor import decode_cursor
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, Ref
from replicator.rules.negentropy import Items


class SqlStore:
    """Implements `replicator.node.ports.Store`; threads may share one.

    Args:
        url: ``sqlite:///path`` or ``postgresql+psycopg://user:password@host/name``; the tables
            are there already (`migrate`). Nothing is opened before the first call.
        limits: bounds of pages, signatures, gaps and evidence.
        read_only: for a separate reader: every write fails.
        quota_bytes: what the database may use before no further posts are taken (see `room`).
    """

    def __init__(
        self,
        url: str,
        limits: Limits | None = None,
        *,
        read_only: bool = False,
        quota_bytes: int | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._database = Database(url, read_only=read_only)
        self._room = Room(self._database.url, quota_bytes, self._limits.disk_reserve_bytes)
        self._log_id: bytes | None = None

    def __repr__(self) -> str:
        return f"SqlStore({self._database!r})"

    def close(self) -> None:
        """Close the connections that are not in use; the store may still be used after."""
        self._database.close()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent.

        Each child of a prefork pool may call it at once; otherwise its first transaction does.
        """
        self._database.after_fork()

    # posts

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts; one outcome per item, in order.

        An item that is known merges its signatures and pools. A pool that is new for it makes one
        further log entry, seen by readers of that pool alone. Its ``entry_pools`` are announced
        only where the post was published here both times: a received post is never announced.
        """
        if not items:
            return []
        with self._database.writing() as connection:
            self._room.require(connection)
            return adding.add_posts(connection, items, now, self._limits)

    def publish(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts made here; another content under a held id is a conflict."""
        if not items:
            return []
        with self._database.writing() as connection:
            self._room.require(connection)
            return adding.add_posts(connection, items, now, self._limits, publishing=True)

    def decide(
        self, refs: Collection[Ref], pools: Collection[KeyText], reason: str, now: int
    ) -> None:
        """Record posts as decided against, in pools; a held one stays held."""
        with self._database.writing() as connection:
            adding.decide_against(connection, refs, pools, (reason, now), self._limits)

    def known(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held or decided against."""
        with self._database.reading() as connection:
            return lookups.known_digests(connection, digests)

    def held(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held."""
        with self._database.reading() as connection:
            return lookups.held_digests(connection, digests)

    def get(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Post]:
        """Return held posts by id or digest within ``scopes``, each once, in no set order."""
        with self._database.reading() as connection:
            return lookups.find_posts(connection, ids, digests, scopes)

    def refs(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Ref]:
        """As `get`, with refs; reads no content."""
        with self._database.reading() as connection:
            return lookups.find_refs(connection, ids, digests, scopes)

    def page(self, query: Query, after: Cursor | None) -> Page:
        """Return the next posts of the change log (see `changes` for who sees what twice)."""
        position = None if after is None else decode_cursor(after)
        with self._database.reading() as connection:
            log_id = self._own_log_id(connection)
            start = changes.start_of(connection, log_id, position)
            found = changes.read_page(connection, query, start, self._limits)
            posts = lookups.read_posts(connection, [row[1] for row in found.rows])
            return Page(
                tuple(posts[row[1]] for row in found.rows if row[1] in posts),
                changes.cursor_at(connection, log_id, found.upto),
                found.remaining > 0,
                found.remaining,
            )

    def ref_page(self, query: Query, after: Cursor | None) -> RefPage:
        """As `page`, with refs; reads no content."""
        position = None if after is None else decode_cursor(after)
        with self._database.reading() as connection:
            log_id = self._own_log_id(connection)
            start = changes.start_of(connection, log_id, position)
            found = changes.read_page(connection, query, start, self._limits)
            cursor = changes.cursor_at(connection, log_id, found.upto)
            refs = tuple(row[2] for row in found.rows)
            return RefPage(refs, cursor, found.remaining > 0, found.remaining)

    def end_cursor(self) -> Cursor:
        """Return the cursor after the last change-log entry."""
        with self._database.reading() as connection:
            return changes.last_cursor(connection, self._own_log_id(connection))

    def digests(self) -> list[tuple[Digest, int]]:
        """Return (digest, published) of every held post, ordered by digest."""
        with self._database.reading() as connection:
            return lookups.all_digests(connection)

    def last_change(self) -> int:
        """Return the sequence of the last change-log entry, 0 where there is none."""
        with self._database.reading() as connection:
            return removing.last_sequence(connection)

    def totals(self) -> Totals:
        """Return counts."""
        with self._database.reading() as connection:
            return lookups.count_all(connection, full=self._room.is_full(connection))

    # the reconciled set

    @contextmanager
    def reconciled(self, pool: KeyText, since: int) -> Iterator[Items]:
        """Open the set that is reconciled within a pool, in one reading transaction."""
        with self._database.viewing() as connection:
            number = lookups.pool_ids(connection, [pool]).get(pool)
            since = max(since, expiring.read_floor(connection))
            yield SummedItems(connection, number, since)

    # retention and room

    def floor(self) -> int:
        """Return the floor (ms): posts published before are neither kept nor taken."""
        with self._database.reading() as connection:
            return expiring.read_floor(connection)

    def raise_floor(self, floor: int) -> None:
        """Move the floor up, never down."""
        with self._database.writing() as connection:
            expiring.raise_floor(connection, floor)

    def origin_floors(self, origins: Collection[NodeId]) -> dict[NodeId, int]:
        """Return floors of origins that have one of their own, above the floor of all."""
        with self._database.reading() as connection:
            return expiring.read_origin_floors(connection, origins)

    def expire(self, keep: Keep, now: int) -> int:
        """Remove some of what is below a floor, or beyond what is kept of its origin.

        SQLite uses the pages again that posts leave; its file shrinks by ``VACUUM`` alone.
        """
        with self._database.writing() as connection:
            return expiring.expire(connection, keep, now, self._limits)

    def is_full(self) -> bool:
        """Tell whether there is no room for another post."""
        with self._database.reading() as connection:
            return self._room.is_full(connection)

    # members of the pools

    def note_member(self, member: Member, now: int) -> bool:
        """Keep an introduction; False where a newer or equal one is kept already."""
        with self._database.writing() as connection:
            return roster.note_member(connection, member, now, self._limits.roster_entries_max)

    def members(
        self, pool: KeyText | None = None, after: NodeId | None = None, limit: int = 100
    ) -> list[Member]:
        """Return introductions (of one pool), by node id after ``after``."""
        with self._database.reading() as connection:
            return roster.read_members(connection, pool, after, limit)

    def introductions(self, nodes: Collection[NodeId]) -> dict[NodeId, Member]:
        """Return the kept introductions of ``nodes``; those without one are absent."""
        with self._database.reading() as connection:
            return roster.read_introductions(connection, nodes)

    def drop_members(self, before: int) -> int:
        """Forget introductions not renewed since ``before``; return how many."""
        with self._database.writing() as connection:
            return roster.drop_members(connection, before)

    # peers and cursors

    def peers(self) -> list[Peer]:
        """Return all peers, ordered by id."""
        with self._database.reading() as connection:
            return peers.read_peers(connection)

    def peer(self, node: NodeId) -> Peer | None:
        """Return one peer, or None."""
        with self._database.reading() as connection:
            return peers.read_peer(connection, node)

    def add_peer(
        self, node: NodeId, address: str | None, now: int, *, peers_max: int | None = None
    ) -> bool:
        """Add a peer, or give a known one another address; False where there is no place."""
        with self._database.writing() as connection:
            return peers.put_peer(connection, node, address, now, peers_max)

    def join_pools(self, node: NodeId, pools: Collection[KeyText]) -> bool:
        """Note memberships of a peer (added where it is none yet); True where one was new."""
        with self._database.reading() as connection:
            peer = peers.read_peer(connection, node)
        if peer is not None and peer.pools.issuperset(pools):
            return False  # the usual case: every request of a pool-mate comes by here
        with self._database.writing() as connection:
            return peers.put_memberships(connection, node, pools)

    def set_paused(self, node: NodeId, *, paused: bool) -> None:
        """Stop or start the lanes towards a peer."""
        with self._database.writing() as connection:
            peers.set_peer(connection, node, paused=paused)

    def set_clock_offset(self, node: NodeId, offset_ms: int) -> None:
        """Remember a peer's clock minus ours."""
        with self._database.writing() as connection:
            peers.set_peer(connection, node, clock_offset_ms=offset_ms)

    def forget_peer(self, node: NodeId) -> bool:
        """Remove a peer, or the pins of a node that is none; False: there was neither."""
        with self._database.writing() as connection:
            return peers.remove_peer(connection, node)

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        """Return what the lane to ``peer`` has to announce after ``peer.pushed``."""
        with self._database.reading() as connection:
            return changes.read_lane(connection, peer, pools, limit, bytes_max)

    def move_lane(self, node: NodeId, before: int, after: int) -> None:
        """Move ``pushed``; raise `CursorConflict` if it moved, or the peer was forgotten."""
        with self._database.writing() as connection:
            peers.move_pushed(connection, node, before, after)

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
        """Commit one pulled page at once; raise `CursorConflict` where the cursor moved."""
        with self._database.writing() as connection:
            peers.move_pulled(connection, node, before, after)
            if posts:
                self._room.require(connection)
            outcomes = adding.add_posts(connection, posts, now, self._limits)
            peers.put_gaps(connection, node, gaps, self._limits.gaps_per_peer_max)
            return outcomes

    def gaps(self, node: NodeId, limit: int) -> list[Ref]:
        """Return refs that pulls from ``node`` passed and that are missing, oldest first."""
        with self._database.reading() as connection:
            return peers.read_gaps(connection, node, limit)

    def drop_gaps(self, node: NodeId, digests: Collection[Digest]) -> None:
        """Forget gaps of one holder."""
        with self._database.writing() as connection:
            peers.remove_gaps(connection, node, digests)

    # pins

    def pins(self, node: NodeId) -> tuple[Pin, ...]:
        """Return the keys pinned for a node, current first; empty where none is."""
        return self.all_pins((node,)).get(node, ())

    def all_pins(self, nodes: Collection[NodeId]) -> dict[NodeId, tuple[Pin, ...]]:
        """Return pins of many nodes in one query; nodes without pins are absent."""
        with self._database.reading() as connection:
            return peers.read_pins(connection, nodes)

    def pin(self, node: NodeId, keys: Collection[KeyText], source: str, now: int) -> bool:
        """Pin keys for a node that has none; return False (and change nothing) where it has."""
        if self.pins(node):
            return False  # the usual case is not worth a turn to write
        with self._database.writing() as connection:
            return peers.put_first_pins(connection, node, keys, source, now)

    def repin(self, node: NodeId, keys: Collection[KeyText], now: int) -> None:
        """Replace a node's pins by the operator's word; current keys become retired."""
        with self._database.writing() as connection:
            peers.replace_pins(connection, node, keys, now)

    def _own_log_id(self, connection: Connection) -> bytes:
        if self._log_id is None:
            found = connection.scalar(select(schema.log.c.id))
            if found is None:
                raise ConfigurationError("the database has no log id: run `replicator migrate`")
            self._log_id = found
        return self._log_id
