"""Fetch queued posts from a holder: lease, get, verify, store, settle.

The queue is work state: what it loses is found again by pull. An attempt is counted against an
item only where the holder really answered for it; when the holder is away, the lease is given
back untouched. An item that fails too often becomes a dead letter of that holder, and other
holders of it are asked still. Where one item made a signed answer unreadable, all that were asked
for with it are suspects: they are asked for in smaller company until the culprit stands alone.
While the store has no room nothing is fetched.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

import structlog

from replicator.errors import (
    BadAnswer,
    ErrorCode,
    PeerMisbehaved,
    PeerRefused,
    PeerUnavailable,
    StoreFull,
    StoreUnavailable,
)
from replicator.node.context import Node
from replicator.node.conversation import Heard
from replicator.node.doorbells import ring, ring_lanes
from replicator.node.health import ask, items_max, reachable
from replicator.node.intake import Judged, judge
from replicator.node.objections import objections
from replicator.node.ports import FetchLease, Incoming, Peer, Settlement
from replicator.node.quarantine import set_aside
from replicator.node.quotas import waits_of, within_quotas
from replicator.node.turns import turn
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.messages import Get, GetAnswer
from replicator.rules.backoff import delay_seconds
from replicator.rules.policy import BLOCKED, EXPIRED, Sender
from replicator.rules.quotas import OVER

log = structlog.get_logger()

_SPOILT = frozenset({ErrorCode.UNEXPECTED, ErrorCode.MALFORMED, ErrorCode.TOO_LARGE})
"""Signed errors that one of the posts asked for may have caused at its holder."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one run did; ``more``: items are due still."""

    peer: NodeId
    gets: int = 0
    stored: int = 0
    failed: int = 0
    more: bool = False
    ended: str = "done"


def fetch(node: Node, holder: NodeId) -> Fetched:
    """Fetch due items from a holder, for at most a slice of time.

    One run per holder at a time: a holder that keeps its callers waiting costs one thread.
    """
    with turn(node, "fetch", holder) as not_ours:
        if not_ours:
            return Fetched(holder, ended=not_ours)
        report = _run(node, holder)
    if report.more:
        ring(node, "fetch", [holder], "more")
    return report


def _run(node: Node, holder: NodeId) -> Fetched:
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    gets = stored = failed = 0
    while True:
        peer = node.store.peer(holder)
        if peer is None or not reachable(node, peer):
            return Fetched(holder, gets, stored, failed, ended="not reachable")
        if node.store.is_full():
            return Fetched(holder, gets, stored, failed, ended="no room")
        lease = node.work.lease(
            holder, items_max(node, holder), node.limits.batch_bytes_max, node.clock.now()
        )
        if lease is None:
            return Fetched(holder, gets, stored, failed)
        try:
            outcome, kept = _fetch_lease(node, peer, lease)
        except (PeerUnavailable, PeerMisbehaved, PeerRefused) as error:
            node.work.settle(lease, Settlement(), node.clock.now())
            log.info("fetch.stopped", peer=holder, reason=str(error))
            return Fetched(holder, gets, stored, failed, ended=type(error).__name__)
        except StoreUnavailable as error:
            # a database that is full for an hour must not end in dead letters
            node.work.settle(lease, Settlement(), node.clock.now())
            if isinstance(error, StoreFull):
                return Fetched(holder, gets, stored, failed, ended="no room")
            raise
        gets, stored = gets + 1, stored + kept
        failed += len(outcome.failed) + len(outcome.dead)
        if _passes_over(outcome, lease):
            # what it did not name is free until the next tick: another holder may be quicker
            return Fetched(holder, gets, stored, failed, ended="answered in part")
        if node.clock.monotonic() >= deadline:
            return Fetched(holder, gets, stored, failed, more=True)


def _passes_over(outcome: Settlement, lease: FetchLease) -> bool:
    """Tell whether some leased items got no word at all, and are given back."""
    done, missing = set(outcome.done), set(outcome.missing)
    bad = outcome.failed.keys() | outcome.dead.keys() | outcome.suspects.keys()
    bad |= outcome.muted.keys()
    return any(item.ref.digest not in done | missing | bad for item in lease.items)


def _fetch_lease(node: Node, peer: Peer, lease: FetchLease) -> tuple[Settlement, int]:
    wanted = {item.ref.digest for item in lease.items}
    unwanted = _unwanted(node, lease)
    known = node.store.known(wanted)
    over = waits_of(node, [item.ref for item in lease.items], peer.id)
    asked = wanted - known - unwanted - over.keys()
    incoming: list[Incoming] = []
    outcome = Settlement(done=tuple(known))
    if asked:
        heard, answer = _ask(node, peer, lease, asked)
        sender = Sender(pinned=True, pools=node.identity.reach(heard.pools | peer.pools))
        judged = judge(node, answer.models or (), peer.id, sender)
        judged = within_quotas(node, [item for item in judged if item.digest in wanted], peer.id)
        incoming = _asked_for(judged, wanted)
        over |= {item.post.digest: item.wait_ms for item in judged if item.post and item.wait_ms}
        node.store.add(incoming, node.clock.now())
        aside = set_aside(node, [item for item in judged if item.digest in wanted])
        # what waits for its origin is not asked of this holder again; others may give it signed
        absent = {entry.digest for entry in answer.missing} | unwanted | aside
        outcome = _settlement(node, lease, known, judged, absent)
    elif unwanted:
        outcome = Settlement(done=tuple(known), missing=tuple(unwanted - known))
    now = node.clock.now()
    muted = {digest: now + wait for digest, wait in over.items() if digest not in known}
    outcome = replace(outcome, muted=muted)
    node.work.settle(lease, outcome, now)
    if outcome.missing or outcome.dead:
        node.store.drop_gaps(peer.id, {*outcome.missing, *outcome.dead})
    ring_lanes(node, incoming)
    return outcome, len(incoming)


def _ask(node: Node, peer: Peer, lease: FetchLease, asked: set[Digest]) -> tuple[Heard, GetAnswer]:
    """Ask for posts; where one of them spoils the answer, end the lease with suspects.

    Only what the holder itself signed says anything of its posts: what a proxy garbled does not.
    One that stands alone is the culprit; but a holder that only failed may do better another time.
    """
    try:
        heard = ask(node, peer, Get(digests=tuple(sorted(asked))))
    except BadAnswer as error:
        if error.about_items:
            _suspect(node, lease, asked, str(error), convicted=len(asked) == 1)
        raise
    except PeerRefused as refusal:
        if refusal.code in _SPOILT:
            _suspect(node, lease, asked, str(refusal), convicted=False)
        raise
    if not isinstance(heard.answer, GetAnswer):
        raise BadAnswer(f"{peer.id} answered get with something else")
    return heard, heard.answer


def _suspect(
    node: Node, lease: FetchLease, asked: set[Digest], reason: str, *, convicted: bool
) -> None:
    reasons = dict.fromkeys(asked, reason)
    outcome = Settlement(dead=reasons) if convicted else Settlement(suspects=reasons)
    node.work.settle(lease, outcome, node.clock.now())
    if convicted:
        node.store.drop_gaps(lease.holder, asked)
        log.warning("fetch.poison", peer=lease.holder, digest=min(asked), reason=reason)


def _unwanted(node: Node, lease: FetchLease) -> set[Digest]:
    """Return what expired or was blocked while it waited, by what this holder said of it."""
    against = objections(node, [item.ref for item in lease.items])
    return {digest for digest, reason in against.items() if reason in (EXPIRED, BLOCKED)}


def _asked_for(judged: Sequence[Judged], wanted: set[Digest]) -> list[Incoming]:
    return [j.incoming for j in judged if j.incoming is not None and j.digest in wanted]


def _settlement(
    node: Node,
    lease: FetchLease,
    known: set[Digest],
    judged: Sequence[Judged],
    absent: Set[Digest | None],
) -> Settlement:
    """Say per leased item what became of it.

    Items that an answer does not name did not fit and are given back, unless it named none: then
    each of them counts an attempt, so that an empty answer is no endless loop.
    """
    results = {item.digest: item.objection for item in judged if item.digest is not None}
    done, gone = list(known), []
    bad: dict[Digest, str] = {}
    unnamed: list[Digest] = []
    for digest in (item.ref.digest for item in lease.items if item.ref.digest not in known):
        if results.get(digest) == OVER:
            continue  # its turn has not come: that says nothing of its holder
        if digest in absent:
            gone.append(digest)
        elif digest not in results:
            unnamed.append(digest)
        elif (objection := results[digest]) is not None:
            bad[digest] = objection
        else:
            done.append(digest)
    if not done and not gone and not bad and OVER not in results.values():
        bad = dict.fromkeys(unnamed, "not in the answer")
    failed, dead = _tried_again(node, lease, bad)
    return Settlement(tuple(done), failed, tuple(gone), dead)


def _tried_again(
    node: Node, lease: FetchLease, bad: dict[Digest, str]
) -> tuple[dict[Digest, int], dict[Digest, str]]:
    """Split what was bad into (digest → next attempt) and (digest → why it is given up)."""
    now, limits = node.clock.now(), node.limits
    failed: dict[Digest, int] = {}
    dead: dict[Digest, str] = {}
    attempts = {item.ref.digest: item.attempts + 1 for item in lease.items}
    for digest, objection in bad.items():
        if attempts[digest] >= limits.fetch_attempts_max:
            dead[digest] = objection
            continue
        wait = delay_seconds(
            attempts[digest], limits.retry_base_seconds, limits.retry_cap_seconds, node.random
        )
        failed[digest] = now + int(wait * 1000)
    return failed, dead
