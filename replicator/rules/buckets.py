"""Token buckets as one number each: the time at which a bucket will be full again.

Pure. A full bucket's time lies in the past; each token taken moves it ahead by the token's time,
and a bucket is empty when it lies a whole span ahead (ITU-T I.371, generic cell rate algorithm).
So a bucket needs no upkeep, and a full one takes no place. Times are ms since the epoch. One that
lies further ahead is of a clock that was put back, and counts as full: nobody is shut out by it.
The scripts of Redis do the same sums.
"""

from dataclasses import dataclass
from typing import Final

TOLERANCE_MS: Final = 1.0
"""A shorter wait is none: it would be a rounding error of many small tokens."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The measures of a bucket.

    Args:
        size: tokens in a full one.
        span_ms: how long an empty one takes to fill.
    """

    size: float
    span_ms: float

    @classmethod
    def of_rate(cls, per_second: float, size: float) -> "Bucket":
        """Return the bucket that gains so many tokens per second."""
        return cls(size, size / per_second * 1000)

    @property
    def token_ms(self) -> float:
        """The time in which one token comes back."""
        return self.span_ms / self.size


def standing(full_at: float, now: float, span_ms: float) -> float:
    """Return when a bucket is full again, from now on at the earliest."""
    return now if full_at > now + span_ms + TOLERANCE_MS else max(full_at, now)


def take(full_at: float, cost: float, now: float, bucket: Bucket) -> tuple[float, float]:
    """Take ``cost`` tokens at once or none; more than the whole bucket cost the whole bucket.

    Args:
        full_at: when the bucket is full again, 0 for one never used.

    Returns:
        When it is full again now, and 0; or where too few are left, the time as it was and for
        how many ms to wait.
    """
    start = standing(full_at, now, bucket.span_ms)
    after = start + min(cost, bucket.size) * bucket.token_ms
    wait = after - bucket.span_ms - now
    return (start, wait) if wait >= TOLERANCE_MS else (after, 0.0)
