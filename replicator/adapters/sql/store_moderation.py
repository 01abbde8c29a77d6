"""The part of the store about blocks and equivocation: each method as one transaction."""

from collections.abc import Collection

from replicator.adapters.sql import equivocations, moderation, reopening
from replicator.adapters.sql.engine import Database
from replicator.limits import Limits
from replicator.node.ports import Block, BlockName, Covered, Equivocation, Equivocator, Reopened
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.post import Post, Ref


class SqlModerationStore:
    """Implements `replicator.node.ports.ModerationStore`; `SqlStore` opens what it works with."""

    _database: Database
    _limits: Limits

    def add_blocks(self, names: Collection[BlockName], reason: str, now: int) -> int:
        """Block; return how many were not blocked before."""
        with self._database.writing() as connection:
            return moderation.add_rows(connection, names, reason, now, self._limits)

    def lift_blocks(self, names: Collection[BlockName]) -> int:
        """Let blocks count no more; return how many of ``names`` were blocked."""
        with self._database.writing() as connection:
            return moderation.lift_rows(connection, names)

    def apply_blocks(self, now: int) -> int:
        """Do one bounded step of what blocks ask for; 0: there is nothing to do."""
        with self._database.writing() as connection:
            return moderation.apply(connection, now, self._limits)

    def blocks(self) -> list[Block]:
        """Return all blocks that count, by kind and value."""
        with self._database.reading() as connection:
            return moderation.read_blocks(connection)

    def blocked(self, refs: Collection[Ref]) -> set[Digest]:
        """Return the digests of refs whose digest, id or origin is blocked."""
        if not refs:
            return set()
        with self._database.reading() as connection:
            return moderation.blocked_among(connection, refs)

    def covered(self, names: Collection[BlockName]) -> Covered:
        """Return what ``names`` stand for, blocked or not."""
        with self._database.reading() as connection:
            return moderation.count_covered(connection, names)

    def reopen(self, now: int) -> Reopened | None:
        """Judge anew some of what lost to another content of its id; None: nothing is left."""
        with self._database.reading() as connection:
            if not reopening.is_left(connection):
                return None  # the usual case is not worth a turn to write
        with self._database.writing() as connection:
            return reopening.reopen(connection, now, self._limits)

    def end_reopening(self, step: Reopened) -> None:
        """Note that what the last step of an origin found is looked for."""
        with self._database.writing() as connection:
            reopening.end_reopening(connection, step)

    def equivocators(self, nodes: Collection[NodeId] | None = None) -> list[Equivocator]:
        """Return origins (of ``nodes``) seen to equivocate, the one seen last first."""
        with self._database.reading() as connection:
            return equivocations.read_flagged(connection, nodes)

    def equivocations(self) -> list[Equivocation]:
        """Return the evidence that is kept, the newest first."""
        with self._database.reading() as connection:
            return equivocations.read_evidence(connection)

    def lost_posts(self, digests: Collection[Digest]) -> list[Post]:
        """Return posts that lost to another content of their id and are kept as evidence."""
        if not digests:
            return []
        with self._database.reading() as connection:
            return equivocations.read_lost(connection, digests)
