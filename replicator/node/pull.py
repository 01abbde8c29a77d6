"""Pulling: read a pool-mate's change log by cursor and take what is missing here.

A cursor moves only in the transaction that stores, decides or records as a gap every ref before
it, so that losing all of Redis loses nothing. A page of mostly unknown refs is followed by a page
of models (history is on its way: one round trip instead of two), a page of mostly known posts by
a page of refs. Pages after the present one are asked for and verified while it is being stored.

A long way through a log, as that of a new node, is noted as progress, for people and so that
repair waits for its end. The note is work state: the cursor alone says where to go on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import structlog

from replicator.errors import (
    BadAnswer,
    CursorConflict,
    ErrorCode,
    Malformed,
    PeerRefused,
    ReplicatorError,
)
from replicator.node.context import Node
from replicator.node.conversation import Heard
from replicator.node.doorbells import ring, ring_lanes
from replicator.node.health import ask, reachable
from replicator.node.intake import Judged, judge
from replicator.node.objections import objections
from replicator.node.ports import Peer, Pending, Wanted
from replicator.node.progress import Way
from replicator.node.turns import turn
from replicator.protocol import codec
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.messages import Pull, PullAnswer
from replicator.protocol.post import Ref
from replicator.rules.policy import LASTING, Sender

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
    refused = {ref.digest for ref in _queue(node, peer_id, gaps)} if gaps else set()
    if not refused:
        return len(gaps)
    letters = node.work.dead(node.limits.dead_letters_max)
    dead = refused & {letter.ref.digest for letter in letters if letter.holder == peer_id}
    node.store.drop_gaps(peer_id, dead)
    return len(gaps) - len(dead)


def _queue(node: Node, peer_id: NodeId, refs: Sequence[Ref]) -> list[Ref]:
    """Queue refs and ring for them; return those that the queue did not take."""
    taken = node.work.want(peer_id, refs, node.clock.now())
    ring(node, "fetch", [peer_id], f"{len(refs)} refs")
    refused = (Wanted.FULL, Wanted.DEAD)
    return [ref for ref, outcome in zip(refs, taken, strict=True) if outcome in refused]


def _guarded_run(node: Node, peer_id: NodeId) -> Pulled:
    peer = node.store.peer(peer_id)
    if peer is None or not reachable(node, peer):
        return Pulled(peer_id, ended="not reachable")
    way = Way(node, peer)
    run = _Run(node, peer, node.clock.monotonic() + node.limits.slice_seconds, way)
    more, ended = False, "done"
    try:
        run.pages()
        way.ends(run.stored, more=run.more)
        # pages without end that bring nothing wait for the next turn: no peer keeps a worker busy
        more = run.more and bool(run.stored or run.wanted)
    except CursorConflict:
        ended = "overtaken"
    except PeerRefused as refusal:
        more, ended = _refused(node, peer, run, refusal)
    except ReplicatorError as error:
        log.info("pull.stopped", peer=peer_id, reason=str(error))
        ended = type(error).__name__
    return Pulled(peer_id, run.asked, run.stored, run.wanted, more, ended)


@dataclass(frozen=True, slots=True)
class _Page:
    """A page whose posts are judged; nothing of it is stored yet. ``before``: asked from there."""

    before: Cursor | None
    after: Cursor
    refs: Sequence[Ref]
    judged: Sequence[Judged]
    remaining: int | None = None


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
        judging: Pending[_Page] | None = None
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
            answer = _page_of(heard)
            if self._want == "refs" and self._mostly_new(refs_of(answer.refs or ())):
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

    def _judge(self, before: Cursor | None, heard: Heard) -> Pending[_Page]:
        return self._node.background.submit(partial(_judged, self._node, self._peer, before, heard))

    def _mostly_new(self, refs: Sequence[Ref]) -> bool:
        return 2 * len(self._node.store.known({ref.digest for ref in refs})) < len(refs)

    def _take(self, page: _Page) -> None:
        """Commit one page with its cursor."""
        node, peer = self._node, self._peer
        incoming = [item.incoming for item in page.judged if item.incoming is not None]
        objected = [item.post.ref for item in page.judged if item.post and item.objection]
        gaps = _worth_fetching(node, [*page.refs, *objected])
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
            _queue(node, peer.id, gaps)
        ring_lanes(node, incoming)


def _page_of(heard: Heard) -> PullAnswer:
    if not isinstance(heard.answer, PullAnswer):
        raise BadAnswer("pull was answered with something else than a page")
    return heard.answer


def _judged(node: Node, peer: Peer, before: Cursor | None, heard: Heard) -> _Page:
    answer = _page_of(heard)
    sender = Sender(pinned=True, pools=node.identity.reach(heard.pools | peer.pools))
    judged = judge(node, answer.models or (), peer.id, sender)
    return _Page(before, answer.cursor, refs_of(answer.refs or ()), judged, answer.remaining)


def refs_of(items: Sequence[Any]) -> list[Ref]:
    """Read the refs of an answer; raise `BadAnswer` where one is none."""
    try:
        return [codec.read(item, Ref) for item in items]
    except Malformed as error:
        raise BadAnswer(f"an answer holds a bad ref: {error}") from error


def _worth_fetching(node: Node, refs: Sequence[Ref]) -> list[Ref]:
    """Return refs that are not decided here and that a fetch could bring."""
    known = node.store.known({ref.digest for ref in refs})
    new = [ref for ref in refs if ref.digest not in known]
    against = objections(node, new)
    return [ref for ref in new if against.get(ref.digest) not in LASTING]


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
