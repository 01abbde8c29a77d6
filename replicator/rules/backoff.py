"""How long to wait before the next try; the decision is a value, the caller stores it."""

import random


def delay_seconds(failures: int, base: float, cap: float, chance: random.Random) -> float:
    """Return seconds to wait after ``failures`` failures in a row (1 or more).

    Exponential with full jitter: uniform over (0, min(cap, base · 2^(failures−1))], but never
    below a tenth of that bound, so that no try follows at once. See "Exponential Backoff And
    Jitter" (AWS Architecture Blog, 2015) for why jitter is full.
    """
    bound = min(cap, base * 2.0 ** min(failures - 1, 63))
    return max(bound / 10, bound * chance.random())


def jittered(seconds: float, chance: random.Random) -> float:
    """Return ``seconds`` give or take a third, so that many nodes do not act in step."""
    return seconds * (2 / 3 + chance.random() * 2 / 3)
