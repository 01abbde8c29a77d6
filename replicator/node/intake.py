"""What every post goes through on its way in, whoever delivered it: a put, a get or a pull.

`judge` reads trees into posts, verifies all signatures in bulk, and applies trust and policy; it
writes nothing. The caller stores what it gives. A digest that is known already is not verified
again, unless it may bring a signature that the held post lacks and has room for: a copy that came
first without its origin's signature could not be passed on to who has pinned the origin.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from replicator.errors import Malformed
from replicator.node.context import Node
from replicator.node.objections import objections
from replicator.node.ports import Incoming, Waiting
from replicator.protocol import codec
from replicator.protocol.ids import Digest, GlobalId, KeyText, NodeId, origin_of
from replicator.protocol.post import Post, SignedContent, post_of
from replicator.protocol.signing import verify_posts
from replicator.rules import policy, taking, trust

EQUIVOCATION: Final = "equivocation"
"""The objection to a content that others of its id, in the same delivery, leave no chance."""
UNKNOWN_ORIGIN: Final = "unknown-origin"
"""The objection to a post whose origin is not pinned here, and that no pool of ours signed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One delivered item.

    Args:
        post: what it holds, or None where it is malformed.
        incoming: what to store, or None where it is not to be stored.
        known: decided here before, with nothing new in it.
        objection: why it is not taken, or None.
        wait_ms: for how long, where it is over quota.
        waiting: what to keep in quarantine: nothing but its origin is unknown here.
    """

    post: Post | None
    incoming: Incoming | None = None
    known: bool = False
    objection: str | None = None
    waiting: Waiting | None = None
    wait_ms: int = 0

    @property
    def digest(self) -> Digest | None:
        """The post's digest, where it could be read."""
        return self.post.digest if self.post else None


def judge(
    node: Node, items: Sequence[Any], deliverer: NodeId, sender: policy.Sender
) -> list[Judged]:
    """Judge delivered item trees, one result per item, in order.

    Args:
        items: trees of `SignedContent`.
        deliverer: the node that delivers them (not their origin).
        sender: what was proved about it.
    """
    posts = [read_post(node, item) for item in items]
    readable = [post for post in posts if isinstance(post, Post)]
    stale = _nothing_new(node, readable)
    fresh = [post for post in readable if post.digest not in stale]
    verified = dict(zip((id(post) for post in fresh), verify_posts(fresh), strict=True))
    pins = _origin_pins(node, fresh)
    against = objections(node, [post.ref for post in fresh])
    results = []
    for post in posts:
        if isinstance(post, str):
            results.append(Judged(None, objection=post))
        elif post.digest in stale:
            results.append(Judged(post, known=True))
        elif not verified[id(post)]:
            results.append(Judged(post, objection="bad-signature"))
        else:
            objection = against.get(post.digest)
            results.append(_judge_verified(node, post, deliverer, sender, pins, objection))
    return _without_crowds(results, node.limits.contents_per_id_max + 1)


def judge_again(
    node: Node, posts: Sequence[Post], deliverer: NodeId, sender: policy.Sender
) -> list[Judged]:
    """Judge posts whose signatures were verified before; otherwise as `judge`."""
    stale = _nothing_new(node, posts)
    pins = _origin_pins(node, posts)
    against = objections(node, [post.ref for post in posts])
    results = [
        Judged(post, known=True)
        if post.digest in stale
        else _judge_verified(node, post, deliverer, sender, pins, against.get(post.digest))
        for post in posts
    ]
    return _without_crowds(results, node.limits.contents_per_id_max + 1)


def _without_crowds(results: list[Judged], most: int) -> list[Judged]:
    """Let of many contents of one id only those with the smallest digests pass.

    The store would remember no other, and each costs it a look at all that it has of the id.
    """
    of_ids: defaultdict[GlobalId, set[Digest]] = defaultdict(set)
    for item in results:
        if item.incoming is not None:
            of_ids[item.incoming.post.id].add(item.incoming.post.digest)
    crowded = {name for names in of_ids.values() for name in sorted(names)[most:]}
    return [
        Judged(item.post, objection=EQUIVOCATION)
        if item.incoming and item.digest in crowded
        else item
        for item in results
    ]


def read_post(node: Node, item: Any) -> Post | str:
    """Return the post that an item tree holds, unverified, or why it holds none."""
    try:
        signed = codec.read(item, SignedContent)
        return post_of(signed.content, signed.signatures, node.limits)
    except Malformed as error:
        return f"malformed: {error}"[:200]


def _nothing_new(node: Node, posts: Sequence[Post]) -> set[Digest]:
    """Return digests that are decided and bring no signature that the held post would keep."""
    known = node.store.known({post.digest for post in posts})
    if not known:
        return known
    held = {post.digest: post for post in node.store.get(digests=known)}
    most = node.limits.post_signatures_max
    full = {digest: post for digest, post in held.items() if len(post.signatures) >= most}
    pins = _origin_pins(node, [*full.values()]) if full else {}
    for post in posts:
        mine = held.get(post.digest)
        if mine is None:
            continue
        lacking = post.signers - mine.signers
        if post.digest in full:
            # junk must not keep out what proves it to be its origin's, or a pool's
            lacking &= node.identity.pools | trust.standing_among(pins.get(origin_of(post.id), {}))
        if lacking:
            known.discard(post.digest)
    return known


def _origin_pins(node: Node, posts: Sequence[Post]) -> dict[NodeId, dict[KeyText, trust.KeyState]]:
    origins = {origin_of(post.id) for post in posts}
    now = node.clock.now()
    pins: dict[NodeId, dict[KeyText, trust.KeyState]] = {
        origin: trust.states_at(its_pins, now)
        for origin, its_pins in node.store.all_pins(origins).items()
    }
    pins[node.identity.node_id] = dict(node.identity.key_states(now))
    return pins


def _judge_verified(
    node: Node,
    post: Post,
    deliverer: NodeId,
    sender: policy.Sender,
    pins: dict[NodeId, dict[KeyText, trust.KeyState]],
    objection: str | None,
) -> Judged:
    held = trust.pools_that_count(node.identity.pools, node.identity.heirs, sender.pools)
    pools = trust.pools_of(post, held)
    forged = trust.authentic(post, pins.get(origin_of(post.id), {}), held)
    objection = taking.scope_objection(pools, sender, node.policy) or objection
    if forged == UNKNOWN_ORIGIN and objection is None:
        waiting = Waiting(post, deliverer, sender.pools)
        return Judged(post, objection=UNKNOWN_ORIGIN, waiting=waiting)
    objection = forged or objection
    if objection is not None:
        return Judged(post, objection=objection)
    return Judged(post, Incoming(post, deliverer, pools, entry_pools=pools - sender.pools))
