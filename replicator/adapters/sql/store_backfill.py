"""The part of the store about backfills: each method as one transaction."""

from collections.abc import Collection, Sequence

from replicator.adapters.sql import adding, backfill, peers
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.room import Room
from replicator.limits import Limits
from replicator.node.ports import Added, Backfill, Incoming
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.post import Ref


class SqlBackfillStore:
    """Implements `replicator.node.ports.BackfillStore`; `SqlStore` opens what it works with."""

    _database: Database
    _limits: Limits
    _room: Room

    def add_backfills(
        self,
        peers: Collection[NodeId],
        query: str,
        reason: str,
        now: int,
        *,
        whole: tuple[str, str] | None = None,
    ) -> None:
        """Note a way through the log of each of ``peers``; where they are many, one for all."""
        if not peers:
            return
        bound = self._limits.backfills_per_peer_max
        widened = None if whole is None else (bound, whole)
        with self._database.writing() as connection:
            backfill.put_backfills(connection, peers, query, (reason, now), widened)

    def backfills(self, peer: NodeId | None = None) -> list[Backfill]:
        """Return backfills (of one peer), the oldest first."""
        with self._database.reading() as connection:
            return backfill.read_backfills(connection, peer)

    def move_backfill(
        self,
        job: Backfill,
        after: Cursor | None,
        *,
        posts: Sequence[Incoming] = (),
        gaps: Sequence[Ref] = (),
        remaining: int | None = None,
        now: int,
    ) -> list[Added]:
        """Commit one page with its cursor; raise `CursorConflict` where that moved."""
        with self._database.writing() as connection:
            backfill.move_cursor(connection, job, after, len(posts), remaining)
            if posts:
                self._room.require(connection)
            outcomes = adding.add_posts(connection, posts, now, self._limits)
            peers.put_gaps(connection, job.peer, gaps, self._limits.gaps_per_peer_max)
            return outcomes

    def end_backfill(self, job: Backfill) -> None:
        """Forget one that is at its end; raise `CursorConflict` where it moved."""
        with self._database.writing() as connection:
            backfill.remove_backfill(connection, job)

    def filled(self) -> set[str]:
        """Return for what backfills were started."""
        with self._database.reading() as connection:
            return backfill.read_filled(connection)

    def note_filled(self, names: Collection[str], now: int) -> None:
        """Note that backfills were started for ``names``, and for nothing else."""
        with self._database.writing() as connection:
            backfill.put_filled(connection, names, now)
