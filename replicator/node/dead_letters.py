"""Dead letters that still matter: posts that no holder gave and that this node lacks to this day.

A post may be given up towards one holder and come from another. Its letter stays in Redis until it
is dropped or pushed out, and says nothing any more.
"""

from replicator.node.context import Node
from replicator.node.ports import DeadLetter


def dead_letters(node: Node) -> list[DeadLetter]:
    """Return the letters whose posts are neither held nor decided against, newest first.

    Raises:
        WorkUnavailable, StoreUnavailable: Redis or the database does not answer.
    """
    letters = node.work.dead(node.limits.dead_letters_max)
    known = node.store.known({letter.ref.digest for letter in letters})
    return [letter for letter in letters if letter.ref.digest not in known]
