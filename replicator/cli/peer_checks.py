"""What `replicator doctor` checks of peers: called, reached, under the pinned key, in time."""

from collections.abc import Iterator
from typing import Final

from replicator.cli.equivocations import equivocators_words
from replicator.cli.findings import Finding, Subject
from replicator.cli.peer_words import Standings
from replicator.errors import PeerMisbehaved, PeerUnavailable
from replicator.node.contact import introduce
from replicator.node.context import Node
from replicator.node.ports import Peer
from replicator.protocol.messages import PROTOCOL_VERSION
from replicator.protocol.node_document import NodeDocument, keys_of
from replicator.protocol.signing import fingerprint
from replicator.rules.trust import states_at

_NAMED_MAX: Final = 5
_STOLEN: Final = "do not trust it, its key may be stolen: ask its operator by another way"
_NTP: Final = "let both machines keep time by NTP"


def peers(subject: Subject) -> Iterator[Finding]:
    """Check every peer: reached, under the pinned key, in a common pool, clocks together."""
    node = subject.node
    if node is None:
        return
    known = node.store.peers()
    if not known:
        yield Finding("peers", "warn", "no peers", "replicator peers add URL")
    yield from _equivocating(node)
    standings = Standings(node, known)
    for peer in known:
        yield from _called(standings, peer)
        if not peer.paused:
            yield from _reached(node, peer)


def _equivocating(node: Node) -> Iterator[Finding]:
    """Say that origins published two contents under one id."""
    flagged = node.store.equivocators()
    if flagged:
        names = ", ".join(one.node for one in flagged[:_NAMED_MAX])
        more = ", …" if len(flagged) > _NAMED_MAX else ""
        advice = f"ask their operators; to take nothing of one: posts block node:{flagged[0].node}"
        text = f"{equivocators_words(len(flagged))}: {names}{more}"
        yield Finding("equivocations", "warn", text, advice)


def _called(standings: Standings, peer: Peer) -> Iterator[Finding]:
    """Say where a peer is not called, and why."""
    if peer.paused:
        text = f"{peer.id} is paused: this node does not call it; its own calls are answered"
        yield Finding("paused", "warn", text, f"replicator peers resume {peer.id}")
    elif standings.state(peer) in ("open", "half-open", "busy"):
        text = f"{peer.id}: {standings.words(peer)}"
        advice = f"to call it now: replicator peers probe {peer.id}"
        yield Finding("breaker", "warn", text, advice)


def _reached(node: Node, peer: Peer) -> Iterator[Finding]:
    try:
        yield from _peer(node, peer)
    except (PeerMisbehaved, PeerUnavailable) as error:
        text = f"{peer.id}: {error}"
        yield Finding("peers", "fail", text, f"is it up? if it moved: peers add {peer.id} URL")
        yield from _stored_clock(node, peer)


def _peer(node: Node, peer: Peer) -> Iterator[Finding]:
    if peer.address is None:
        yield Finding("peers", "ok", f"{peer.id}: no address, it speaks to us")
        yield from _stored_clock(node, peer)
        return
    introduction = introduce(node, peer.address)
    document = introduction.document
    if document.id != peer.id:
        text = f"{peer.id}: at its address is {document.id}"
        yield Finding("peers", "fail", text, f"peers add {peer.id} with the right URL")
        return
    if node.store.pins(peer.id) and not {*introduction.pinned}.intersection(keys_of(document)):
        yield _other_keys(node, document)
    elif PROTOCOL_VERSION not in document.protocols:
        spoken = ", ".join(document.protocols)
        yield Finding("peers", "fail", f"{peer.id} speaks {spoken}", "update the older node")
    elif not node.identity.pools & {*document.pools, *peer.pools}:
        # a gateway without pool keys names none: what the peer proved by messages counts as well
        text = f"{peer.id} shares no pool with this node"
        yield Finding("peers", "warn", text, "one of you needs the other's pool key")
    else:
        yield Finding("peers", "ok", f"{peer.id} answers at {peer.address}")
    yield _clock(node, peer, document.time)


def _other_keys(node: Node, document: NodeDocument) -> Finding:
    """Say which keys a peer shows instead of a pinned one: a revoked one is no key to trust."""
    states = states_at(node.store.pins(document.id), node.clock.now())
    revoked = [key for key in keys_of(document) if states.get(key) == "revoked"]
    shown = ", ".join(map(fingerprint, revoked or keys_of(document)))
    if revoked:
        text = f"{document.id} shows a key that is REVOKED here: {shown}"
        return Finding("peers", "fail", text, _STOLEN)
    text = f"{document.id} has another key than the one pinned: {shown}"
    advice = f"compare it with its operator's keys list, then: peers trust {document.id}"
    return Finding("peers", "fail", text, advice)


def _clock(node: Node, peer: Peer, time_ms: int) -> Finding:
    """Compare clocks by the time in the peer's signed document; the way there is not counted."""
    apart = (time_ms - node.clock.now()) / 1000
    text = f"the clock of {peer.id} is {_apart(apart)}"
    stored = peer.clock_offset_ms / 1000
    window = node.limits.window_seconds
    if max(abs(stored), abs(apart)) > window:
        text += f"; requests to it are dated as if it were {_apart(stored)}"
    if abs(apart) > window:
        return Finding("clock", "fail", text, _NTP)
    return Finding("clock", "warn" if abs(apart) > window / 4 else "ok", text, _NTP)


def _stored_clock(node: Node, peer: Peer) -> Iterator[Finding]:
    """Name what a peer said of its clock the last time, where it cannot be asked now."""
    stored = peer.clock_offset_ms / 1000
    if abs(stored) > node.limits.window_seconds:
        text = f"the clock of {peer.id} was {_apart(stored)} when it refused a request for that"
        yield Finding("clock", "warn", text, _NTP)


def _apart(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}"
