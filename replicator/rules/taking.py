"""Which posts are taken, as one list of pure rules with a reason for each objection.

Pure. `REFS` decides by what a ref says, before anything is fetched; `POSTS` by who delivers an
authentic post. The rules that need the store or Redis besides (blocks, quotas) stand in the
rulebook at their places. Reasons are the words of a put item; those in `policy.LASTING` are decided
for good, the others are tried again.
"""

from dataclasses import dataclass
from typing import Final

from replicator.limits import Limits
from replicator.protocol.ids import KeyText
from replicator.protocol.post import Ref
from replicator.rules.policy import Policy, Sender
from replicator.rules.rule import Rule, first_refusing


@dataclass(frozen=True, slots=True)
class Offer:
    """A ref as the rules see it.

    Args:
        ref: what is offered.
        now: ms since the epoch.
        limits: the node's bounds.
        floor: posts of its origin published before are not kept here (ms).
    """

    ref: Ref
    now: int
    limits: Limits
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """An authentic post as the rules see it.

    Args:
        pools: pools of ours whose key signed it.
        sender: what was proved of who delivers it.
        policy: the operator's audiences.
    """

    pools: frozenset[KeyText]
    sender: Sender
    policy: Policy


REFS: Final[tuple[Rule[Offer], ...]] = (
    Rule(
        "size",
        "too-large",
        "A post has at most so many canonical bytes.",
        ("limits.post_bytes_max",),
        lambda offer: offer.ref.size > offer.limits.post_bytes_max,
    ),
    Rule(
        "floor",
        "expired",
        "Posts published before this node's floor, or beyond what it keeps of their origin, are "
        "not taken.",
        ("keep_days", "keep_posts_per_origin", "keep_bytes_per_origin"),
        lambda offer: offer.ref.published < offer.floor,
    ),
    Rule(
        "future",
        "future",
        "A post dated further ahead is not taken yet.",
        ("limits.future_seconds_max",),
        lambda offer: offer.ref.published > offer.now + offer.limits.future_seconds_max * 1000,
    ),
)
"""What a ref alone is refused for; first match decides."""

POSTS: Final[tuple[Rule[Delivery], ...]] = (
    Rule(
        "scope",
        "not-in-pool",
        "A post is taken from who shares one of its pools, and from whom put names besides.",
        ("put",),
        lambda delivery: (
            not delivery.pools & delivery.sender.pools
            and not (delivery.policy.put == "peers" and delivery.sender.pinned)
        ),
    ),
)
"""What an authentic post is refused for because of who delivers it."""


def ref_objection(ref: Ref, now: int, limits: Limits, floor: int = 0) -> str | None:
    """Return why a post of this ref would not be taken, or None; a reason for a put item."""
    rule = first_refusing(REFS, Offer(ref, now, limits, floor))
    return None if rule is None else rule.reason


def scope_objection(pools: frozenset[KeyText], sender: Sender, policy: Policy) -> str | None:
    """Return why an authentic post signed by ``pools`` is not taken from this sender, or None."""
    rule = first_refusing(POSTS, Delivery(pools, sender, policy))
    return None if rule is None else rule.reason
