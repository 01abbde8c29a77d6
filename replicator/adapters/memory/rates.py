"""Rates and quotas in memory: the twin of the scripts ``admit`` and ``charge``."""

import math
from collections.abc import Sequence

from replicator.adapters.memory.exclusive import Exclusive, exclusive
from replicator.limits import Limits
from replicator.protocol.ids import NodeId
from replicator.rules import quotas as rules
from replicator.rules.buckets import Bucket, take
from replicator.rules.quotas import Account, Levels, Load, Quotas


class MemoryRates(Exclusive):
    """Token buckets by node. Part of `MemoryWorkState`."""

    _limits: Limits

    def _forget_rates(self) -> None:
        self._rates: dict[NodeId, float] = {}
        self._levels: dict[tuple[str, NodeId], Levels] = {}

    def _take_request_token(self, sender: NodeId, now: int) -> int:
        """Take one token of a sender's bucket, or return for how many ms it is empty."""
        limits = self._limits
        bucket = Bucket.of_rate(limits.peer_requests_per_second, limits.peer_burst_requests_max)
        full_at, wait = take(self._rates.get(sender, 0.0), 1, now, bucket)
        if wait:
            return math.ceil(wait)
        self._rates = {name: at for name, at in self._rates.items() if at > now}
        self._rates[sender] = full_at
        return 0

    @exclusive
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
        deliverer = self._account("peer", peer, quotas.of_peer, now)
        origins = {
            origin: self._account("origin", origin, quotas.of_origin, now)
            for origin in {load.origin for load in loads}
        }
        waits = rules.charge(loads, deliverer, origins, now)
        if not only_ask:
            self._levels["peer", peer] = deliverer.levels
            self._levels |= {("origin", name): one.levels for name, one in origins.items()}
            self._forget_full(now)
        return waits

    def _account(
        self, kind: str, name: NodeId, measures: tuple[int | None, int | None], now: int
    ) -> Account:
        return Account.opened(measures, self._levels.get((kind, name), (0.0, 0.0)), now)

    def _forget_full(self, now: int) -> None:
        self._levels = {name: at for name, at in self._levels.items() if max(at) > now}
        surplus = len(self._levels) - self._limits.quota_buckets_max
        for name in sorted(self._levels, key=lambda name: max(self._levels[name]))[
            : max(0, surplus)
        ]:
            del self._levels[name]
