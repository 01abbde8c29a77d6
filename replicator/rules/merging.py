"""How two copies of a post, or two posts under one id, become one: by content, never by order.

Pure. A store that applies these rules reaches the same state in whatever order posts arrive.
"""

from collections.abc import Collection, Mapping, Sequence

from replicator.protocol.ids import Digest, KeyText
from replicator.protocol.post import PostSignature


def contenders(
    contents: Mapping[Digest, Collection[KeyText]], standing: Collection[KeyText]
) -> set[Digest]:
    """Return the contents seen under one id between which the digest decides.

    Where keys of the origin stand, those that one of them signed; else all. What pools alone vouch
    for never keeps out what the origin itself has signed: it was perhaps made by a member.

    Args:
        contents: the keys that signed each.
        standing: keys pinned for the origin and not revoked; empty: none is pinned.
    """
    return {
        digest
        for digest, signers in contents.items()
        if not standing or any(key in standing for key in signers)
    }


def merged_signatures(
    held: Sequence[PostSignature],
    further: Sequence[PostSignature],
    foremost: Collection[KeyText],
    signatures_max: int,
) -> tuple[PostSignature, ...]:
    """Return the union of two lists of verified signatures, ordered by key.

    Args:
        held: what the store has; of a key that is in both lists this signature stays.
        further: what came with another copy of the same content.
        foremost: keys of pools the post belongs to, and of its origin. Where there is not room for
            all signatures, theirs come first: junk keeps no post out of its pool, and unproved.
        signatures_max: how many to keep; among equals those held before stay.
    """
    have = {signature.key for signature in held}
    union = [*held, *(signature for signature in further if signature.key not in have)]
    union.sort(key=lambda signature: signature.key not in foremost)
    return tuple(sorted(union[:signatures_max], key=lambda signature: signature.key))
