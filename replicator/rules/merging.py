"""How two copies of a post, or two posts under one id, become one: by content, never by order.

Pure. A store that applies these rules reaches the same state in whatever order posts arrive.
"""

from collections.abc import Collection, Sequence

from replicator.protocol.ids import Digest, KeyText
from replicator.protocol.post import PostSignature


def kept_digest(one: Digest, other: Digest) -> Digest:
    """Return which of two authentic contents under one id is kept: the smaller digest."""
    return min(one, other)


def merged_signatures(
    held: Sequence[PostSignature],
    further: Sequence[PostSignature],
    pools: Collection[KeyText],
    signatures_max: int,
) -> tuple[PostSignature, ...]:
    """Return the union of two lists of verified signatures, ordered by key.

    Args:
        held: what the store has; of a key that is in both lists this signature stays.
        further: what came with another copy of the same content.
        pools: keys of pools the post belongs to. Where there is not room for all signatures,
            theirs come first, so that junk cannot keep a post out of its pool.
        signatures_max: how many to keep; among equals those held before stay.
    """
    have = {signature.key for signature in held}
    union = [*held, *(signature for signature in further if signature.key not in have)]
    union.sort(key=lambda signature: signature.key not in pools)
    return tuple(sorted(union[:signatures_max], key=lambda signature: signature.key))
