"""How long posts are kept: the floor that a number of days gives at a moment. Pure.

A floor is a date in ms: what was published before is neither kept nor taken. It moves in steps, so
that nodes with the same rule mostly have the same one, and it is remembered by the store, which
never moves it down: what has expired does not come back when the rule, or the clock, is set back.
"""

from typing import Final

from replicator.limits import Limits

_DAY_MS: Final = 86_400_000


def floor_of(now: int, keep_days: int | None, limits: Limits) -> int:
    """Return the floor (ms) at ``now`` where posts are kept for ``keep_days``; 0: no floor.

    A post is kept for that long at least, and for one step more at most.
    """
    if keep_days is None:
        return 0
    step = limits.floor_step_seconds * 1000
    return max(0, (now - keep_days * _DAY_MS) // step * step)
