"""Taking introductions: verify each, judge it by `rules.roster`, and do what follows.

What does not count is ignored and counted, never a reason to refuse the rest: the others of a page
are as good as they were. An introduction of a node that is pinned here under none of its keys is
shown to the operator, for somebody with the pool key made it. Whatever is told, peers are bounded
by ``peers_max``, introductions by ``roster_entries_max`` and ``introduction_bytes_max``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from replicator.errors import Malformed
from replicator.node.context import Node
from replicator.node.ports import Member, Peer, RefusalRecord
from replicator.protocol import codec, node_document
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.node_document import NodeDocument
from replicator.rules import roster as rules
from replicator.rules.roster import Decision, Standing, Step

log = structlog.get_logger()

SOURCE = "roster"
"""Of a pin that rests on an introduction by a member."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of some introductions.

    Args:
        members: that count and were kept.
        added: new peers.
        moved: peers with another address.
        offered: that wait for the operator's word.
        ignored: that do not count.
        last: the node id of the last one that could be read.
    """

    members: int = 0
    added: int = 0
    moved: int = 0
    offered: int = 0
    ignored: int = 0
    last: NodeId | None = None

    def plus(self, more: "Taken") -> "Taken":
        """Return the sum of two."""
        return Taken(
            self.members + more.members,
            self.added + more.added,
            self.moved + more.moved,
            self.offered + more.offered,
            self.ignored + more.ignored,
            more.last or self.last,
        )


@dataclass(frozen=True, slots=True)
class _Introduction:
    document: NodeDocument
    compact: bytes


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store holds of the nodes that are introduced."""

    standings: Mapping[NodeId, Standing]
    members: Mapping[NodeId, Member]


def take(
    node: Node,
    pool: KeyText,
    trees: Sequence[Any],
    teller: NodeId,
    *,
    only: NodeId | None = None,
) -> Taken:
    """Take introductions that ``teller`` gave for ``pool``; do what follows from each.

    Args:
        trees: signed node documents as they came.
        only: the one node that may be introduced; None: any.
    """
    found = [_read(node, tree) for tree in trees]
    readable = [entry for entry in found if entry is not None]
    last = readable[-1].document.id if readable else None
    known = _look_up(node, {entry.document.id for entry in readable})
    taken = Taken(ignored=len(found) - len(readable), last=last)
    forged: list[NodeId] = []
    for entry in {entry.document.id: entry for entry in readable}.values():
        document = entry.document
        reason = rules.objection(
            document, pool, node.identity.node_id, node.clock.now(), node.limits
        )
        if rules.is_another(document, known.standings[document.id]):
            forged.append(document.id)
        elif reason is None and only in (None, document.id):
            taken = taken.plus(_follow(node, entry, known))
            continue
        if reason != "own":
            taken = replace(taken, ignored=taken.ignored + 1)
    if forged:
        _report(node, teller, forged)
    return taken


def _read(node: Node, tree: Any) -> _Introduction | None:
    """Return a document whose signatures verify, and that either encoding can carry; or None."""
    try:
        document = node_document.read_tree(tree)
        compact = node_document.compact(tree)
        if len(compact) > node.limits.introduction_bytes_max:
            return None
        answer = {"status": "success", "introductions": [tree]}
        codec.decode(codec.XML, codec.encode(codec.XML, answer), node.limits)
    except (Malformed, ValueError, TypeError):
        return None
    return _Introduction(document, compact)


def _look_up(node: Node, ids: set[NodeId]) -> _Known:
    if not ids:
        return _Known({}, {})
    pins = node.store.all_pins(ids)
    members = node.store.introductions(ids)
    peers = {peer.id: peer for peer in node.store.peers() if peer.id in ids}
    standings = {
        node_id: Standing(
            pins={pin.key: pin.state for pin in pins.get(node_id, ())},
            is_peer=node_id in peers,
            address=_address(peers.get(node_id)),
            named=_named(node, members.get(node_id)),
        )
        for node_id in ids
    }
    return _Known(standings, members)


def _address(peer: Peer | None) -> str | None:
    return peer.address if peer else None


def _named(node: Node, member: Member | None) -> tuple[str, ...]:
    """Return the addresses of a kept introduction; it was verified before it was kept."""
    if member is None:
        return ()
    tree = codec.decode(codec.JSON, member.document, node.limits)
    return codec.read(tree["document"], NodeDocument).addresses


def _follow(node: Node, entry: _Introduction, known: _Known) -> Taken:
    """Keep an introduction that counts, unless a newer one is kept, and do what it leads to."""
    document = entry.document
    before = known.members.get(document.id)
    if before is not None and before.time >= document.time:
        return Taken()
    standing = known.standings[document.id]
    decision = rules.decide(document, standing, node.policy.roster, node.address)
    # first what follows, then the note: what dies between is done again
    counts = _apply(node, document, decision)
    member = Member(
        node=document.id,
        pools=node.identity.pools & frozenset(document.pools),
        document=entry.compact,
        time=document.time,
        offered=decision.step is Step.OFFER,
    )
    node.store.note_member(member, node.clock.now())
    return counts


def _apply(node: Node, document: NodeDocument, decision: Decision) -> Taken:
    now = node.clock.now()
    match decision.step:
        case Step.ADD:
            bound = node.limits.peers_max
            if not node.store.add_peer(document.id, decision.address, now, peers_max=bound):
                return Taken(members=1)
            node.store.pin(document.id, node_document.keys_of(document), SOURCE, now)
            log.info("roster.peer_added", peer=document.id, address=decision.address)
            return Taken(members=1, added=1)
        case Step.MOVE:
            node.store.add_peer(document.id, decision.address, now)
            log.info("roster.peer_moved", peer=document.id, address=decision.address)
            return Taken(members=1, moved=1)
        case Step.OFFER:
            return Taken(members=1, offered=1)
        case Step.KEEP:
            return Taken(members=1)


def _report(node: Node, teller: NodeId, forged: Sequence[NodeId]) -> None:
    """Leave one finding for the operator, however many there are."""
    message = f"introduces {forged[0]} under keys that are not pinned for it"
    if len(forged) > 1:
        message += f", and {len(forged) - 1} more"
    node.work.note_refusal(RefusalRecord(node.clock.now(), teller, "key-changed", message))
    log.warning("roster.other_keys", teller=teller, node=forged[0], count=len(forged))
