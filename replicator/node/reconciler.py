"""The reconciler's tick: look for due work and ring for it. The system's safety net.

Every doorbell may be lost; the tick finds what is due from stored state (lanes behind their log,
fetch items whose time has come, pulls and sweeps that are due) and rings again. It calls no peer
and does no work itself. A lane that has only skipped entries before it is moved on here, without a
message.
"""

from dataclasses import dataclass

from replicator.errors import CursorConflict
from replicator.node.announce import next_page
from replicator.node.context import Node
from replicator.node.doorbells import ring
from replicator.node.health import reachable
from replicator.node.ports import Peer
from replicator.node.sweep import sweep_is_due
from replicator.rules.backoff import jittered

_HOLDERS_MAX = 1_000
"""Due holders looked at in one tick."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Messages that one tick sent."""

    announce: int = 0
    fetch: int = 0
    pull: int = 0
    repair: int = 0


def tick(node: Node) -> Ticked:
    """Ring for everything that is due now."""
    now = node.clock.now()
    peers = {peer.id: peer for peer in node.store.peers() if reachable(node, peer)}
    last = node.store.last_change()
    lanes = [peer.id for peer in peers.values() if peer.pushed < last and _behind(node, peer)]
    holders = [holder for holder in node.work.due_holders(now, _HOLDERS_MAX) if holder in peers]
    pulls = [peer.id for peer in peers.values() if _pull_is_due(node, peer, now)]
    sweeps = [peer for peer in peers if sweep_is_due(node, peer, now)]
    return Ticked(
        announce=ring(node, "announce", lanes, "tick"),
        fetch=ring(node, "fetch", holders, "tick"),
        pull=ring(node, "pull", pulls, "tick"),
        repair=ring(node, "repair", sweeps, "tick"),
    )


def _behind(node: Node, peer: Peer) -> bool:
    try:
        return bool(next_page(node, peer).refs)
    except CursorConflict:
        return False


def _pull_is_due(node: Node, peer: Peer, now: int) -> bool:
    """Tell whether a peer's log is to be looked at again; the first look also proves its pools."""
    if node.work.due("pull", peer.id) > now:
        return False
    wait = jittered(node.limits.pull_seconds, node.random)
    node.work.set_due("pull", peer.id, now + int(wait * 1000))
    return True
