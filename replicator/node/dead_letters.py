"""Dead letters that still matter: posts that no holder gave and that this node lacks to this day.

A post may be given up towards one holder and come from another. Its letter stays in Redis until it
is dropped or pushed out, and says nothing any more.
"""

from collections.abc import Collection

from replicator.node.context import Node
from replicator.node.ports import DeadLetter
from replicator.protocol.ids import NodeId


def dead_letters(node: Node) -> list[DeadLetter]:
    """Return the letters whose posts are neither held nor decided against, newest first.

    Raises:
        WorkUnavailable, StoreUnavailable: Redis or the database does not answer.
    """
    letters = node.work.dead(node.limits.dead_letters_max)
    known = node.store.known({letter.ref.digest for letter in letters})
    return [letter for letter in letters if letter.ref.digest not in known]


def drop_known(node: Node) -> int:
    """Remove the letters that say nothing any more; return how many."""
    letters = node.work.dead(node.limits.dead_letters_max)
    known = node.store.known({letter.ref.digest for letter in letters})
    return node.work.drop(known) if known else 0


def requeue_letters(node: Node, holders: Collection[NodeId], *, before: int) -> int:
    """Queue again what was given up towards ``holders`` at ``before`` (ms) or earlier."""
    letters = {
        letter.ref.digest
        for letter in dead_letters(node)
        if letter.holder in holders and letter.at <= before
    }
    return node.work.requeue(letters, node.clock.now()) if letters else 0
