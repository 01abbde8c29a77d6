"""When a post is authentic and when a sender is who it says; pure, no I/O, no clock.

A post is authentic when
1. every signature listed with it verifies (checked before, in bulk; a failure is the deliverer's);
2. and, where a key is pinned for its origin, a current or retired one of those keys signed it;
3. or, where none is pinned, a pool key that this node holds signed it.
Otherwise its origin is unknown here, and nothing about it is believed.

A sender is admitted when
1. a key pinned as current for it signed the message in the node role; other keys: ``key-changed``;
2. or none is pinned and a pool key of ours co-signed, or the operator added that id;
3. or none is pinned and reading is open; then it may read, and nothing is saved about it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from replicator.errors import ErrorCode, Refusal
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.post import Post

KeyState = Literal["current", "retired", "revoked"]


@dataclass(frozen=True, slots=True)
class Admission:
    """How a sender was admitted.

    Args:
        source: ``pinned``, or what would pin it: ``pool``, ``operator``; ``open`` pins nothing.
        pools: pools of ours that co-signed the message.
    """

    source: Literal["pinned", "pool", "operator", "open"]
    pools: frozenset[KeyText]


def authentic(post: Post, origin_pins: Mapping[KeyText, KeyState], held: Collection[KeyText]) -> (
    str | None
):
    """Return why a post (whose signatures verify) is not authentic, or None where it is.

    Args:
        origin_pins: keys pinned for the post's origin, with their states; empty: none is.
        held: pools whose key this node holds.

    Returns:
        ``origin-key``: the origin is known and none of its keys signed. ``unknown-origin``: it is
        not known and no pool of ours signed.
    """
    if origin_pins:
        standing = {key for key, state in origin_pins.items() if state != "revoked"}
        return None if any(post.signed_by(key) for key in standing) else "origin-key"
    return None if pools_of(post, held) else "unknown-origin"


def pools_of(post: Post, held: Collection[KeyText]) -> frozenset[KeyText]:
    """Return the pools among ``held`` whose key signed the post."""
    return frozenset(signature.key for signature in post.signatures if signature.key in held)


def admit_sender(
    sender: NodeId,
    node_keys: Collection[KeyText],
    pool_keys: Collection[KeyText],
    *,
    pins: Mapping[KeyText, KeyState],
    held: frozenset[KeyText],
    added_by_operator: bool,
    reads_are_open: bool,
) -> Admission:
    """Decide about the sender of a message whose signatures all verified.

    Args:
        node_keys, pool_keys: keys that signed the message, by role.
        pins: keys pinned for the sender, with their states; empty: none is.
        held: pools whose key this node holds.

    Raises:
        Refusal: ``key-changed`` or ``unknown-sender``.
    """
    pools = held.intersection(pool_keys)
    if pins:
        if any(pins.get(key) == "current" for key in node_keys):
            return Admission("pinned", pools)
        raise Refusal(ErrorCode.KEY_CHANGED, f"{sender} is known here under another key")
    if pools:
        return Admission("pool", pools)
    if added_by_operator:
        return Admission("operator", pools)
    if reads_are_open:
        return Admission("open", pools)
    raise Refusal(ErrorCode.UNKNOWN_SENDER, f"{sender} is not known here")
