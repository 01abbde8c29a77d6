"""Notice a worker that no longer hears its queues, and end it so that it is started again.

After some broken connections a Celery worker says that it is ready and consumes nothing, for ever
(celery/celery #8030, #8091, #8990 and others): its event loop waits for a socket that nobody
writes to. Whatever the cause, the sign is the same: messages wait in a queue of this worker, it has
free hands, and nothing reaches it. `DeafnessWatch` looks for this sign from a thread of its own,
because the loop is what may hang, and over a connection of its own, because the worker's may be
what is broken. The process then ends with `DEAF`; its supervisor (`replicator up`, systemd,
Kubernetes) starts it again, and what it held is given out again after the visibility time-out.

An idle queue, a busy worker, a broker that is away and a worker that is stopping are no signs.
"""

import logging
import os
import threading
import time
from collections.abc import Collection
from typing import Any, Final

import structlog
from celery import bootsteps
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu import Queue
from kombu.exceptions import KombuError

log = structlog.get_logger(__name__)

DEAF: Final = 75
"""The exit code: EX_TEMPFAIL of sysexits.h, try again."""
LOOKS: Final = 5
"""Looks within the time after which a worker counts as deaf."""


class Signs:
    """Tells from looks in a row whether a worker is deaf.

    Args:
        seconds: how long all signs must have stood, without a break.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._last = 0.0
        self._received = -1

    def look(self, now: float, received: int, *, free: bool, waiting: bool) -> bool:
        """Note one look; return whether the worker is deaf.

        Args:
            now: seconds of a clock that never goes back.
            received: messages that ever reached the worker.
            free: whether it could take another.
            waiting: whether messages wait in its queues; False where the broker does not say.
        """
        # a process that was frozen between two looks could not have heard anything
        in_a_row = now - self._last <= 2 * self._seconds / LOOKS
        sign = free and waiting
        if not (sign and in_a_row and received == self._received and self._since is not None):
            self._since = now if sign else None
        self._last, self._received = now, received
        return self._since is not None and now - self._since >= self._seconds


class DeafnessWatch(bootsteps.StartStopStep):
    """Watch the worker from its first connection to its end, whatever becomes of the connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Consumer, **options: Any) -> None:
        self._thread: threading.Thread | None = None
        super().__init__(parent, **options)

    def start(self, parent: Consumer) -> None:
        """Begin to watch with the first connection; later ones are watched already."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=_watch, args=(parent,), name="deafness", daemon=True
            )
            self._thread.start()


def _watch(consumer: Any) -> None:
    seconds = consumer.app.settings.limits.deaf_seconds
    signs = Signs(seconds)
    while not _is_stopping():
        time.sleep(seconds / LOOKS)
        free = len(state.reserved_requests) < consumer.max_prefetch_count
        deaf = signs.look(
            time.monotonic(),
            consumer.received,
            free=free,
            # only where it matters: a busy worker asks its broker nothing
            waiting=free and waiting(consumer.app, consumer.app.amqp.queues.consume_from.values()),
        )
        if deaf and not _is_stopping():
            log.error("worker.deaf", seconds=seconds, received=consumer.received)
            logging.shutdown()
            # the orderly way goes through the loop that hangs
            os._exit(DEAF)


def _is_stopping() -> bool:
    asked: tuple[Any, ...] = (state.should_stop, state.should_terminate)
    return any(word is not None and word is not False for word in asked)


def waiting(app: Any, queues: Collection[Queue]) -> bool:
    """Tell whether messages wait in any of ``queues``; False where the broker does not say."""
    with app.connection_for_read() as connection:
        broken = (*connection.connection_errors, *connection.channel_errors, OSError, KombuError)
        try:
            channel = connection.channel()
            return any(_length(queue.bind(channel)) > 0 for queue in queues)
        except broken:
            return False


def _length(queue: Any) -> int:
    # declaring is what both kinds of broker answer with the number
    return int(queue.queue_declare().message_count)
