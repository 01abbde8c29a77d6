"""How a lane's next refs become one put: the posts themselves, or advice to fetch them."""

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.limits import PROTOCOL_FLOOR, Limits
from replicator.protocol.post import Ref


@dataclass(frozen=True, slots=True)
class PutPlan:
    """The first ``count`` refs go into one put, as models or as refs."""

    inline: bool
    count: int


def plan_put(refs: Sequence[Ref], limits: Limits, items_max: int) -> PutPlan:
    """Decide about the next put for refs in change-log order (at least one).

    A run of small posts goes inline, within a batch's bytes: the peer most likely lacks them, and
    one round trip is half of two. A run of large posts goes as refs, since the peer may have them;
    so does any post that a peer need not accept.
    """
    inline_max = min(limits.inline_post_bytes_max, PROTOCOL_FLOOR["post_bytes_max"])
    inline = refs[0].size <= inline_max
    count = used = 0
    for ref in refs[:items_max]:
        if (ref.size <= inline_max) != inline:
            break
        used += ref.size
        if inline and count and used > limits.batch_bytes_max:
            break
        count += 1
    return PutPlan(inline, count)
