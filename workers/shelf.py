"""Where a process of Celery puts the messages that it does not take: into the work state, bounded.

Opened when it is first needed. Where the work state does not answer, a message is lost with a
line in the log: nothing here may stop a worker. No body of a message is ever logged.
"""

import time
from typing import Any

import structlog
from redis import RedisError

from replicator.adapters.redis.work import RedisWorkState
from replicator.errors import ReplicatorError
from replicator.node.ports import MalformedEntry
from replicator.settings import Settings

log = structlog.get_logger(__name__)


class Shelf:
    """The malformed entries of one node, as its Celery processes write them.

    Args:
        settings: name the work state and its bounds.
    """

    def __init__(self, settings: Settings) -> None:
        self.limits = settings.limits
        self.count = 0
        """What was put here, kept or not: by this a worker shows that it hears its queues."""
        self._settings = settings
        self._work: RedisWorkState | None = None

    def __repr__(self) -> str:
        return f"Shelf({self._settings.node_id!r})"

    def __reduce__(self) -> Any:
        return (Shelf, (self._settings,))

    def put(self, queue: str, reason: str, raw: bytes) -> bool:
        """Keep an entry of ``queue``; tell whether it is kept."""
        self.count += 1
        head = raw[: self.limits.malformed_bytes_max]
        entry = MalformedEntry(int(time.time() * 1000), queue, reason, len(raw), head)
        log.warning("queue.malformed", queue=queue[:200], reason=reason, size=len(raw))
        try:
            self._opened().note_malformed(entry)
        except (ReplicatorError, RedisError) as error:
            log.warning("queue.malformed_lost", reason=str(error)[:200])
            return False
        return True

    def _opened(self) -> RedisWorkState:
        if self._work is None:
            settings = self._settings
            self._work = RedisWorkState(settings.work, settings.prefix, settings.limits)
        return self._work
