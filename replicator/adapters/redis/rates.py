"""Quotas of deliverers and origins in Redis: one script per batch. Part of `RedisWorkState`."""

from collections.abc import Sequence

from replicator.adapters.redis.keys import Keys
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.rules.quotas import DAY_MS, Load, Quotas


class QuotaWork:
    """The quota method of `WorkState`; see there."""

    _server: Server
    _keys: Keys
    _limits: Limits

    def charge(
        self,
        peer: NodeId,
        loads: Sequence[Load],
        quotas: Quotas,
        now: int,
        *,
        only_ask: bool = False,
    ) -> list[int]:
        """Charge posts to their deliverer's and their origins' quotas, in their order."""
        if not loads or not quotas:
            return [0] * len(loads)
        keys = [self._keys.quota_levels, self._keys.quota_full]
        args: list[Argument] = [peer, now, 0 if only_ask else 1, DAY_MS]
        args += (self._limits.quota_buckets_max, 2 * DAY_MS)
        args += [measure or 0 for measure in (*quotas.of_peer, *quotas.of_origin)]
        for load in loads:
            args += (load.origin, load.size)
        return [int(wait) for wait in self._server.run("charge", keys, args)]
