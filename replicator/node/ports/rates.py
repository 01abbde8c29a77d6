"""Rates and quotas: the part of the work state that counts what peers ask and bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from replicator.protocol.ids import NodeId
from replicator.rules.quotas import Load, Quotas


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a request given to `WorkState.admit`; true where it was stored.

    Args:
        replayed: another receipt used its nonce.
        wait_ms: its sender asks too often: for how long nothing more is taken; 0 else.
    """

    replayed: bool = False
    wait_ms: int = 0

    def __bool__(self) -> bool:
        """Tell whether the request was stored."""
        return not self.replayed and not self.wait_ms


class RateWork(Protocol):
    """Token buckets by node; each is full again by itself, and then takes no place."""

    def charge(
        self,
        peer: NodeId,
        loads: Sequence[Load],
        quotas: Quotas,
        now: int,
        *,
        only_ask: bool = False,
    ) -> list[int]:
        """Charge posts to their deliverer's and their origins' quotas, in their order.

        Returns per post 0 where it is within all quotas, and was charged; else for how many ms it
        has to wait: each post over quota stands in line behind those before it, for a day at most.
        With ``only_ask`` nothing is charged. At most ``quota_buckets_max`` nodes are remembered;
        of more, the ones whose buckets are full soonest are forgotten.
        """
