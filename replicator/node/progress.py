"""How far the way through a peer's log has got: a note for people, and for repair, which waits.

The note is work state. Losing it costs a start of the count; where to go on says the cursor alone.
"""

from replicator.node.context import Node
from replicator.node.ports import Peer, Progress


def is_catching_up(node: Node, peer: Peer) -> bool:
    """Tell whether most of a peer's log is still to be pulled; an old note of it is no reason."""
    if peer.pulled is None:
        return True
    progress = node.work.progresses([peer.id]).get(peer.id)
    if progress is None or progress.remaining <= node.limits.items_max:
        return False
    return node.clock.now() - progress.at < node.limits.reconcile_seconds * 1000


class Way:
    """How far catching up with a peer's log has got, over all the slices that it takes."""

    def __init__(self, node: Node, peer: Peer) -> None:
        self._node = node
        self._peer = peer.id
        self._noted = node.work.progresses([peer.id]).get(peer.id)
        self._before = self._noted.posts if self._noted else 0
        self._began = self._noted.started_at if self._noted else node.clock.now()
        self._remaining = self._noted.remaining if self._noted else 0

    def goes_on(self, stored: int, remaining: int | None) -> None:
        """Note posts stored in this slice, where the way is a long one."""
        if remaining is not None:
            self._remaining = remaining
        if self._noted is not None or self._remaining > self._node.limits.items_max:
            self._note(stored)

    def ends(self, stored: int, *, more: bool) -> None:
        """Note the end of a slice: there is more, or the way is at its end."""
        if more:
            self._note(stored)
        elif self._noted is not None:
            self._node.work.note_progress(self._peer, None)

    def _note(self, stored: int) -> None:
        now = self._node.clock.now()
        self._noted = Progress(self._began, now, self._before + stored, self._remaining)
        self._node.work.note_progress(self._peer, self._noted)
