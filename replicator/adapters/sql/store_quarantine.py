"""The part of the store about posts of unknown origin: each method as one transaction."""

from collections.abc import Collection, Sequence

from replicator.adapters.sql import quarantine as copies
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.room import Room
from replicator.limits import Limits
from replicator.node.ports import Waiting, WaitingEntry, WaitingOrigin
from replicator.protocol.ids import Digest, NodeId


class SqlQuarantineStore:
    """Implements `replicator.node.ports.QuarantineStore`; `SqlStore` opens what it works with."""

    _database: Database
    _limits: Limits
    _room: Room

    def quarantine(self, items: Sequence[Waiting], now: int) -> set[Digest]:
        """Keep copies as far as there is room; return which of their digests wait now."""
        if not items:
            return set()
        with self._database.writing() as connection:
            if self._room.is_full(connection):
                return set()
            return copies.put_copies(connection, items, now, self._limits)

    def quarantined(self, deliverer: NodeId, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` wait here as ``deliverer`` gave them."""
        if not digests:
            return set()
        with self._database.reading() as connection:
            return copies.among_quarantined(connection, deliverer, digests)

    def waiting(self, after: int, limit: int) -> list[WaitingEntry]:
        """Return copies by their number after ``after``; reads no content."""
        with self._database.reading() as connection:
            return copies.read_entries(connection, after, limit)

    def waiting_copies(self, ids: Collection[int]) -> dict[int, Waiting]:
        """Return copies by their numbers; those that are gone are absent."""
        with self._database.reading() as connection:
            return copies.read_copies(connection, ids)

    def drop_waiting(self, ids: Collection[int]) -> None:
        """Forget copies by their numbers."""
        if ids:
            with self._database.writing() as connection:
                copies.remove_copies(connection, ids)

    def expire_waiting(self, before: int) -> int:
        """Forget copies noted before ``before``, or decided here meanwhile; return how many."""
        with self._database.reading() as connection:
            if copies.is_empty(connection):
                return 0  # the usual case is not worth a turn to write
        with self._database.writing() as connection:
            return copies.remove_old(connection, before)

    def waiting_origins(self) -> list[WaitingOrigin]:
        """Return what waits, by origin."""
        with self._database.reading() as connection:
            return copies.read_origins(connection)
