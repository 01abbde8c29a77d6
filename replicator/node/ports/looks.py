"""Notes that the keys of a peer should be looked at anew: a part of the work state."""

from collections.abc import Mapping
from typing import Protocol

from replicator.protocol.ids import NodeId
from replicator.rules.trust import Oddity


class LookWork(Protocol):
    """Peers whose node documents are to be read again, each at most once per pause."""

    def note_look(self, peer: NodeId, why: Oddity, now: int) -> bool:
        """Note that a peer's keys should be looked at, once its pause for ``why`` is over.

        False where that is noted already, for no later time, or where ``peers_max`` are noted.
        """

    def take_looks(self, limit: int, now: int, until: Mapping[Oddity, int]) -> list[NodeId]:
        """Return peers to look at now, the longest due first; they are noted no more.

        No other look at them is due before ``until`` (ms, per reason), whatever is noted meanwhile.
        """

    def pause_looks(self, peer: NodeId, until: int) -> None:
        """Have a look at a peer because a key is lacking be due from ``until`` (ms) on."""
