"""What the processes of Celery write to their logs: one line per thing that happened.

The project's own events go through the standard library's logging, so that Celery's handlers,
levels and formats hold for them too. Ticks that did nothing are left out: one line a second would
bury everything else. `make_app` connects `set_up` to Celery's signal.
"""

import logging
from typing import Any, Final

import structlog

from replicator.adapters.queues import ROUTES

TICK: Final = ROUTES["tick"].task
TOO_CHATTY: Final = ("celery.worker.strategy", "celery.beat")
"""Loggers that say of every message that it is about to be worked on."""


class WithoutTicks(logging.Filter):
    """Drop the line that says that a tick succeeded; failures stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be written."""
        data = getattr(record, "data", None)
        tick = isinstance(data, dict) and data.get("name") == TICK
        return record.levelno > logging.INFO or not tick


def set_up(loglevel: int | None = None, **_: Any) -> None:
    """Route the project's events into Celery's handlers and quieten the chatter."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    if loglevel is None or loglevel > logging.DEBUG:
        for name in TOO_CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("celery.app.trace").addFilter(WithoutTicks())
