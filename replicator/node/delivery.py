"""Delivery: one signed put for the first of some refs, in a batch that their peer takes.

What a peer takes is learned as a run goes on: a batch that it finds malformed or too large is
halved, and grows again with what it takes; a peer that cannot fetch gets the posts themselves; one
that has just recovered gets few at first. Nothing here moves a cursor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from replicator.errors import ErrorCode, PeerRefused
from replicator.limits import PROTOCOL_FLOOR
from replicator.node.context import Node
from replicator.node.health import ask, items_max
from replicator.node.ports import Peer
from replicator.protocol import codec
from replicator.protocol.messages import NO_ADDRESS, Answer, Put, PutAnswer
from replicator.protocol.post import Ref
from replicator.rules.batching import plan_put

log = structlog.get_logger()

_HALVE_ON = frozenset({ErrorCode.MALFORMED, ErrorCode.TOO_LARGE})


@dataclass(slots=True)
class Pace:
    """What a run has learned of what its peer takes.

    Args:
        items_max: items of the next put at most.
        models_only: it has no address of this node to fetch from.
    """

    items_max: int
    models_only: bool = False


def deliver(node: Node, peer: Peer, refs: Sequence[Ref], pace: Pace) -> int:
    """Send one put for the first of ``refs`` (at least one); return how many were dealt with.

    Dealt with are refs that the peer answered for, whatever it said of each, a single post that it
    does not take even alone, and posts that are not held any more. 0: what was learned is in
    ``pace``, and another try is needed. Halving ends, so tries do.

    Raises:
        PeerUnavailable, PeerRefused, BadAnswer, KeyChanged: as `health.ask`.
    """
    plan = plan_put(refs, node.limits, min(pace.items_max, items_max(node, peer.id)))
    inline = plan.inline or pace.models_only
    chosen = refs[: plan.count]
    put = _put(node, chosen, inline=inline)
    if put.models == ():
        return plan.count
    if plan.count > 1 and not _fits(put):
        return _halve(pace, plan.count)
    try:
        answer = ask(node, peer, put, expected=_HALVE_ON).answer
    except PeerRefused as refusal:
        if refusal.code not in _HALVE_ON:
            raise
        if plan.count > 1:
            return _halve(pace, plan.count)
        log.warning("lane.undeliverable", peer=peer.id, post=chosen[0].id, code=refusal.code)
        return plan.count
    if not inline and _cannot_fetch(answer):
        pace.models_only = True
        return 0
    pace.items_max = min(node.limits.items_max, 2 * pace.items_max)
    return plan.count


def _halve(pace: Pace, count: int) -> int:
    pace.items_max = max(1, count // 2)
    return 0


def _cannot_fetch(answer: Answer) -> bool:
    """Tell whether the peer wants posts, not refs, because it has no address of this node."""
    items = answer.items if isinstance(answer, PutAnswer) else ()
    return any(item.reason == NO_ADDRESS for item in items)


def _put(node: Node, refs: Sequence[Ref], *, inline: bool) -> Put:
    if not inline:
        return Put(refs=tuple(refs))
    order = {ref.digest: place for place, ref in enumerate(refs)}
    posts = sorted(node.store.get(digests=order), key=lambda post: order[post.digest])
    return Put(models=tuple(codec.model_tree(post) for post in posts))


def _fits(put: Put) -> bool:
    """Tell whether every node takes a message of this size.

    A larger one may be refused by a gateway that has not verified it: that would be an unsigned
    answer, from which nothing can be learned.
    """
    encoded = codec.encode(codec.JSON, codec.request_tree(put))
    return len(encoded) <= PROTOCOL_FLOOR["message_bytes_max"]
