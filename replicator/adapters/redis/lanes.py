"""Per peer and kind of work: doorbell flags, leases, health, the time of the next periodic work.

Part of `RedisWorkState`.
"""

import msgspec

from replicator.adapters.redis.keys import DAY_MS, WEEK_MS, Keys
from replicator.adapters.redis.requests import unpack
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.node.ports import DoorbellKind, Health
from replicator.protocol.ids import NodeId


class LaneWork:
    """The doorbell, lease and health methods of `WorkState`; see there."""

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

    def hold(self, kind: DoorbellKind, peer: NodeId, token: str, now: int) -> bool:
        """Take the lease of one kind of work for one peer; False where another token has it."""
        lives_ms = self._limits.lease_seconds * 1000
        args: list[Argument] = [token, now, str(now + lives_ms), lives_ms]
        return bool(self._server.run("hold", [self._keys.hold(kind, peer)], args))

    def release(self, kind: DoorbellKind, peer: NodeId, token: str) -> None:
        """Give a lease back if ``token`` still has it."""
        self._server.run("release", [self._keys.hold(kind, peer)], [token])

    def health(self, peer: NodeId) -> Health:
        """Return how calls to a peer have gone."""
        packed = self._server.command("GET", self._keys.health(peer))
        known = None if packed is None else unpack(packed, Health)
        return Health() if known is None else known

    def set_health(self, peer: NodeId, health: Health) -> None:
        """Store a peer's health; a default `Health` clears it."""
        key = self._keys.health(peer)
        reason = health.reason[: self._limits.record_chars_max]
        cut = Health(health.failures, health.next_at, reason, health.slow)
        if cut == Health():
            self._server.command("DEL", key)
        else:
            self._server.command("SET", key, msgspec.msgpack.encode(cut), "PX", DAY_MS)

    def set_due(self, kind: DoorbellKind, peer: NodeId, at: int) -> None:
        """Store when the next periodic work of a kind is due."""
        self._server.command("SET", self._keys.due(kind, peer), at, "PX", WEEK_MS)

    def due(self, kind: DoorbellKind, peer: NodeId) -> int:
        """Return that time, or 0 where none is stored (due at once)."""
        at = self._server.command("GET", self._keys.due(kind, peer))
        return 0 if at is None else int(at)
