"""What the beat rings: the reconciler's tick and the upkeep. Pure.

Entries expire: a tick that waited too long is not worked off, as one is as good as a hundred (and
`workers.beat` sends none where enough of them wait). Nothing else is scheduled here. When a peer's
turn comes is stored state that the tick reads.
"""

from typing import Any, Final

from replicator.adapters.queues import ROUTES
from replicator.limits import Limits

UPKEEP_SECONDS: Final = 30.0
"""How often counts and bounded records are tended."""


def beat_schedule(limits: Limits) -> dict[str, dict[str, Any]]:
    """Return Celery's ``beat_schedule``."""
    return {
        "tick": _entry("tick", limits.tick_seconds),
        "upkeep": _entry("upkeep", UPKEEP_SECONDS),
    }


def _entry(kind: str, seconds: float) -> dict[str, Any]:
    # Twice the interval: a worker that was busy for one of them still finds the last tick.
    options = {"expires": 2 * seconds, "argsrepr": f"every {seconds:g} s", "kwargsrepr": "{}"}
    return {"task": ROUTES[kind].task, "schedule": seconds, "args": (), "options": options}
