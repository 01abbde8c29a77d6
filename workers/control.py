"""What a worker lets itself be told over the broker: to describe itself, and to report events.

Whoever can write to the broker can send remote control. Celery's own commands stop a worker, take
its queues away, grow its pool without end, or drop tasks by id; none of this is needed, since
processes belong to their supervisor. What is left is what Flower asks for and `celery inspect`
shows. Other commands are unknown to the worker: it logs their name and goes on.
"""

from contextlib import suppress
from typing import Final

from celery.worker.control import Panel
from kombu import matcher

ALLOWED: Final = frozenset(
    (
        # what Flower shows of a worker
        "active",
        "active_queues",
        "conf",
        "registered",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
        # Flower turns events on when it sees a worker
        "enable_events",
        "disable_events",
        "heartbeat",
        # is it there?
        "ping",
    )
)
"""Commands that change nothing but whether events are sent."""


def restrict() -> None:
    """Forget every other command in this process, and patterns of names.

    A command names the workers it is for, or is for all. By a pattern, one message could keep every
    worker busy for ever: a regular expression is matched while no other thread runs.
    """
    for name in set(Panel.data) - ALLOWED:
        del Panel.data[name]
        Panel.meta.pop(name, None)
    registered = Panel.data["registered"]
    # of a task it shows any attribute that is asked for, so nothing may be asked
    Panel.data["registered"] = lambda state, **_: registered(state)
    for name in ("glob", "pcre"):
        with suppress(matcher.MatcherNotInstalled):
            matcher.unregister(name)
