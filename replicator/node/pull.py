"""Pulling: read a pool-mate's change log by cursor and take what is missing here.

A cursor moves only in the transaction that stores, decides or records as a gap every ref before
it, so that losing all of Redis loses nothing. A page of mostly unknown refs is followed by a page
of models (history is on its way: one round trip instead of two), a page of mostly known posts by
a page of refs. Pages after the present one are asked for and verified while it is being stored. A
run that reaches the end of the log goes on with backfills from that peer.

A long way through a log, as that of a new node, is noted as progress, for people and so that
repair waits for its end. The note is work state: the cursor alone says where to go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import structlog

from replicator.errors import CursorConflict, ErrorCode, PeerRefused, ReplicatorError
from replicator.node.backfilling import WentOn, go_on
from replicator.node.context import Node
from replicator.node.conversation import Heard
from replicator.node.doorbells import ring, ring_lanes
from replicator.node.health import ask, reachable
from replicator.node.pages import (
    Page,
    judged_page,
    left_over,
    mostly_new,
    page_of,
    queue_refs,
    refs_of,
)
from replicator.node.ports import Peer, Pending
from replicator.node.progress import Way
from replicator.node.turns import turn
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.messages import Pull

log = structlog.get_logger()

Want = Literal["refs", "models"]

_RESTART_ON = frozenset({ErrorCode.BAD_CURSOR})


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one run did; ``more``: there are pages worth asking for at once, and it was rung for."""

    peer: NodeId
    pages: int = 0
    stored: int = 0
    wanted: int = 0
    backfilled: int = 0
    more: bool = False
    ended: str = "done"


def pull(node: Node, peer_id: NodeId) -> Pulled:
    """Pull a peer's log for at most a slice of time; queue what could not be had at once.

    While a full batch of earlier gaps is open, or those of this run fill their room, no further
    page is asked for: that bounds what a peer can make this node remember.
    """
    with turn(node, "pull", peer_id) as not_ours:
        if not_ours:
            return Pulled(peer_id, ended=not_ours)
        if requeue_gaps(node, peer_id) >= node.limits.items_max:
            return Pulled(peer_id, ended="gaps first")
        report = _guarded_run(node, peer_id)
    if report.more:
        ring(node, "pull", [peer_id], "more")
    return report


def requeue_gaps(node: Node, peer_id: NodeId) -> int:
    """Queue refs that earlier pulls passed and that are missing still; return how many are open.

    A gap whose item is a dead letter of this holder is closed: it is the operator's now, and a
    holder of many must not keep its own log from being pulled for ever.
    """
    gaps = node.store.gaps(peer_id, node.limits.items_max)
    refused = {ref.digest for ref in queue_refs(node, peer_id, gaps)} if gaps else set()
    if not refused:
        return len(gaps)
    letters = node.work.dead(node.limits.dead_letters_max)
    dead = refused & {letter.ref.digest for letter in letters if letter.holder == peer_id}
    node.store.drop_gaps(peer_id, dead)
    return len(gaps) - len(dead)


def _guarded_run(node: Node, peer_id: NodeId) -> Pulled:
    peer = node.store.peer(peer_id)
    if peer is None or not reachable(node, peer):
        return Pulled(peer_id, ended="not reachable")
    way = Way(node, peer)
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    run = _Run(node, peer, deadline, way)
    more, ended, filled = False, "done", WentOn()
    try:
        run.pages()
        way.ends(run.stored, more=run.more)
        if not run.more:
            filled = go_on(node, peer, deadline)
        # pages without end that bring nothing wait for the next turn: no peer keeps a worker busy
        more = filled.more or (run.more and bool(run.stored or run.wanted))
    except CursorConflict:
        ended = "overtaken"
    except PeerRefused as refusal:
        more, ended = _refused(node, peer, run, refusal)
    except ReplicatorError as error:
        log.info("pull.stopped", peer=peer_id, reason=str(error))
        ended = type(error).__name__
    pages, wanted = run.asked + filled.pages, run.wanted + filled.wanted
    return Pulled(peer_id, pages, run.stored, wanted, filled.stored, more, ended)


class _Run:
    """One slice of pulling from one peer; counts what it did as it goes.

    Three pages are in work at a time: one is stored here, the next is judged and the one after
    it asked for in the background.
    """

    def __init__(self, node: Node, peer: Peer, deadline: float, way: Way) -> None:
        self._node = node
        self._peer = peer
        self._deadline = deadline
        self._way = way
        self._want: Want = "refs"
        self.cursor = peer.pulled
        self.asked = self.stored = self.wanted = 0
        self.more = False

    def pages(self) -> None:
        """Take page after page until there is no more, or the slice is over."""
        judging: Pending[Page] | None = None
        try:
            for before, heard in self._answers():
                following = self._judge(before, heard)
                if judging is not None:
                    self._take(judging.result())
                judging = following
        finally:
            # also when asking on failed: what came before the failure is kept
            if judging is not None:
                self._take(judging.result())

    def _answers(self) -> Iterator[tuple[Cursor | None, Heard]]:
        """Yield each page with the cursor it was asked from, having asked for the next one."""
        after = self.cursor
        coming: Pending[Heard] | None = self._ask(after)
        while coming is not None:
            heard = coming.result()
            self.asked += 1
            answer = page_of(heard)
            if self._want == "refs" and mostly_new(
                self._node, self._peer.id, refs_of(answer.refs or ())
            ):
                self._want = "models"
                coming = self._ask(after)
                continue
            before, after = after, answer.cursor
            self.more = answer.more and after != before
            coming = self._ask(after) if self.more and self._may_go_on() else None
            yield before, heard

    def _may_go_on(self) -> bool:
        # room for a batch of earlier gaps and the three pages in work: none is ever dropped
        limits = self._node.limits
        room = self.wanted + 4 * limits.items_max <= limits.gaps_per_peer_max
        return room and self._node.clock.monotonic() < self._deadline

    def _ask(self, after: Cursor | None) -> Pending[Heard]:
        request = Pull(after=after, limit=self._node.limits.items_max, want=self._want)
        return self._node.background.submit(
            partial(ask, self._node, self._peer, request, expected=_RESTART_ON)
        )

    def _judge(self, before: Cursor | None, heard: Heard) -> Pending[Page]:
        return self._node.background.submit(
            partial(judged_page, self._node, self._peer, before, heard)
        )

    def _take(self, page: Page) -> None:
        """Commit one page with its cursor."""
        node, peer = self._node, self._peer
        incoming, gaps = page.incoming, left_over(node, peer.id, page)
        self._way.goes_on(self.stored + len(incoming), page.remaining)
        # from where it was asked for: no page before it can be passed over
        node.store.record_pull(
            peer.id, page.before, page.after, posts=incoming, gaps=gaps, now=node.clock.now()
        )
        self.cursor = page.after
        self.stored += len(incoming)
        self.wanted += len(gaps)
        if 2 * (len(incoming) + len(gaps)) < len(page.judged):
            self._want = "refs"
        if gaps:
            queue_refs(node, peer.id, gaps)
        ring_lanes(node, incoming)


def _refused(node: Node, peer: Peer, run: _Run, refusal: PeerRefused) -> tuple[bool, str]:
    """Start again from the epoch where the peer's log is another one than before.

    Returns whether to pull on at once, and how the run ended. A peer that disowns a cursor which
    it gave in this very run has to wait: it might do so for ever.
    """
    if refusal.code in _RESTART_ON and run.cursor is not None:
        log.warning("pull.restarted", peer=peer.id, reason=refusal.message)
        node.store.record_pull(peer.id, run.cursor, None, now=node.clock.now())
        return run.asked == 0, "restarted from the epoch"
    log.info("pull.refused", peer=peer.id, reason=str(refusal))
    return False, refusal.code
