"""Pacing: how often a node does its periodic work, so that many peers do not cost many calls.

A period is what a small pool gets. With more peers all periods are stretched by one factor, so that
pulls, repairs and questions for members stay within a number of calls per second on average.
"""

import math
import random
from typing import Final, Literal

from replicator.limits import Limits
from replicator.rules.backoff import jittered

Periodic = Literal["pull", "repair", "roster"]

_BURST: Final = 20
"""Rings of periodic work in one tick: what is due all at once is worked off in turns."""


def period_seconds(kind: Periodic, peers: int, limits: Limits) -> float:
    """Return how often one peer has its turn, on average, where ``peers`` share the node."""
    return _periods(limits)[kind] * _stretch(peers, limits)


def _periods(limits: Limits) -> dict[Periodic, float]:
    return {
        "pull": limits.pull_seconds,
        "repair": limits.reconcile_seconds,
        "roster": limits.roster_seconds,
    }


def _stretch(peers: int, limits: Limits) -> float:
    calls_per_second = peers * sum(1 / seconds for seconds in _periods(limits).values())
    return max(1.0, calls_per_second / limits.maintenance_calls_per_second)


def next_due(period: float, now: int, chance: random.Random) -> int:
    """Return when a peer's next turn is (ms), ``period`` seconds from now give or take a third."""
    return now + int(jittered(period, chance) * 1000)


def first_due(kind: Periodic, peers: int, now: int, limits: Limits, chance: random.Random) -> int:
    """Return the first turn of a peer whose time is unknown: a random one within the period.

    A pull is what a node lacks most after a restart: with few peers it does not wait for longer
    than restarted nodes take to wake.
    """
    spread = period_seconds(kind, peers, limits)
    if kind == "pull":
        spread = min(spread, limits.wake_seconds * _stretch(peers, limits))
    return now + max(1, int(spread * chance.random() * 1000))


def rung_max(limits: Limits) -> int:
    """Return for how many peers one tick rings periodic work at most."""
    return max(_BURST, math.ceil(limits.maintenance_calls_per_second * limits.tick_seconds))
