"""Repair: find what this node and a pool-mate lack of each other's posts, and close the gap.

Each run compares the sets within every shared pool and closes both sides of the difference, so that
no message has to arrive for two nodes to become equal. A run pays for itself: after one that took
long, or moved many bytes, follows a long pause. Where a peer cannot compare sets, its whole log is
read again once per `sweep_seconds` instead. While this node is on its first way through a peer's
log, nothing is compared: it would find what is coming anyway.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass

import structlog

from replicator.errors import BadAnswer, ErrorCode, PeerRefused, ReplicatorError
from replicator.node.closing import close
from replicator.node.comparing import UNSUPPORTED, Difference, compare_from
from replicator.node.context import Node
from replicator.node.dead_letters import requeue_letters
from replicator.node.doorbells import ring
from replicator.node.health import note_failure, reachable
from replicator.node.ports import Peer
from replicator.node.progress import is_catching_up
from replicator.node.turns import turn
from replicator.protocol.ids import KeyText, NodeId
from replicator.rules.backoff import jittered
from replicator.rules.pacing import period_seconds

log = structlog.get_logger()

_SOON_SECONDS = 1.0
"""The shortest pause between two runs that both bring something."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What one run did.

    Args:
        pools: in which the sets were compared.
        rounds: questions that this took.
        size: bytes of Negentropy messages, both ways.
        wanted: posts queued for fetching.
        taken: posts stored, merged or decided against at once.
        given: posts that the peer was given.
        more: a bound was met, and the next run comes soon.
        ended: ``done``, ``incomplete`` where a bound was met, or what stopped it.
    """

    peer: NodeId
    pools: int = 0
    rounds: int = 0
    size: int = 0
    wanted: int = 0
    taken: int = 0
    given: int = 0
    more: bool = False
    ended: str = "done"


def repair(node: Node, peer_id: NodeId) -> Repaired:
    """Compare sets with a peer within each shared pool and close what differs, for a slice."""
    with turn(node, "repair", peer_id) as not_ours:
        if not_ours:
            return Repaired(peer_id, ended=not_ours)
        peer = node.store.peer(peer_id)
        if peer is None or not reachable(node, peer):
            return Repaired(peer_id, ended="not reachable")
        if is_catching_up(node, peer):
            return Repaired(peer_id, ended="catching up")
        before = node.clock.now() - int(node.limits.sweep_seconds * 1000)
        requeue_letters(node, {peer_id}, before=before)
        return _guarded_run(node, peer)


def repair_soon(node: Node, peers: Collection[NodeId] | None = None) -> None:
    """Have peers (None: all) repaired at the next tick, with what was given up tried again.

    Raises:
        WorkUnavailable: their turns come as usual then.
    """
    now = node.clock.now()
    chosen = {peer.id for peer in node.store.peers()} if peers is None else set(peers)
    requeue_letters(node, chosen, before=now)
    due = dict.fromkeys(chosen, now)
    node.work.set_dues("sweep", due)
    node.work.set_dues("repair", due)


def _guarded_run(node: Node, peer: Peer) -> Repaired:
    began = node.clock.now()
    run = _Run(node, peer)
    ended = "done"
    try:
        for pool in sorted(node.identity.reach(peer.pools)):
            run.pool(pool)
    except PeerRefused as refusal:
        if refusal.code == UNSUPPORTED:
            return Repaired(peer.id, ended=_read_log_again(node, peer))
        log.info("repair.refused", peer=peer.id, reason=str(refusal))
        ended = refusal.code
    except ReplicatorError as error:
        if isinstance(error, BadAnswer):  # counted once, also where the call has noted it
            note_failure(node, peer.id, error, began)
        log.info("repair.stopped", peer=peer.id, reason=str(error))
        ended = type(error).__name__
    # a mate that can come for what it lacks does so by itself, and is not hurried
    brought = run.wanted or run.taken or (run.given and node.address is None)
    more = ended == "done" and not run.complete and bool(brought)
    if ended == "done" and not run.complete:
        ended = "incomplete"
    run.set_next(soon=more)
    return Repaired(
        peer.id, run.pools, run.rounds, run.size, run.wanted, run.taken, run.given, more, ended
    )


class _Run:
    """One slice of repair with one peer; counts what it does as it goes."""

    def __init__(self, node: Node, peer: Peer) -> None:
        self._node = node
        self._peer = peer
        self._start = node.clock.monotonic()
        self.pools = self.rounds = self.size = 0
        self.wanted = self.taken = self.given = 0
        self.complete = True

    def pool(self, pool: KeyText) -> None:
        """Compare the sets within one pool and close what differs.

        The oldest differences are found first, and may be of posts that nobody has any more: where
        they met the bound and brought nothing, it is looked for others from some later place on.
        """
        node = self._node
        deadline = self._start + node.limits.slice_seconds
        if node.clock.monotonic() >= deadline:
            self.complete = False
            return
        found = self._compare(pool, 0, deadline)
        if found is None:
            return
        self.pools += 1
        brought = self._close(found, deadline)
        if not (found.complete or brought) and node.clock.monotonic() < deadline:
            further = self._compare(pool, _some_place(node, pool), deadline)
            if further is not None:
                self._close(further, deadline)

    def _compare(self, pool: KeyText, since: int, deadline: float) -> Difference | None:
        """Return how the sets differ from ``since`` on; None: the peer has left the pool."""
        try:
            return compare_from(self._node, self._peer, pool, since, deadline=deadline)
        except PeerRefused as refusal:
            if refusal.code != ErrorCode.FORBIDDEN:
                raise
            log.info("repair.left_pool", peer=self._peer.id, pool=pool, reason=refusal.message)
            return None

    def _close(self, found: Difference, deadline: float) -> bool:
        """Close what differs; tell whether that brings this node anything."""
        self.rounds += found.rounds
        self.size += found.sent + found.received
        closed = close(self._node, self._peer, found, deadline)
        self.wanted += closed.wanted
        self.taken += closed.taken
        self.given += closed.given
        self.complete = self.complete and found.complete and closed.complete
        if not found.is_none:
            have, need = len(found.have), len(found.need)
            log.info("repair.differed", peer=self._peer.id, have=have, need=need)
        return bool(closed.wanted or closed.taken)

    def set_next(self, *, soon: bool) -> None:
        """Set the next turn, so far off that runs keep to their share of time and bytes."""
        node, limits = self._node, self._node.limits
        elapsed = node.clock.monotonic() - self._start
        pause = max(elapsed / limits.reconcile_share, self.size / limits.reconcile_bytes_per_second)
        # with many peers the tick gives longer turns too
        period = period_seconds("repair", len(node.store.peers()), limits)
        usual = jittered(period, node.random)
        wait = max(pause, _SOON_SECONDS if soon else usual)
        node.work.set_dues("repair", {self._peer.id: node.clock.now() + int(wait * 1000)})


def _some_place(node: Node, pool: KeyText) -> int:
    """Return a moment (ms) shortly or longer before some post of a pool's set here, any of them."""
    with node.store.reconciled(pool, 0) as items:
        at = int(node.random.random() * len(items))
        times = [published for published, _ in items.slice(max(0, at - 1), at + 1)]
    if not times:
        return 0
    before = times[0] if at else 0
    return times[-1] - int((times[-1] - before) ** node.random.random())


def _read_log_again(node: Node, peer: Peer) -> str:
    """Have the log of a peer that cannot compare sets pulled from the epoch, if its time has come.

    A time that was never set, or lost with Redis, is a random one within the period, so that
    neither a new pool nor a flush makes all nodes read at once. Until then the peer is not asked
    to compare again.
    """
    now, seconds = node.clock.now(), node.limits.sweep_seconds
    due = node.work.dues("sweep", [peer.id])[peer.id]
    ended = "not supported"
    if due == 0:
        due = now + max(1, int(seconds * node.random.random() * 1000))
    elif due <= now:
        if not _start_anew(node, peer):
            node.work.set_dues("repair", {peer.id: now})
            return "held elsewhere"
        due = now + int(jittered(seconds, node.random) * 1000)
        ended = "reading its log again"
        ring(node, "pull", [peer.id], "from the epoch")
    node.work.set_dues("sweep", {peer.id: due})
    node.work.set_dues("repair", {peer.id: due})
    return ended


def _start_anew(node: Node, peer: Peer) -> bool:
    """Put a peer's pull cursor back to the epoch; False while a pull is under way."""
    token = secrets.token_urlsafe(12)
    if not node.work.hold("pull", peer.id, token, node.clock.now()):
        return False
    try:
        now = node.store.peer(peer.id)
        if now is not None and now.pulled is not None:
            node.store.record_pull(peer.id, now.pulled, None, now=node.clock.now())
    finally:
        node.work.release("pull", peer.id, token)
    return True
