"""The quarantine as a port: copies of posts whose origin is not known here.

A copy belongs to its deliverer: what one peer gives neither blocks nor changes what another one
gave. Nothing of it is held, decided, served, reconciled or in the change log.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from replicator.node.ports.records import Waiting, WaitingEntry, WaitingOrigin
from replicator.protocol.ids import Digest, NodeId


class QuarantineStore(Protocol):
    """The part of `Store` about posts of unknown origin."""

    def quarantine(self, items: Sequence[Waiting], now: int) -> set[Digest]:
        """Keep copies; return which of their digests wait now, of these deliverers.

        A copy that waits already gets the further signatures and pools; where there is not room for
        all signatures, those given now stay. Not kept is what is decided here, what is beyond
        ``quarantine_posts_per_peer_max`` or ``quarantine_bytes_per_peer_max`` of its deliverer, or
        beyond the bounds of all together, and anything while the store is full.
        """

    def quarantined(self, deliverer: NodeId, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` wait here as ``deliverer`` gave them. Cheap where none do."""

    def waiting(self, after: int, limit: int) -> list[WaitingEntry]:
        """Return copies by their number after ``after`` (0: from the first); reads no content."""

    def waiting_copies(self, ids: Collection[int]) -> dict[int, Waiting]:
        """Return copies by their numbers; those that are gone are absent."""

    def drop_waiting(self, ids: Collection[int]) -> None:
        """Forget copies by their numbers."""

    def expire_waiting(self, before: int) -> int:
        """Forget copies noted before ``before`` (ms), or decided meanwhile; return how many."""

    def waiting_origins(self) -> list[WaitingOrigin]:
        """Return what waits, by origin. For people: reads an index of all copies."""
