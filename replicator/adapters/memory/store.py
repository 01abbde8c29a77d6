"""The store's twin in memory: the contract in the plainest form, for tests and the simulator.

Invariants: it answers every call as `replicator.adapters.sql.SqlStore` does (one contract suite
runs over both), and a call that raises changes nothing. It is the reference of the SQL store's
filters: `rules.filters.matches` over decoded content. What was stored lasts as long as the process:
it must not be a node's only store.
"""

import secrets
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from replicator.adapters.memory.backfill import MemoryBackfills
from replicator.adapters.memory.peers import MemoryPeers
from replicator.adapters.memory.peers_roster import MemoryRoster
from replicator.adapters.memory.quarantine import MemoryQuarantine
from replicator.adapters.memory.store_backfill import MemoryBackfillStore
from replicator.adapters.memory.store_moderation import MemoryModerationStore
from replicator.adapters.memory.store_peers import MemoryPeerStore
from replicator.adapters.memory.store_posts import MemoryPosts
from replicator.adapters.memory.store_quarantine import MemoryQuarantineStore
from replicator.errors import StoreFull
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
from replicator.protocol.cursor import (
    LOG_ID_BYTES,
    check_position,
    decode_cursor,
    encode_cursor,
)
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, Ref
from replicator.rules.filters import matches
from replicator.rules.negentropy import Items


class MemoryStore(
    MemoryPeerStore, MemoryQuarantineStore, MemoryBackfillStore, MemoryModerationStore
):
    """Implements `replicator.node.ports.Store` in memory; threads may share one.

    Args:
        limits: bounds of pages, signatures and gaps.
        log_id: 8 bytes, for a reproducible run; otherwise random.
        quota_bytes: canonical bytes of posts beyond which it is full; None: never.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        log_id: bytes | None = None,
        quota_bytes: int | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._log_id = log_id or secrets.token_bytes(LOG_ID_BYTES)
        self._quota_bytes = quota_bytes
        self._peers = MemoryPeers(self._limits.gaps_per_peer_max)
        self._posts = MemoryPosts(self._limits, self._peers)
        self._roster = MemoryRoster(self._limits.roster_entries_max)
        self._quarantine = MemoryQuarantine(self._limits)
        self._backfills = MemoryBackfills(self._limits.backfills_per_peer_max)
        self._lock = threading.RLock()

    # posts

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts; one outcome per item, in order."""
        return self._add(items, now)

    def publish(self, items: Sequence[Incoming], now: int) -> list[Added]:
        """Store posts made here; another content under a held id is a conflict."""
        return self._add(items, now, publishing=True)

    def _add(self, items: Sequence[Incoming], now: int, *, publishing: bool = False) -> list[Added]:
        with self._lock:
            self._check_room(items)
            outcomes = [self._posts.add(item, now, publishing=publishing) for item in items]
            self._peers.drop_decided(self._posts.known)
            return outcomes

    def _check_room(self, items: Sequence[Incoming]) -> None:
        if items and self.is_full():
            raise StoreFull("the quota for posts is used up")

    def decide(
        self, posts: Collection[Post], pools: Collection[KeyText], reason: str | None, now: int
    ) -> None:
        """Record posts as decided against, in pools; a held one stays held."""
        with self._lock:
            self._posts.decide(posts, pools, reason, now)
            self._peers.drop_decided(self._posts.known)

    def known(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held or decided against."""
        with self._lock:
            return self._posts.known(digests)

    def held(self, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held."""
        with self._lock:
            return {digest for digest in digests if digest in self._posts.held}

    def get(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Post]:
        """Return held posts by id or digest within ``scopes``, each once, in no set order."""
        with self._lock:
            named = {self._posts.by_id[post_id] for post_id in ids if post_id in self._posts.by_id}
            found = [self._posts.held[digest] for digest in self.held({*named, *digests})]
            return [held.post for held in found if scopes is None or held.pools & scopes]

    def refs(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Ref]:
        """As `get`, with refs."""
        return [post.ref for post in self.get(ids=ids, digests=digests, scopes=scopes)]

    def page(self, query: Query, after: Cursor | None) -> Page:
        """Return the next posts of the change log."""
        with self._lock:
            start = self._start_of(after)
            posts, upto = self._read(query, start)
            remaining = self._posts.last - upto
            return Page(tuple(posts), self._cursor_at(upto), remaining > 0, remaining)

    def ref_page(self, query: Query, after: Cursor | None) -> RefPage:
        """As `page`, with refs."""
        page = self.page(query, after)
        refs = tuple(post.ref for post in page.posts)
        return RefPage(refs, page.cursor, page.more, page.remaining)

    def _read(self, query: Query, start: int) -> tuple[list[Post], int]:
        found: list[Post] = []
        size = 0
        scopes = frozenset({None}) if query.scopes is None else query.scopes
        at = start
        log, first = self._posts.log, self._posts.index_after(start)
        upto = self._posts.last
        if first < len(log):
            upto = min(upto, log[first].sequence - 1 + self._limits.scan_rows_max)
        for entry in log[first:]:
            if entry.sequence > upto:
                break
            held = self._posts.held.get(entry.digest)
            if held and entry.pools & scopes and matches(query.filter, held.post.content):
                size += held.post.size
                if found and size > query.bytes_max:
                    return found, at
                found.append(held.post)
                at = entry.sequence
                if len(found) == query.limit:
                    return found, at
        return found, upto

    def end_cursor(self) -> Cursor:
        """Return the cursor after the last change-log entry."""
        with self._lock:
            return self._cursor_at(self._posts.last)

    def _start_of(self, after: Cursor | None) -> int:
        if after is None:
            return 0
        position = decode_cursor(after)
        entry = self._posts.digest_at(position.sequence)
        check_position(position, self._log_id, entry, self._posts.last)
        return position.sequence

    def _cursor_at(self, sequence: int) -> Cursor:
        return encode_cursor(self._log_id, sequence, self._posts.digest_at(sequence))

    def digests(self) -> list[tuple[Digest, int]]:
        """Return (digest, published) of every held post, ordered by digest."""
        with self._lock:
            held = self._posts.held.values()
            return sorted((one.post.digest, one.post.published) for one in held)

    def last_change(self) -> int:
        """Return the sequence of the last change-log entry, 0 where there is none."""
        with self._lock:
            return self._posts.last

    def totals(self) -> Totals:
        """Return counts."""
        with self._lock:
            return Totals(
                posts=len(self._posts.held),
                last_change=self._posts.last,
                gaps=self._peers.count_gaps(),
                peers=len(self._peers.all()),
                size=self._posts.size(),
                decided=len(self._posts.decided),
                floor=self._posts.floor,
                full=self.is_full(),
            )

    # the reconciled set

    @contextmanager
    def reconciled(self, pool: KeyText, since: int) -> Iterator[Items]:
        """Give the set that is reconciled within a pool, as it is now."""
        with self._lock:
            items = self._posts.reconciled(pool, since)
        yield items

    # retention and room

    def floor(self) -> int:
        """Return the floor (ms): posts published before are neither kept nor taken."""
        with self._lock:
            return self._posts.floor

    def raise_floor(self, floor: int) -> None:
        """Move the floor up, never down."""
        with self._lock:
            self._posts.raise_floor(floor)

    def origin_floors(self, origins: Collection[NodeId]) -> dict[NodeId, int]:
        """Return floors of origins that have one of their own, above the floor of all."""
        with self._lock:
            floors = self._posts.origin_floors
            return {
                origin: floors[origin]
                for origin in origins
                if floors.get(origin, 0) > self._posts.floor
            }

    def expire(self, keep: Keep, now: int) -> int:
        """Remove some of what is below a floor, or beyond what is kept of its origin."""
        del now
        with self._lock:
            removed = self._posts.expire(keep)
            self._peers.drop_gaps_where(lambda ref: ref.published < self._posts.floor_of(ref))
            return removed

    def is_full(self) -> bool:
        """Tell whether there is no room for another post."""
        with self._lock:
            return self._quota_bytes is not None and self._posts.size() > self._quota_bytes
