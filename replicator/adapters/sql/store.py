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
    deciding,
    expiring,
    lookups,
    removing,
    schema,
)
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.reconciled import SummedItems
from replicator.adapters.sql.room import Room
from replicator.adapters.sql.store_backfill import SqlBackfillStore
from replicator.adapters.sql.store_moderation import SqlModerationStore
from replicator.adapters.sql.store_peers import SqlPeerStore
from replicator.adapters.sql.store_quarantine import SqlQuarantineStore
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.ports import (
    Added,
    Incoming,
    Keep,
    Page,
    Query,
    RefPage,
    Totals,
)
from replicator.protocol.cursor import decode_cursor
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, Ref
from replicator.rules.negentropy import Items


class SqlStore(SqlPeerStore, SqlQuarantineStore, SqlBackfillStore, SqlModerationStore):
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
        self, posts: Collection[Post], pools: Collection[KeyText], reason: str | None, now: int
    ) -> None:
        """Record posts as decided against, in pools; a held one stays held."""
        with self._database.writing() as connection:
            deciding.decide_against(connection, posts, pools, (reason, now), self._limits)

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

    def _own_log_id(self, connection: Connection) -> bytes:
        if self._log_id is None:
            found = connection.scalar(select(schema.log.c.id))
            if found is None:
                raise ConfigurationError("the database has no log id: run `replicator migrate`")
            self._log_id = found
        return self._log_id
