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
from replicator.node.repair import repair_soon
from replicator.protocol.messages import Filter

log = structlog.get_logger()


def judge_anew(node: Node) -> int:
    """Judge anew for at most a slice of time; return how many contents count as lost no more."""
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    count = 0
    while (step := node.store.reopen(node.clock.now())) is not None:
        count += len(step.digests)
        if step.ended:
            if step.found:
                log.info("posts.judged_anew", origin=step.origin)
                start(node, Filter(nodes=(step.origin,)), "judged anew")
                with suppress(WorkUnavailable):  # its turn comes as usual then
                    repair_soon(node)
            node.store.end_reopening(step)
        if node.clock.monotonic() >= deadline:
            break
    return count
