"""Comparing two nodes' sets of posts within a pool by reconcile: both sides of it.

The answerer keeps nothing between two questions, and the asker opens its set anew for each: no
transaction is held while a peer is waited for, and posts may come and go meanwhile. What a run
misses because of that, the next one finds. Nothing here stores, fetches or gives posts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from replicator.errors import BadAnswer, ErrorCode, InvalidItem, OtherVersion, PeerRefused
from replicator.node.context import Node
from replicator.node.conversation import Heard
from replicator.node.health import ask
from replicator.node.ports import Peer
from replicator.protocol.ids import Digest, KeyText
from replicator.protocol.messages import Answer, Reconcile, ReconcileAnswer, Request
from replicator.protocol.signing import b64url, unb64url
from replicator.rules import negentropy

_RESTARTS_MAX = 3
"""Of one comparison: a floor may rise a few times in a row while posts are being removed."""
Asking = Callable[[Node, Peer, Request], Heard]

UNSUPPORTED = "not-supported"
"""What a peer may answer to reconcile and be well: its log is read instead."""
ask_to_compare: Asking = partial(ask, expected=(UNSUPPORTED, ErrorCode.FORBIDDEN))
"""Forbidden is what a peer says that has left the pool in question: it may be well in others."""


def answer(node: Node, request: Reconcile) -> tuple[Answer, int]:
    """Answer one Negentropy message; returns the answer and how many posts its set has.

    Raises:
        Malformed: the frame is no Negentropy message of version 1 in unpadded base64url.
    """
    frame = unb64url(request.frame)
    since = max(request.since, node.store.floor())
    if since > request.since:
        return ReconcileAnswer(since=since), 0
    with node.store.reconciled(request.scope, since) as items:
        message = negentropy.respond(items, frame, node.limits.reconcile_frame_bytes_max)
        return ReconcileAnswer(since=since, frame=b64url(message)), len(items)


@dataclass(frozen=True, slots=True)
class Difference:
    """How two sets differ, as far as one run found out.

    Args:
        pool: within which they were compared.
        since: posts dated before were not compared (ms): the higher floor of both nodes.
        have: what this node's set has and the peer's lacks; each once.
        need: what the peer's set has and this node's lacks, as the peer says; each once.
        rounds: questions that were asked.
        sent, received: bytes of Negentropy messages.
        complete: nothing is left to compare. Otherwise a bound was met: there may be more.
    """

    pool: KeyText
    since: int
    have: tuple[Digest, ...]
    need: tuple[Digest, ...]
    rounds: int
    sent: int
    received: int
    complete: bool

    @property
    def is_none(self) -> bool:
        """Tell whether the sets are equal."""
        return self.complete and not self.have and not self.need


def compare(
    node: Node,
    peer: Peer,
    pool: KeyText,
    *,
    deadline: float,
    asking: Asking = ask_to_compare,
) -> Difference:
    """Compare this node's set within a pool with a peer's, question by question.

    Args:
        deadline: of the monotonic clock; no question is asked after it.
        asking: how one question is put.

    Raises:
        PeerRefused: also with ``not-supported``.
        BadAnswer: what came is no answer to the question, or the peer never comes to an end.
        NotCalled, PeerUnavailable, KeyChanged: as `health.ask`.
    """
    return _ended(_Run(node, peer, pool, asking), deadline)


def compare_from(
    node: Node, peer: Peer, pool: KeyText, since: int, *, deadline: float
) -> Difference:
    """As `compare`, of what was published at ``since`` (ms) or later only."""
    run = _Run(node, peer, pool, ask_to_compare)
    run.since = max(run.since, since)
    return _ended(run, deadline)


def _ended(run: "_Run", deadline: float) -> Difference:
    """Ask until the sets are compared, or a bound is met."""
    while not run.complete and not run.is_bounded() and run.node.clock.monotonic() < deadline:
        run.round()
    endless = run.is_bounded() and not run.complete
    if endless and not (run.have or run.need):
        raise BadAnswer(f"{run.peer.id} names no difference in {run.rounds} answers, and no end")
    return run.difference()


@dataclass(slots=True)
class _Run:
    """One comparison under way; digests stand in the order in which they were found."""

    node: Node
    peer: Peer
    pool: KeyText
    asking: Asking
    since: int = field(init=False)
    restarts: int = 0
    message: bytes | None = None
    have: dict[bytes, None] = field(default_factory=dict)
    need: dict[bytes, None] = field(default_factory=dict)
    rounds: int = 0
    sent: int = 0
    received: int = 0
    complete: bool = False

    def __post_init__(self) -> None:
        self.since = self.node.store.floor()

    def is_bounded(self) -> bool:
        """Tell whether a bound is met: of questions, or of posts that are needed here.

        Not of posts that the peer lacks: more of them must not hide what is needed.
        """
        limits = self.node.limits
        needs = len(self.need) >= limits.reconcile_items_max
        return needs or self.rounds >= limits.reconcile_rounds_max

    def round(self) -> None:
        """Ask one question and read its answer."""
        limits, store = self.node.limits, self.node.store
        if self.message is None:
            with store.reconciled(self.pool, self.since) as items:
                self.message = negentropy.initiate(items, limits.reconcile_frame_bytes_max)
        frame = self._ask(self.message)
        if frame is None:
            self.message = None  # from a higher floor
            return
        self.received += len(frame)
        room = max(0, limits.reconcile_items_max - len(self.have))
        try:
            with store.reconciled(self.pool, self.since) as items:
                step = negentropy.continue_(items, frame, limits.reconcile_frame_bytes_max, room)
        except OtherVersion as error:
            raise PeerRefused(UNSUPPORTED, str(error)) from error
        except InvalidItem as error:
            raise BadAnswer(f"{self.peer.id} answered reconcile with nonsense: {error}") from error
        self.have.update(dict.fromkeys(step.have))
        self.need.update(dict.fromkeys(step.need))
        self.message = step.message
        self.complete = step.message is None

    def _ask(self, message: bytes) -> bytes | None:
        """Send a message; return the peer's, or None where it has a higher floor."""
        self.rounds += 1
        self.sent += len(message)
        question = Reconcile(scope=self.pool, since=self.since, frame=b64url(message))
        reply = self.asking(self.node, self.peer, question).answer
        if not isinstance(reply, ReconcileAnswer) or reply.since < self.since:
            raise BadAnswer(f"{self.peer.id} answered reconcile with something else")
        if reply.since > self.since:
            if self.restarts == _RESTARTS_MAX:
                raise BadAnswer(f"the floor of {self.peer.id} rises with every question")
            self.restarts, self.since = self.restarts + 1, reply.since
            self.have.clear()
            self.need.clear()
            return None
        if reply.frame is None:
            raise BadAnswer(f"{self.peer.id} answered reconcile without a frame")
        try:
            return unb64url(reply.frame)
        except InvalidItem as error:
            raise BadAnswer(f"{self.peer.id} answered reconcile with a bad frame") from error

    def difference(self) -> Difference:
        """Return what was found, within the bound of each direction."""
        most = self.node.limits.reconcile_items_max
        cut = len(self.have) >= most or len(self.need) > most
        return Difference(
            pool=self.pool,
            since=self.since,
            have=tuple(map(_digest, self.have)),
            need=tuple(map(_digest, self.need))[:most],
            rounds=self.rounds,
            sent=self.sent,
            received=self.received,
            complete=self.complete and not cut,
        )


def _digest(raw: bytes) -> Digest:
    return Digest(raw.hex())
