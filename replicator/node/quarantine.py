"""The quarantine: posts of unknown origin wait for their origin to become known.

Whoever takes posts in (put, get, pull, repair) sets aside what lacks nothing but a known origin,
and asks here before it fetches: what a peer gave and waits is not taken from that peer again.
Letting out is level-triggered: it looks at what waits and at what is known now, so that no event
has to arrive. A post that turns out not to be its origin's is dropped, and charged to nobody: its
deliverer could not know better than this node.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import structlog

from replicator.errors import StoreFull
from replicator.node.backfill import start
from replicator.node.context import Node
from replicator.node.doorbells import ring, ring_lanes
from replicator.node.intake import Judged, judge_again
from replicator.node.ports import Waiting, WaitingEntry, Wanted
from replicator.node.quotas import within_quotas
from replicator.protocol.ids import Digest, KeyText, NodeId, origin_of
from replicator.protocol.messages import FILTER_ITEMS_MAX, Filter
from replicator.rules.policy import LASTING, Sender
from replicator.rules.quotas import OVER

log = structlog.get_logger()

_NOT_ITS_OWN: Final = "origin-key"
_FINAL: Final = LASTING | {_NOT_ITS_OWN, "blocked"}
"""Objections that end the wait; others may pass by themselves."""


def set_aside(node: Node, judged: Sequence[Judged]) -> set[Digest]:
    """Keep what waits for its origin, as far as there is room; return the digests that wait.

    Only of deliverers with pins: from others nothing is let out, and whoever has a pool's key can
    invent as many of them as fill the room of all.
    """
    waiting = [item.waiting for item in judged if item.waiting is not None]
    if waiting:
        known = node.store.all_pins({copy.deliverer for copy in waiting})
        waiting = [copy for copy in waiting if copy.deliverer in known]
    return node.store.quarantine(waiting, node.clock.now()) if waiting else set()


def muted(node: Node, peer: NodeId, digests: Collection[Digest]) -> set[Digest]:
    """Return which digests wait here as ``peer`` gave them: it is not asked for them again."""
    return node.store.quarantined(peer, digests) if digests else set()


def origin_pinned(node: Node, origin: NodeId, reason: str) -> None:
    """Let out what waits of an origin that was pinned just now, and have the rest looked for.

    The rest is what was refused before: beyond the room of the quarantine, or under another key.
    """
    start(node, Filter(nodes=(origin,)), reason)
    release(node)


def release(node: Node) -> int:
    """Take what waits and is known by now, for at most a slice of time; forget what is too old.

    Returns how many posts were taken.
    """
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    node.store.expire_waiting(node.clock.now() - int(node.limits.quarantine_seconds * 1000))
    if node.store.is_full():  # asked first: quotas would be charged for what is not stored
        log.info("quarantine.no_room")
        return 0
    pools = node.identity.reach(node.identity.pools)
    taken, after, pinned = 0, 0, set[NodeId]()
    try:
        while entries := node.store.waiting(after, node.limits.items_max):
            after = entries[-1].id
            entries = _without_blocked(node, entries)
            pins = node.store.all_pins({entry.origin for entry in entries})
            for batch in _batches(node, entries, pins.keys(), pools):
                count, done = _take(node, batch)
                taken += count
                pinned |= done & pins.keys()
            if node.clock.monotonic() >= deadline:
                break
    except StoreFull:
        log.info("quarantine.no_room")
    if pinned and node.policy.put == "peers":
        # beside what waited there may be what found no room
        few = len(pinned) <= FILTER_ITEMS_MAX
        start(node, Filter(nodes=tuple(sorted(pinned))) if few else None, "its origin is known")
    return taken


def _without_blocked(node: Node, entries: Sequence[WaitingEntry]) -> list[WaitingEntry]:
    """Forget what the operator has blocked since it came; return the rest."""
    blocked = node.store.blocked([entry.ref for entry in entries])
    node.store.drop_waiting([entry.id for entry in entries if entry.ref.digest in blocked])
    return [entry for entry in entries if entry.ref.digest not in blocked]


def _batches(
    node: Node,
    entries: Sequence[WaitingEntry],
    pinned: Collection[NodeId],
    pools: frozenset[KeyText],
) -> Iterator[list[int]]:
    """Yield the numbers of what may be authentic by now, a batch's bytes at a time."""
    batch: list[int] = []
    size = 0
    for entry in entries:
        if entry.origin not in pinned and not entry.signers & pools:
            continue
        if batch and size + entry.ref.size > node.limits.batch_bytes_max:
            yield batch
            batch, size = [], 0
        batch.append(entry.id)
        size += entry.ref.size
    if batch:
        yield batch


def _take(node: Node, ids: Sequence[int]) -> tuple[int, set[NodeId]]:
    """Judge copies again and end the wait of those that are decided; return posts and origins."""
    copies = node.store.waiting_copies(ids)
    known = node.store.all_pins({copy.deliverer for copy in copies.values()})
    taken, gone = 0, []
    for sender, deliverer, numbers in _by_sender(node, copies):
        posts = [copies[number].post for number in numbers]
        judged = judge_again(node, posts, deliverer, sender)
        if deliverer in known:
            judged = within_quotas(node, judged, deliverer)
        incoming = [item.incoming for item in judged if item.incoming is not None]
        if deliverer in known and incoming:
            node.store.add(incoming, node.clock.now())
            ring_lanes(node, incoming)
            taken += len(incoming)
        wrong = sum(item.objection == _NOT_ITS_OWN for item in judged)
        if wrong:
            log.info("quarantine.not_its_own", deliverer=deliverer, posts=wrong)
        queued = _queue(node, deliverer, judged)
        gone += [
            number
            for number, item in zip(numbers, judged, strict=True)
            if item.objection is None or item.objection in _FINAL or item.digest in queued
        ]
    node.store.drop_waiting(gone)
    return taken, {origin_of(copies[number].post.id) for number in gone}


def _queue(node: Node, deliverer: NodeId, judged: Sequence[Judged]) -> set[Digest]:
    """Queue what is over quota, to be fetched when its turn has come; return what was queued.

    The rest goes on waiting: its deliverer has no address, or the queue no room.
    """
    refs = [item.post.ref for item in judged if item.post and item.objection == OVER]
    peer = node.store.peer(deliverer) if refs else None
    if peer is None or peer.address is None:
        return set()
    outcomes = node.work.want(deliverer, refs, node.clock.now())
    ring(node, "fetch", [deliverer], f"{len(refs)} refs")
    return {
        ref.digest
        for ref, outcome in zip(refs, outcomes, strict=True)
        if outcome in (Wanted.QUEUED, Wanted.LATER)
    }


def _by_sender(
    node: Node, copies: dict[int, Waiting]
) -> Iterator[tuple[Sender, NodeId, list[int]]]:
    """Group copies by deliverer and what it has proved: then, or since."""
    groups: dict[tuple[NodeId, frozenset[KeyText]], list[int]] = {}
    for number, copy in copies.items():
        groups.setdefault((copy.deliverer, copy.pools), []).append(number)
    for (deliverer, pools), numbers in groups.items():
        peer = node.store.peer(deliverer)
        proved = pools | (frozenset() if peer is None else peer.pools)
        yield Sender(pinned=True, pools=node.identity.reach(proved)), deliverer, numbers
