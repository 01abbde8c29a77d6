"""The database as a port: posts, the change log, peers, pins and cursors. It is the truth.

Raises `StoreUnavailable` and `ConfigurationError` besides what a method names.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from replicator.node.ports.backfill_store import BackfillStore
from replicator.node.ports.moderation_store import ModerationStore
from replicator.node.ports.peer_store import PeerStore
from replicator.node.ports.quarantine_store import QuarantineStore
from replicator.node.ports.records import Added, Incoming, Keep, Page, Query, RefPage, Totals
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, Ref
from replicator.rules.negentropy import Items


class Store(PeerStore, QuarantineStore, BackfillStore, ModerationStore, Protocol):
    """The database: posts, the change log, peers, pins and cursors. It is the truth.

    The change log is append-only; sequences grow, gaps are normal, and a reader never passes an
    entry that commits later (see `adapters.sql`). Each method is one transaction.
    """

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts and their change-log entries; one outcome per item, in order.

        A digest that is stored leaves `gaps`. Posts given twice in one call are stored once. One
        below the floor is not stored (`Added.DECIDED`): the floor rose after it was judged; nor is
        one that was blocked meanwhile, which is decided against. Of all contents seen under an id
        only the smallest digest is held, also where that one was decided against.

        Raises:
            StoreFull: no room; nothing was changed. `publish` and `record_pull` raise it too.
        """

    def publish(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """As `add`, for posts made here: an id that is held with another digest is `CONFLICT`.

        Of two items of one call with the same id the first counts. This node never equivocates.
        """

    def decide(
        self, posts: Collection[Post], pools: Collection[KeyText], reason: str | None, now: int
    ) -> None:
        """Record posts as decided against, by lasting policy; they leave `gaps`.

        Without a reason none is decided, and those that are known already are shown in ``pools``.

        They enter the reconciled set of ``pools``, so that repair does not bring them up again.
        One that is held stays held; one below the floor is not recorded. They were verified: a
        held post of the same id may have lost an equivocation to one (`rules.merging.contenders`).
        """

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

    # the reconciled set

    def reconciled(self, pool: KeyText, since: int) -> AbstractContextManager[Items]:
        """Open the set that is reconciled within a pool, in one reading transaction.

        It holds (published, digest) of every post that was ever visible in the pool and of those
        decided against there, from ``since`` (ms) and from the floor on. A fingerprint of any
        range reads the summary and at most a few of its entries' items, never all items.
        """

    # retention and room

    def floor(self) -> int:
        """Return the floor (ms): posts published before are neither kept nor taken."""

    def raise_floor(self, floor: int) -> None:
        """Move the floor up, never down. What is below it goes with the next `expire`."""

    def origin_floors(self, origins: Collection[NodeId]) -> dict[NodeId, int]:
        """Return floors (ms) of origins whose own is above the general one (see `Keep`)."""

    def expire(self, keep: Keep, now: int) -> int:
        """Remove some posts that are below the floor, or beyond what is kept of their origin.

        At most about ``expire_items_max`` in one transaction; returns how many posts, or else
        remembered digests, went; 0: nothing is left to remove. An origin's own floor rises past its
        removed posts, ties included. Their log entries go too; a cursor that points at one stays
        good. A removed post is decided against until the floor passes it. Where more digests than
        ``decided_items_max`` are remembered of posts not held, the floor rises until they fit, but
        never past a post that is held; what is still too much is forgotten, the oldest first.
        """

    def is_full(self) -> bool:
        """Tell whether there is no room for another post. Cheap."""
