"""What `replicator doctor` checks of peers: reached, under the pinned key, clocks together."""

from collections.abc import Iterator

from replicator.cli.findings import Finding, Subject
from replicator.errors import PeerMisbehaved, PeerUnavailable
from replicator.node.contact import introduce
from replicator.node.context import Node
from replicator.node.ports import Peer
from replicator.protocol.messages import PROTOCOL_VERSION
from replicator.protocol.node_document import keys_of
from replicator.protocol.signing import fingerprint


def peers(subject: Subject) -> Iterator[Finding]:
    """Check every peer: reached, under the pinned key, in a common pool, clocks together."""
    node = subject.node
    if node is None:
        return
    known = node.store.peers()
    if not known:
        yield Finding("peers", "warn", "no peers", "replicator peers add URL")
    for peer in known:
        try:
            yield from _peer(node, peer)
        except (PeerMisbehaved, PeerUnavailable) as error:
            text = f"{peer.id}: {error}"
            yield Finding("peers", "fail", text, f"is it up? if it moved: peers add {peer.id} URL")


def _peer(node: Node, peer: Peer) -> Iterator[Finding]:
    if peer.address is None:
        yield Finding("peers", "ok", f"{peer.id}: no address, it speaks to us")
        return
    introduction = introduce(node, peer.address)
    document = introduction.document
    if document.id != peer.id:
        text = f"{peer.id}: at its address is {document.id}"
        yield Finding("peers", "fail", text, f"peers add {peer.id} with the right URL")
        return
    pinned = set(introduction.pinned)
    if pinned and not pinned & set(keys_of(document)):
        shown = ", ".join(map(fingerprint, keys_of(document)))
        text = f"{peer.id} has another key than the one pinned: {shown}"
        advice = f"compare it with its operator's keys list, then: peers trust {peer.id}"
        yield Finding("peers", "fail", text, advice)
    elif PROTOCOL_VERSION not in document.protocols:
        spoken = ", ".join(document.protocols)
        yield Finding("peers", "fail", f"{peer.id} speaks {spoken}", "update the older node")
    elif not node.identity.pools & set(document.pools):
        text = f"{peer.id} shares no pool with this node"
        yield Finding("peers", "warn", text, "one of you needs the other's pool key")
    else:
        yield Finding("peers", "ok", f"{peer.id} answers at {peer.address}")
    yield _clock(node, peer, document.time)


def _clock(node: Node, peer: Peer, time_ms: int) -> Finding:
    """Compare clocks by the time in the peer's signed document; the way there is not counted."""
    apart = (time_ms - node.clock.now()) / 1000
    text = f"the clock of {peer.id} is {abs(apart):.1f} s {'ahead' if apart > 0 else 'behind'}"
    advice = "let both machines keep time by NTP"
    window = node.limits.window_seconds
    if abs(apart) > window:
        return Finding("clock", "fail", text, advice)
    return Finding("clock", "warn" if abs(apart) > window / 4 else "ok", text, advice)
