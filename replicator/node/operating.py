"""What the operator tells a node about one peer, or about what waits for it. Each verb is a value.

Every verb may be given twice: the second time it finds its work done. None of them drops posts or
moves a lane's cursor. Where Redis is away, what is kept there is lost anyway: what only forgives or
hurries is then left out, and the answer says so by its counts.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, get_args

from replicator.errors import ConfigurationError, CursorConflict, WorkUnavailable
from replicator.node import contact, roster
from replicator.node.context import Node
from replicator.node.dead_letters import dead_letters
from replicator.node.doorbells import due_now, ring
from replicator.node.health import forgive
from replicator.node.introductions import SOURCE
from replicator.node.ports import DeadLetter, DoorbellKind, Member, Peer
from replicator.node.rekeying import pin_introduced
from replicator.node.repair import repair_soon
from replicator.protocol import codec, node_document
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.node_document import NodeDocument
from replicator.rules.addresses import address_objection
from replicator.rules.roster import usable_address

_RACES_MAX: Final = 8
"""Pulls that may move a cursor while it is put back; each of them ends when it is."""


def known_peer(node: Node, peer: NodeId) -> Peer:
    """Return a peer.

    Raises:
        ConfigurationError: it is none.
    """
    known = node.store.peer(peer)
    if known is None:
        raise ConfigurationError(f"{peer} is no peer of this node; see: replicator peers list")
    return known


# lanes


def pause(node: Node, peer: NodeId) -> bool:
    """Stop calling a peer: lanes, fetches, pulls and repair; False: it was paused already.

    Work that is under way ends by itself within seconds. What the peer asks is still answered.
    """
    was_paused = known_peer(node, peer).paused
    node.store.set_paused(peer, paused=True)
    return not was_paused


def resume(node: Node, peer: NodeId) -> bool:
    """Start calling a peer again, at once; False: it was not paused; it is flushed all the same."""
    was_paused = known_peer(node, peer).paused
    node.store.set_paused(peer, paused=False)
    with suppress(WorkUnavailable):
        flush(node, peer)
    return was_paused


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush found waiting: posts to fetch that are due now, and log entries to look at."""

    hastened: int
    queued: int
    behind: int


def flush(node: Node, peer: NodeId) -> Flushed:
    """Have everything that waits for a peer tried now; nothing is dropped.

    Its breaker is forgiven, its fetch queue is due, its doorbells ring anew, and its pull, repair
    and roster are due at the next tick.

    Raises:
        ConfigurationError: it is no peer, or it is paused.
        WorkUnavailable: Redis is away.
    """
    known = known_peer(node, peer)
    if known.paused:
        raise ConfigurationError(f"{peer} is paused; first: replicator peers resume {peer}")
    forgive(node, peer)
    hastened = node.work.hasten(peer, node.clock.now())
    node.work.set_dues("announce", {peer: node.clock.now()})
    due_now(node, [peer])
    for kind in get_args(DoorbellKind):
        node.work.hear(kind, peer)  # the message of a flag that is set may be lost
    for lane in ("announce", "fetch"):
        ring(node, lane, [peer], "flushed")
    behind = max(0, node.store.last_change() - known.pushed)
    return Flushed(hastened, node.work.queued().get(peer, 0), behind)


def resync(node: Node, peer: NodeId) -> bool:
    """Compare everything with a peer anew: its log from the epoch, and the sets.

    What was given up towards it is tried again. Posts that are held cost a ref each.

    Returns:
        Whether it starts now; False: the peer is paused, and it starts when that ends.

    Raises:
        ConfigurationError: it is no peer, or its log is being pulled without a pause.
        WorkUnavailable: Redis is away; the log is read from the epoch all the same.
    """
    known = known_peer(node, peer)
    _to_the_epoch(node, known)
    node.work.note_progress(peer, None)
    repair_soon(node, [peer])
    due_now(node, [peer])
    if not known.paused:
        flush(node, peer)
    return not known.paused


def _to_the_epoch(node: Node, peer: Peer) -> None:
    """Put a pull cursor back; a pull that is under way finds it moved and ends."""
    for _ in range(_RACES_MAX):
        before = known_peer(node, peer.id).pulled
        if before is None:
            return
        with suppress(CursorConflict):
            node.store.record_pull(peer.id, before, None, now=node.clock.now())
            return
    raise ConfigurationError(f"the log of {peer.id} is being pulled; try again")


def forget(node: Node, peer: NodeId) -> bool:
    """Remove a peer with its pins and cursors, and all that is in hand for it; posts stay.

    False: there was no such peer. What Redis keeps goes by itself where Redis is away.
    """
    was_there = node.store.forget_peer(peer)
    with suppress(WorkUnavailable):
        node.work.forget(peer)
    return was_there


# the roster


def offered(node: Node) -> list[Member]:
    """Return members that others introduced and that are no peers yet, by node id."""
    peers = {peer.id for peer in node.store.peers()}
    return [member for member in roster.offered(node) if member.node not in peers]


def introduced(node: Node, member: NodeId) -> NodeDocument | None:
    """Return what a member of a pool said of itself, or None where nobody introduced it."""
    kept = node.store.introductions([member]).get(member)
    return None if kept is None else read_introduction(node, kept)


def read_introduction(node: Node, member: Member) -> NodeDocument:
    """Return the document of an introduction; it is verified once more."""
    return node_document.read(codec.JSON, member.document, node.limits)


def callable_address(node: Node, document: NodeDocument) -> str | None:
    """Return the first address of a document that this node would call, or None."""
    return usable_address(document.addresses, node.address, allow_private=node.allow_private)


def require_callable(node: Node, address: str | None) -> None:
    """Refuse an address given by hand that this node would not call.

    Raises:
        ConfigurationError: it is private, and such are not called.
    """
    if address is not None and not node.allow_private:
        reason = address_objection(address)
        if reason is not None:
            raise ConfigurationError(f"{address}: {reason}")


def add(node: Node, peer: NodeId, address: str | None, document: NodeDocument | None) -> None:
    """Add a peer by its id, with the address and keys of its introduction where it has one.

    Args:
        address: given by hand; it goes before what the introduction says.
        document: its introduction, which the operator has agreed to; None: nothing is pinned.

    Raises:
        ConfigurationError: the address given is private, and such are not called.
    """
    require_callable(node, address)
    now = node.clock.now()
    if document is not None:
        address = address or callable_address(node, document)
    node.store.add_peer(peer, address, now)
    if document is not None:
        pin_introduced(node, document, SOURCE)
    contact.forgive(node, peer)


# the queue


def letters(
    node: Node, digests: Collection[Digest] = (), holder: NodeId | None = None
) -> list[DeadLetter]:
    """Return dead letters of posts that this node lacks, newest first.

    Args:
        digests: only of these; none given: of all posts.
        holder: only of this one.
    """
    return [
        letter
        for letter in dead_letters(node)
        if (not digests or letter.ref.digest in digests) and holder in (None, letter.holder)
    ]


def requeue(node: Node, chosen: Collection[DeadLetter], holder: NodeId | None = None) -> int:
    """Queue dead letters again and ring for their holders; return how many were queued.

    One whose holder's queue is full stays dead.
    """
    queued = node.work.requeue({one.ref.digest for one in chosen}, node.clock.now(), holder)
    if queued:
        ring(node, "fetch", sorted({one.holder for one in chosen}), "requeued")
    return queued


def drop(node: Node, chosen: Collection[DeadLetter], holder: NodeId | None = None) -> int:
    """Remove dead letters; return how many. Comparing sets may bring the posts up again."""
    return node.work.drop({one.ref.digest for one in chosen}, holder)
