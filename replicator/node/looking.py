"""Looking at the keys of a peer anew: read its node document, and take what it announces.

The reason is a note (`key_notes`) that anybody can cause who knows the peer's name. So one look is
one short call, each peer has a pause after it, and one that is known not to answer is not called.
Nothing that is found counts unless a key signed it that is pinned.
"""

from dataclasses import dataclass

import structlog

from replicator.errors import PeerMisbehaved, PeerUnavailable
from replicator.node.contact import introduce
from replicator.node.context import Node
from replicator.node.health import reachable
from replicator.node.ports import Peer
from replicator.node.rekeying import take_announcement
from replicator.node.turns import turn
from replicator.protocol.ids import NodeId
from replicator.rules.backoff import jittered

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look found: ``changed``, ``nothing new``, or what stopped it."""

    peer: NodeId
    ended: str


def look(node: Node, peer_id: NodeId) -> Looked:
    """Read the node document of a peer and take the announcement in it."""
    with turn(node, "look", peer_id) as not_ours:
        if not_ours:
            return Looked(peer_id, not_ours)
        peer = node.store.peer(peer_id)
        if peer is None or peer.address is None or not _may_answer(node, peer):
            return Looked(peer_id, "not reachable")
        ended = _look(node, peer_id, peer.address)
    if ended == "changed":  # it may change more of them soon
        wait = int(jittered(node.limits.key_look_seconds, node.random) * 1000)
        node.work.pause_looks(peer_id, node.clock.now() + wait)
    return Looked(peer_id, ended)


def _may_answer(node: Node, peer: Peer) -> bool:
    """Tell whether a call may be worth it: also where the peer answers, but not as it should."""
    if peer.paused:
        return False
    return reachable(node, peer) or node.work.breakers([peer.id])[peer.id].end != "unreachable"


def _look(node: Node, peer: NodeId, address: str) -> str:
    try:
        document = introduce(node, address, seconds=node.limits.quick_call_seconds).document
    except (PeerUnavailable, PeerMisbehaved) as error:
        log.info("keys.not_seen", peer=peer, reason=str(error)[:200])
        return type(error).__name__
    if document.id != peer:
        return f"at its address is {document.id}"
    return "changed" if take_announcement(node, document) else "nothing new"
