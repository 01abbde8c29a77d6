"""Judging anew what lost to another content of its id, when other keys of its origin stand.

Until a key of an origin is pinned here a pool's signature vouches for its posts, and the smallest
content of an id is held. Once it is pinned only what it signed counts: what was made in its name
by a member of the pool gives way, whatever its digest (`rules.merging.contenders`). The store
notes every change of pins together with it; this goes on with what is noted, wherever a kill
stopped it. What had wrongly lost, and is not among the proofs, is looked for at peers.
"""

from contextlib import suppress

import structlog

from replicator.errors import WorkUnavailable
from replicator.node.backfill import start
from replicator.node.context import Node
from replicator.node.rekeying import SOURCE as ANNOUNCED
from replicator.node.repair import repair_soon
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Filter

log = structlog.get_logger()


def judge_anew(node: Node) -> int:
    """Judge anew for at most a slice of time; return how many contents count as lost no more."""
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    count = 0
    while (step := node.store.reopen(node.clock.now())) is not None:
        count += len(step.digests)
        if step.ended:
            if step.found and not _is_restless(node, step.origin):
                log.info("posts.judged_anew", origin=step.origin)
                start(node, Filter(nodes=(step.origin,)), "judged anew")
                with suppress(WorkUnavailable):  # its turn comes as usual then
                    repair_soon(node)
            node.store.end_reopening(step)
        if node.clock.monotonic() >= deadline:
            break
    return count


def _is_restless(node: Node, origin: NodeId) -> bool:
    """Tell whether a node has announced several keys lately: it has not all peers asked each time.

    What it lost by that comes with the sets' comparison.
    """
    lately = node.clock.now() - int(node.limits.key_lacking_seconds * 1000)
    pins = node.store.pins(origin)
    return sum(pin.source == ANNOUNCED and pin.pinned_at > lately for pin in pins) > 1
