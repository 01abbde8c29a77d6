"""Backfills as a port: ways through a log that survive restarts, and what they were started for."""

from collections.abc import Collection, Sequence
from typing import Protocol

from replicator.node.ports.records import Added, Backfill, Incoming
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.post import Ref


class BackfillStore(Protocol):
    """The part of `Store` about backfills."""

    def add_backfills(
        self,
        peers: Collection[NodeId],
        query: str,
        reason: str,
        now: int,
        *,
        whole: tuple[str, str] | None = None,
    ) -> None:
        """Note a way through the log of each of ``peers``, in one transaction.

        One for the same peer and query starts anew from the epoch, as the newest. Beyond
        ``backfills_per_peer_max`` the oldest of a peer goes on, whatever comes, and one for
        everything takes the place of all others and of the new one.

        Args:
            whole: two queries that look for everything, so that one of them can wait while the
                other is under way; None: as many ways as there are queries.
        """

    def backfills(self, peer: NodeId | None = None) -> list[Backfill]:
        """Return backfills (of one peer), the oldest first."""

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
        """Commit one page: its posts, what could not be had yet (as `record_pull`), the cursor.

        Raises:
            CursorConflict: it is not at ``job.cursor`` any more, or gone; nothing is saved.
            StoreFull: no room; nothing is saved.
        """

    def end_backfill(self, job: Backfill) -> None:
        """Forget one at its end; raise `CursorConflict` where it is not at ``job.cursor``."""

    def filled(self) -> set[str]:
        """Return for what backfills were started (see `note_filled`)."""

    def note_filled(self, names: Collection[str], now: int) -> None:
        """Note that backfills were started for ``names``, and for nothing else."""
