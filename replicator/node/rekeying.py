"""Taking key announcements: what a node says of its own keys changes what is pinned for it.

Announcements come in node documents, whoever gave them: what they change rests on the signature of
a key that is pinned (`rules.rekeying`), not on the way they came. Where no key counts any more that
did before, posts of the node may have been refused: they are looked for again.
"""

from contextlib import suppress

import structlog

from replicator.errors import WorkUnavailable
from replicator.node.backfill import start
from replicator.node.context import Node
from replicator.node.doorbells import due_now
from replicator.node.health import forgive
from replicator.node.ports import Pin
from replicator.node.repair import repair_soon
from replicator.protocol import announcement
from replicator.protocol.announcement import AnnouncedKey
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.messages import Filter
from replicator.protocol.node_document import NodeDocument, keys_of
from replicator.rules import rekeying as rules
from replicator.rules.trust import current_among, states_at

log = structlog.get_logger()

OWN = "self"
"""Of a pin of this node's own key."""
SOURCE = "announcement"
"""Of a pin that rests on the word of a key that was pinned before it."""


def pin_introduced(node: Node, document: NodeDocument, source: str) -> bool:
    """Pin the keys of a verified document for a node without pins, in the states it announces.

    Returns whether it had none.
    """
    is_new = node.store.pin(document.id, keys_of(document), source, node.clock.now())
    take_announcement(node, document)
    return is_new


def take_announcement(node: Node, document: NodeDocument) -> bool:
    """Let the announcement in a verified document change the pins of its node.

    Returns whether it did; it may be given again and again.
    """
    if document.announcement is None or document.id == node.identity.node_id:
        return False
    before = node.store.pins(document.id)
    found = announcement.of_document(document, node.limits) if before else None
    if found is None:
        return False
    said, signers = found
    now = node.clock.now()
    serial = node.store.key_serial(document.id)
    oldest_first = sorted(before, key=lambda pin: pin.pinned_at)
    judged = rules.judge(said, signers, oldest_first, serial, now, node.limits)
    if isinstance(judged, str):
        if judged != rules.KNOWN:
            log.warning("keys.not_taken", node=document.id, serial=said.serial, reason=judged)
        return False
    after = _pins(judged, before, now)
    if not node.store.announce(document.id, before, after, said.serial):
        return False  # somebody else was faster; what is right comes again
    log.info("keys.taken", node=document.id, serial=said.serial, keys=len(after))
    _follow(node, document.id, _current(before, now), _current(after, now))
    if _may_have_been_refused(node, before, after, now):
        _search(node, document.id)
    return True


def pin_own(node: Node) -> int:
    """Keep the node's own keys among the pins: contents of its own ids are judged by them too.

    A key that was revoked counts as little here as at peers. Returns 1 where anything changed.
    """
    identity, now = node.identity, node.clock.now()
    own = identity.node_id
    if node.store.pin(own, identity.public_node_keys, OWN, now):
        return 1
    if identity.announced is None:
        return 0
    said = identity.announced.content
    if node.store.key_serial(own) >= said.serial:
        return 0
    before = node.store.pins(own)
    return int(node.store.announce(own, before, _pins(said.keys, before, now), said.serial))


def _pins(judged: tuple[AnnouncedKey, ...], before: tuple[Pin, ...], now: int) -> tuple[Pin, ...]:
    known = {pin.key: pin for pin in before}
    first = Pin(KeyText(""), "current", now, SOURCE)
    return tuple(
        Pin(
            key=entry.key,
            state=entry.state,
            pinned_at=known.get(entry.key, first).pinned_at,
            source=known.get(entry.key, first).source,
            until=entry.until,
        )
        for entry in judged
    )


def _current(pins: tuple[Pin, ...], now: int) -> frozenset[KeyText]:
    return current_among(states_at(pins, now))


def _follow(
    node: Node, origin: NodeId, before: frozenset[KeyText], after: frozenset[KeyText]
) -> None:
    """Call a peer again that had failed for its keys."""
    if before != after and node.store.peer(origin) is not None:
        with suppress(WorkUnavailable):  # its breaker is lost then too
            forgive(node, origin)
        due_now(node, [origin])


def _may_have_been_refused(
    node: Node, before: tuple[Pin, ...], after: tuple[Pin, ...], now: int
) -> bool:
    """Tell whether posts may have been refused here, and all peers are worth asking for them.

    During an overlap each post was signed by a key that counted. A node that leaves its keys all
    the time costs no more than others: what it lost by that comes with the sets' comparison.
    """
    if _current(before, now) & _current(after, now):
        return False
    lately = now - int(node.limits.key_lacking_seconds * 1000)
    return not any(pin.source == SOURCE and pin.pinned_at > lately for pin in before)


def _search(node: Node, origin: NodeId) -> None:
    start(node, Filter(nodes=(origin,)), f"{origin} has other keys")
    with suppress(WorkUnavailable):
        repair_soon(node)
