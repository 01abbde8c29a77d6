"""Per peer and kind of work: doorbell flags and leases.

Part of `RedisWorkState`.
"""

from replicator.adapters.redis.keys import Keys
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.node.ports import DoorbellKind, HoldKind
from replicator.protocol.ids import NodeId


class LaneWork:
    """The doorbell and lease methods of `WorkState`; see there."""

    _server: Server
    _keys: Keys
    _limits: Limits

    def ring(self, kind: DoorbellKind, peer: NodeId, now: int) -> bool:
        """Set the doorbell flag; True where it was not set, so that a message must be sent."""
        lives_ms = self._limits.doorbell_seconds * 1000
        args: list[Argument] = [now, str(now + lives_ms), lives_ms]
        return bool(self._server.run("ring", [self._keys.doorbell(kind, peer)], args))

    def hear(self, kind: DoorbellKind, peer: NodeId) -> None:
        """Clear the flag, before the work starts: a ring during the work is a new ring."""
        self._server.command("DEL", self._keys.doorbell(kind, peer))

    def hold(self, kind: HoldKind, peer: NodeId, token: str, now: int) -> bool:
        """Take the lease of one kind of work for one peer; False where another token has it."""
        lives_ms = self._limits.lease_seconds * 1000
        args: list[Argument] = [token, now, str(now + lives_ms), lives_ms]
        return bool(self._server.run("hold", [self._keys.hold(kind, peer)], args))

    def release(self, kind: HoldKind, peer: NodeId, token: str) -> None:
        """Give a lease back if ``token`` still has it."""
        self._server.run("release", [self._keys.hold(kind, peer)], [token])
