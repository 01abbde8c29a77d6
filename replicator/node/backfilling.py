"""Going on with backfills through a peer's log, within the pull's turn with that peer.

They come after the main way, in what is left of its slice. The cursor of a backfill moves in the
transaction that stores or records as a gap every ref before it; whoever comes second with it saves
nothing. A peer that disowns a cursor has its log looked through anew.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

import structlog

from replicator.errors import ErrorCode, PeerRefused
from replicator.node.backfill import aim_of
from replicator.node.context import Node
from replicator.node.doorbells import ring_lanes
from replicator.node.health import ask
from replicator.node.pages import (
    Page,
    judged_page,
    left_over,
    mostly_new,
    queue_refs,
)
from replicator.node.ports import Backfill, Peer
from replicator.protocol.messages import Pull

log = structlog.get_logger()

_EXPECTED: Final = frozenset({ErrorCode.BAD_CURSOR, ErrorCode.FORBIDDEN})
_PAGES_LEFT: Final = 2
"""Pages whose refs must find room among the gaps, so that none is dropped."""


@dataclass(frozen=True, slots=True)
class WentOn:
    """What one run did; ``more``: some backfill is not at its end, and brought something."""

    pages: int = 0
    stored: int = 0
    wanted: int = 0
    more: bool = False


def go_on(node: Node, peer: Peer, deadline: float) -> WentOn:
    """Go on with the backfills of a peer, the oldest first, until a moment of the monotonic clock.

    Raises:
        CursorConflict: somebody else goes on with one of them.
        PeerUnavailable, PeerRefused, BadAnswer, KeyChanged: as `health.ask`.
    """
    run = _Run(node, peer, deadline)
    ended = all(run.job(job) for job in node.store.backfills(peer.id))
    more = not ended and bool(run.stored or run.wanted)
    return WentOn(run.pages, run.stored, run.wanted, more)


class _Run:
    """One slice of backfills from one peer; counts what it did as it goes."""

    def __init__(self, node: Node, peer: Peer, deadline: float) -> None:
        self._node = node
        self._peer = peer
        self._deadline = deadline
        self.pages = self.stored = self.wanted = 0

    def job(self, job: Backfill) -> bool:
        """Take page after page of one; tell whether it is at its end."""
        want: Literal["refs", "models"] = "refs"
        while self._may_go_on():
            try:
                page = self._page(job, want)
            except PeerRefused as refusal:
                if refusal.code not in _EXPECTED:
                    raise
                return self._refused(job, refusal)
            if want == "refs" and mostly_new(self._node, self._peer.id, page.refs):
                want = "models"
                continue
            brought = self._take(job, page)
            if not page.more or page.after == job.cursor:
                self._end(replace(job, cursor=page.after))
                return True
            job = replace(job, cursor=page.after, posts=job.posts + len(page.incoming))
            if 2 * brought < len(page.judged):
                want = "refs"
        return False

    def _may_go_on(self) -> bool:
        limits = self._node.limits
        room = self.wanted + _PAGES_LEFT * limits.items_max <= limits.gaps_per_peer_max
        return room and self._node.clock.monotonic() < self._deadline

    def _page(self, job: Backfill, want: Literal["refs", "models"]) -> Page:
        node, aim = self._node, aim_of(job)
        request = Pull(
            filter=aim.filter,
            scope=aim.scope,
            after=job.cursor,
            limit=node.limits.items_max,
            want=want,
        )
        self.pages += 1
        heard = ask(node, self._peer, request, expected=_EXPECTED)
        return judged_page(node, self._peer, job.cursor, heard)

    def _take(self, job: Backfill, page: Page) -> int:
        """Commit one page with its cursor; return how many items of it were new here."""
        node, incoming = self._node, page.incoming
        gaps = left_over(node, self._peer.id, page)
        node.store.move_backfill(
            job,
            page.after,
            posts=incoming,
            gaps=gaps,
            remaining=page.remaining,
            now=node.clock.now(),
        )
        self.stored += len(incoming)
        self.wanted += len(gaps)
        if gaps:
            queue_refs(node, self._peer.id, gaps)
        ring_lanes(node, incoming)
        return len(incoming) + len(gaps)

    def _end(self, job: Backfill) -> None:
        self._node.store.end_backfill(job)
        log.info("backfill.done", peer=self._peer.id, reason=job.reason)

    def _refused(self, job: Backfill, refusal: PeerRefused) -> bool:
        """Begin anew where the log is another one; let it be where the peer left the pool."""
        log.info("backfill.refused", peer=self._peer.id, reason=str(refusal))
        if refusal.code == ErrorCode.FORBIDDEN:
            self._node.store.end_backfill(job)
            return True
        if job.cursor is not None:
            self._node.store.move_backfill(job, None, now=self._node.clock.now())
        return False
