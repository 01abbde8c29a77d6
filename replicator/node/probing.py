"""Asking a peer now, at the operator's word, whatever its breaker says: who and how is it?

Two questions: its node document, whose key announcement is taken, and one signed page of one ref.
A good answer closes its breaker; a bad one is shown and not counted, for the operator may ask
often.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from replicator.errors import (
    BadAnswer,
    KeyChanged,
    PeerMisbehaved,
    PeerRefused,
    PeerUnavailable,
    WorkUnavailable,
)
from replicator.node.contact import introduce
from replicator.node.context import Node
from replicator.node.conversation import hear
from replicator.node.health import end_of, forgive
from replicator.node.ports import Peer
from replicator.node.rekeying import take_announcement
from replicator.protocol.ids import KeyText
from replicator.protocol.messages import Pull
from replicator.protocol.node_document import keys_of
from replicator.rules.breaker import End
from replicator.rules.trust import KeyState, current_among, standing_among, states_at

Key = Literal["pinned", "new", "changed", "unknown"]


@dataclass(frozen=True, slots=True)
class Probed:
    """How a peer answered.

    Args:
        address: where it was asked.
        end: None: well; else which of the four ends it was, or ``busy``.
        reason: the end in words.
        key: ``pinned``, ``new`` (none was pinned before), ``changed``; ``unknown``: it gave none.
        types: request types that it answers.
        clock_ms: its clock minus ours, its document's way here not counted.
        offset_ms: the stored offset by which requests to it are dated.
        round_trip_ms: of the signed question.
    """

    address: str
    end: End | Literal["busy"] | None = None
    reason: str = ""
    key: Key = "unknown"
    types: tuple[str, ...] = field(default=())
    clock_ms: int | None = None
    offset_ms: int = 0
    round_trip_ms: int | None = None


def probe(node: Node, peer: Peer) -> Probed:
    """Ask a peer now; close its breaker where it answers well.

    Raises:
        PeerUnavailable: no address is known for it.
    """
    if peer.address is None:
        raise PeerUnavailable(f"no address is known for {peer.id}: it can only call us")
    probed = Probed(peer.address, offset_ms=peer.clock_offset_ms)
    try:
        probed = _document(node, peer, probed)
    except (PeerUnavailable, PeerMisbehaved) as error:
        probed = _ended(probed, error)
    if probed.end in ("unreachable", "busy"):
        return probed  # the second question would wait in vain for as long
    probed = _question(node, peer, probed)
    if probed.end is None:
        with suppress(WorkUnavailable):  # its breaker is lost then too
            forgive(node, peer.id)
    learned = node.store.peer(peer.id)
    return replace(probed, offset_ms=(learned or peer).clock_offset_ms)


def _document(node: Node, peer: Peer, probed: Probed) -> Probed:
    document = introduce(node, probed.address).document
    if document.id != peer.id:
        raise BadAnswer(f"at its address is {document.id}")
    take_announcement(node, document)
    states = states_at(node.store.pins(peer.id), node.clock.now())
    return replace(
        probed,
        key=_key(states, set(keys_of(document))),
        types=document.types,
        clock_ms=document.time - node.clock.now(),
    )


def _key(pins: Mapping[KeyText, KeyState], shown: set[KeyText]) -> Key:
    if not standing_among(pins) and pins.keys().isdisjoint(shown):
        return "new"
    return "pinned" if current_among(pins) & shown else "changed"


def _question(node: Node, peer: Peer, probed: Probed) -> Probed:
    """Ask a signed question; what the document ended with before stands."""
    start = node.clock.monotonic()
    try:
        hear(node, peer, Pull(limit=1, want="refs"))
    except (PeerUnavailable, PeerMisbehaved, PeerRefused) as error:
        ended = probed if probed.end is not None else _ended(probed, error)
        return replace(ended, key="changed") if isinstance(error, KeyChanged) else ended
    return replace(probed, round_trip_ms=round((node.clock.monotonic() - start) * 1000))


def _ended(probed: Probed, error: Exception) -> Probed:
    if isinstance(error, PeerUnavailable) and error.retry_after is not None:
        return replace(probed, end="busy", reason=str(error))
    return replace(probed, end=end_of(error), reason=str(error))
