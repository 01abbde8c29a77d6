"""Notes in Redis that a peer's keys should be looked at anew. Part of `RedisWorkState`."""

from collections.abc import Mapping

from replicator.adapters.redis.keys import WEEK_MS, Keys
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.rules.trust import Oddity


class KeyLookWork:
    """The methods of `WorkState` for looks; see there."""

    _server: Server
    _keys: Keys
    _limits: Limits

    def note_look(self, peer: NodeId, why: Oddity, now: int) -> bool:
        """Note that a peer's keys should be looked at, once its pause for ``why`` is over."""
        limits = self._limits
        longest = 2000 * max(limits.key_look_seconds, limits.key_lacking_seconds)
        args: list[Argument] = [peer, now, int(longest), limits.peers_max, WEEK_MS]
        keys = [self._keys.looks("due"), self._keys.looks(why)]
        return bool(self._server.run("note_look", keys, args))

    def take_looks(self, limit: int, now: int, until: Mapping[Oddity, int]) -> list[NodeId]:
        """Return peers to look at now, the longest due first; they are noted no more."""
        args: list[Argument] = [now, limit, WEEK_MS, until["strange"], until["lacking"]]
        taken = self._server.run("take_looks", self._keys.all_looks, args)
        return [NodeId(peer.decode()) for peer in taken]

    def pause_looks(self, peer: NodeId, until: int) -> None:
        """Have a look at a peer because a key is lacking be due from ``until`` on."""
        self._server.command("ZADD", self._keys.looks("lacking"), until, peer)
