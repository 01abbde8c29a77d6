"""Notes in memory that a peer's keys should be looked at anew: the twin of ``note_look``."""

from collections.abc import Mapping

from replicator.adapters.memory.exclusive import Exclusive, exclusive
from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.rules.trust import Oddity


class MemoryLooks(Exclusive):
    """Peers whose documents are to be read again. Part of `MemoryWorkState`."""

    _limits: Limits

    def _forget_looks(self) -> None:
        self._looks_due: dict[NodeId, int] = {}
        self._looks_paused: dict[Oddity, dict[NodeId, int]] = {"strange": {}, "lacking": {}}

    def _forget_looks_at(self, peer: NodeId) -> None:
        for notes in (self._looks_due, *self._looks_paused.values()):
            notes.pop(peer, None)

    @exclusive
    def note_look(self, peer: NodeId, why: Oddity, now: int) -> bool:
        """Note that a peer's keys should be looked at, once its pause for ``why`` is over."""
        limits = self._limits
        longest = int(2000 * max(limits.key_look_seconds, limits.key_lacking_seconds))
        paused = self._looks_paused[why].get(peer, 0)
        at = paused if now <= paused <= now + longest else now
        noted = self._looks_due.get(peer)
        if noted is None and len(self._looks_due) >= limits.peers_max:
            return False
        if noted is not None and noted <= at:
            return False
        self._looks_due[peer] = at
        return True

    @exclusive
    def take_looks(self, limit: int, now: int, until: Mapping[Oddity, int]) -> list[NodeId]:
        """Return peers to look at now, the longest due first; they are noted no more."""
        due = sorted((at, peer) for peer, at in self._looks_due.items() if at <= now)
        taken = [peer for _, peer in due[:limit]]
        for peer in taken:
            del self._looks_due[peer]
        for why, paused in self._looks_paused.items():
            kept = {peer: at for peer, at in paused.items() if at > now}
            self._looks_paused[why] = kept | dict.fromkeys(taken, until[why])
        return taken

    @exclusive
    def pause_looks(self, peer: NodeId, until: int) -> None:
        """Have a look at a peer because a key is lacking be due from ``until`` on."""
        self._looks_paused["lacking"][peer] = until
