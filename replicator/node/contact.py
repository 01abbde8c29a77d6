"""Getting to know a peer: read its signed node document, show who it is, add and pin it.

The operator's word decides: an address that was given by hand, and the fingerprint shown, are
what a first pin rests on. A node that is pinned already is never re-pinned here.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from replicator.errors import BadAnswer, KeyChanged, Malformed, WorkUnavailable
from replicator.node.context import Node
from replicator.node.doorbells import due_now
from replicator.node.health import forgive as close_breaker
from replicator.node.quarantine import origin_pinned
from replicator.node.rekeying import pin_introduced, take_announcement
from replicator.node.reopening import judge_anew
from replicator.node.repair import repair_soon
from replicator.protocol import codec, node_document
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.node_document import NodeDocument
from replicator.rules.trust import current_among, standing_among, states_at

NODE_PATH = "/v1/node"


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a node said of itself, verified against its own keys, and what we knew before."""

    document: NodeDocument
    address: str
    pinned: tuple[KeyText, ...]

    @property
    def node_id(self) -> NodeId:
        """The node's id."""
        return self.document.id


def introduce(node: Node, address: str, *, seconds: float | None = None) -> Introduction:
    """Read the node document at an address; save nothing.

    Args:
        seconds: that it may take; None is ``peer_call_seconds``.

    Raises:
        PeerUnavailable: nobody answers there.
        BadAnswer: what is there is not a node document signed by the keys it names.
    """
    got = node.transport.get(
        address.rstrip("/") + NODE_PATH,
        seconds=node.limits.peer_call_seconds if seconds is None else seconds,
        bytes_max=node.limits.message_bytes_max,
    )
    if got.status != 200:
        raise BadAnswer(f"{address} answered {got.status} where its node document should be")
    try:
        document = node_document.read(codec.JSON, got.body, node.limits)
    except Malformed as error:
        raise BadAnswer(f"{address} gives no valid node document: {error}") from error
    states = states_at(node.store.pins(document.id), node.clock.now())
    pinned = tuple(key for key, state in states.items() if state == "current")
    return Introduction(document, address, pinned)


def accept(node: Node, introduction: Introduction) -> None:
    """Add an introduced node as a peer and pin its keys, unless it has pins.

    What it announces is taken in any case: it may introduce the keys that are new. Of a node that
    was forgotten, revoked keys are left: it is taken under any others.

    Raises:
        KeyChanged: it is pinned under other keys, or shows one that is revoked; the operator must
            re-pin it knowingly.
    """
    document = introduction.document
    keys = node_document.keys_of(document)
    take_announcement(node, document)
    states = states_at(node.store.pins(document.id), node.clock.now())
    now = node.clock.now()
    if not current_among(states).intersection(keys):
        if standing_among(states):
            raise KeyChanged(f"{document.id} is pinned here under another key")
        if not states.keys().isdisjoint(keys):
            raise KeyChanged(f"a key of {document.id} was revoked here")
    node.store.add_peer(document.id, introduction.address, now)
    is_new = pin_introduced(node, document, "address")
    forgive(node, document.id)
    if is_new and node.policy.put == "peers":
        # otherwise what the pool did not sign is not taken, whoever its origin is
        origin_pinned(node, document.id, f"{document.id} is known")
    judge_anew(node)


def trust(node: Node, peer: NodeId, keys: Collection[KeyText], *, revoke: bool = False) -> None:
    """Pin other keys for a peer, on the operator's word; its present ones are retired, or revoked.

    Posts under these keys were refused from whoever held them, so all are asked again.
    """
    node.store.repin(peer, keys, node.clock.now(), revoke=revoke)
    forgive(node, peer)
    origin_pinned(node, peer, f"other keys of {peer} are trusted")
    judge_anew(node)
    with suppress(WorkUnavailable):
        repair_soon(node)


def forgive(node: Node, peer: NodeId) -> None:
    """Let a peer be called at once, and have all periodic work with it done at the next tick.

    What the operator changed may be what calls failed for.
    """
    with suppress(WorkUnavailable):  # its breaker is lost then too
        close_breaker(node, peer)
    due_now(node, [peer])
