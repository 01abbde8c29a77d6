"""Taking introductions: verify each, judge it by `rules.roster`, and do what follows.

What does not count is ignored and counted, never a reason to refuse the rest: the others of a page
are as good as they were. A key announcement in one is taken first: it may introduce the document's
keys. An introduction of a node that is pinned here under none of its keys is shown to the operator,
for somebody with the pool key made it. Whatever is told, peers are bounded by ``peers_max``,
introductions by ``roster_entries_max`` and ``introduction_bytes_max``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import structlog

from replicator.errors import Malformed
from replicator.limits import PROTOCOL_FLOOR as FLOOR
from replicator.node.context import Node
from replicator.node.ports import Member, RefusalRecord
from replicator.node.rekeying import pin_introduced, take_announcement
from replicator.protocol import codec, node_document
from replicator.protocol.ids import KeyText, NodeId, WireInteger, WireNodeId
from replicator.protocol.node_document import NodeDocument
from replicator.rules import roster as rules
from replicator.rules.roster import Decision, Standing, Step
from replicator.rules.trust import KeyState, states_at

log = structlog.get_logger()

SOURCE: Final = "roster"
"""Of a pin that rests on an introduction by a member."""
_OTHER_KEYS: Final = "other-keys"


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


class _About(msgspec.Struct, frozen=True):
    id: WireNodeId
    time: WireInteger


class _Claim(msgspec.Struct, frozen=True):
    """What a document says it is about, before it is verified; reason enough to leave it."""

    document: _About


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store holds of the nodes that are introduced, and how many peers there are."""

    standings: Mapping[NodeId, Standing]
    members: Mapping[NodeId, Member]
    documents: Mapping[NodeId, codec.Tree]
    peers: int


def take(
    node: Node, pool: KeyText, trees: Sequence[Any], teller: NodeId, *, only: NodeId | None = None
) -> Taken:
    """Take introductions that ``teller`` gave for ``pool``; do what follows from each.

    Args:
        trees: signed node documents as they came.
        only: the one node that may be introduced; None: any.
    """
    claims = [_claim(tree) for tree in trees]
    about = [claim.id for claim in claims if claim is not None]
    known = _look_up(node, set(about))
    taken = Taken(last=about[-1] if about else None)
    forged: list[NodeId] = []
    seen = {node.identity.node_id}
    for claim, tree in zip(claims, trees, strict=True):
        if claim is None:
            taken = replace(taken, ignored=taken.ignored + 1)
            continue
        if claim.id in seen or _is_known(node, claim, tree, known):
            continue  # there is no reason to verify it
        seen.add(claim.id)
        judged = _judge(node, pool, tree, known)
        if isinstance(judged, NodeDocument) and only in (None, claim.id):
            room = node.limits.peers_max - known.peers - taken.added
            taken = taken.plus(_follow(node, judged, tree, known, room=room))
            continue
        taken = replace(taken, ignored=taken.ignored + 1)
        if judged == _OTHER_KEYS:
            forged.append(claim.id)
    if forged:
        _report(node, teller, forged)
    return taken


def _claim(tree: Any) -> _About | None:
    try:
        return codec.read(tree, _Claim).document
    except Malformed:
        return None


def _is_known(node: Node, claim: _About, tree: Any, known: _Known) -> bool:
    """Tell whether a document claims to be no newer than the kept one, or to repeat it."""
    before = known.members.get(claim.id)
    if before is None or claim.time <= before.time:
        return before is not None
    renewal_ms = int(node.limits.roster_renewal_seconds * 1000)
    if before.offered or claim.time >= before.time + renewal_ms:
        return False
    return {**tree["document"], "time": 0} == {**known.documents[claim.id], "time": 0}


def _judge(node: Node, pool: KeyText, tree: Any, known: _Known) -> NodeDocument | str:
    """Return a document that verifies and counts, or why it does not."""
    try:
        document = node_document.read_tree(tree)
    except Malformed as error:
        return str(error)
    pins = known.standings[document.id].pins
    if pins and take_announcement(node, document):
        pins = _pins(node, [document.id])[document.id]
    if rules.is_another(document, pins):
        return _OTHER_KEYS
    own, now, limits = node.identity.node_id, node.clock.now(), node.limits
    reason = rules.objection(document, pool, own, now, limits)
    return reason or (document if _can_be_told(node, tree) else "not to be told on")


def _can_be_told(node: Node, tree: Any) -> bool:
    """Tell whether a document is short enough, and one that either encoding can carry.

    A later version's may have members that this one does not know, with any name and value.
    """
    if len(node_document.compact(tree)) > node.limits.introduction_bytes_max:
        return False
    answer = {"status": "success", "introductions": [tree]}
    for media_type in (codec.JSON, codec.XML):
        try:
            page = codec.encode(media_type, answer)
            codec.decode(media_type, page, node.limits)
        except (Malformed, ValueError):
            return False
        if not _fills_a_page(codec.count_parts(media_type, page), len(page)):
            return False
    return True


def _fills_a_page(parts: int, size: int) -> bool:
    """Tell whether a page of documents like this one is none that anybody refuses unread."""
    documents = min(FLOOR["items_max"], FLOOR["message_bytes_max"] // size)
    return parts * documents <= FLOOR["document_parts_max"]


def _look_up(node: Node, ids: set[NodeId]) -> _Known:
    pins = _pins(node, ids)
    members = node.store.introductions(ids)
    peers = {peer.id: peer for peer in node.store.peers()}
    # verified before they were kept
    documents = {
        node_id: codec.decode(codec.JSON, member.document, node.limits)["document"]
        for node_id, member in members.items()
    }
    standings = {
        node_id: Standing(
            pins=pins.get(node_id, {}),
            is_peer=node_id in peers,
            address=peers[node_id].address if node_id in peers else None,
            named=documents[node_id]["addresses"] if node_id in documents else (),
        )
        for node_id in ids
    }
    return _Known(standings, members, documents, len(peers))


def _pins(node: Node, ids: Collection[NodeId]) -> dict[NodeId, dict[KeyText, KeyState]]:
    """Return what the keys of nodes count for now; nodes without pins are absent."""
    now = node.clock.now()
    return {one: states_at(pins, now) for one, pins in node.store.all_pins(ids).items()}


def _follow(node: Node, document: NodeDocument, tree: Any, known: _Known, *, room: int) -> Taken:
    """Do what an introduction that counts leads to, and keep it.

    In this order: what dies between is done again with the next introduction.
    """
    standing = known.standings[document.id]
    decision = rules.decide(
        document,
        standing,
        node.policy.roster,
        node.address,
        allow_private=node.allow_private,
    )
    counts = _apply(node, document, decision, room)
    member = Member(
        node=document.id,
        pools=node.identity.pools & frozenset(document.pools),
        document=node_document.compact(tree),
        time=document.time,
        offered=decision.step is Step.OFFER,
    )
    node.store.note_member(member, node.clock.now())
    return counts


def _apply(node: Node, document: NodeDocument, decision: Decision, room: int) -> Taken:
    now = node.clock.now()
    match decision.step:
        case Step.ADD:
            if room <= 0:
                return Taken(members=1)
            # pinned before it is a peer: one without pins counts as the operator's word
            pin_introduced(node, document, SOURCE)
            bound = node.limits.peers_max
            node.store.add_peer(document.id, decision.address, now, peers_max=bound)
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
