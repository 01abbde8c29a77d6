"""Noting that a peer signs with other keys than are pinned for it; `looking` looks into it.

A note costs a round trip and is kept once per peer and pause, so that envelopes with any keys in a
peer's name cause few looks. Without Redis it is lost: the next message brings it again.
"""

from contextlib import suppress

from replicator.errors import WorkUnavailable
from replicator.node.context import Node
from replicator.node.ports import Peer
from replicator.rules.trust import Oddity


def note_keys(node: Node, peer: Peer | None, why: Oddity | None) -> None:
    """Have the keys of a peer looked at, where it can be called and there is a reason."""
    if why is None or peer is None or peer.address is None or peer.paused:
        return
    with suppress(WorkUnavailable):
        node.work.note_look(peer.id, why, node.clock.now())
