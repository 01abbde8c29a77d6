"""Quotas per day of deliverers and origins, at the places where posts come in.

Only what is about to be stored is charged, once per post, so that nobody spends an origin's quota
by repeating its posts: one that brings a held post further signatures costs nothing. What is over
quota is neither refused nor decided: it stays with its holder, and is fetched when its turn has
come. What waited for its origin is charged when it comes out. This node's own posts are not
counted.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from replicator.node.context import Node
from replicator.node.intake import Judged
from replicator.protocol.ids import Digest, NodeId, origin_of
from replicator.protocol.post import Ref
from replicator.rules.quotas import OVER, Load


def within_quotas(node: Node, judged: Sequence[Judged], deliverer: NodeId) -> list[Judged]:
    """Charge what would be stored; what is over quota is objected to for now (``quota``)."""
    if not node.quotas:
        return list(judged)
    refs = {item.post.ref.digest: item.post.ref for item in judged if item.post and item.incoming}
    known = node.store.known(refs)
    new = [ref for digest, ref in refs.items() if digest not in known]
    waits = _charge(node, new, deliverer, only_ask=False)
    return [
        replace(item, incoming=None, objection=OVER, wait_ms=waits[item.post.digest])
        if item.incoming is not None and item.post is not None and item.post.digest in waits
        else item
        for item in judged
    ]


def waits_of(node: Node, refs: Collection[Ref], deliverer: NodeId) -> dict[Digest, int]:
    """Return for how many ms each ref that is over quota has to wait; nothing is charged."""
    return _charge(node, list(refs), deliverer, only_ask=True)


def _charge(
    node: Node, refs: Sequence[Ref], deliverer: NodeId, *, only_ask: bool
) -> dict[Digest, int]:
    if not node.quotas or not refs:
        return {}
    counted = [ref for ref in refs if origin_of(ref.id) != node.identity.node_id]
    loads = [Load(origin_of(ref.id), ref.size) for ref in counted]
    now = node.clock.now()
    waits = node.work.charge(deliverer, loads, node.quotas, now, only_ask=only_ask)
    return {ref.digest: wait for ref, wait in zip(counted, waits, strict=True) if wait}
