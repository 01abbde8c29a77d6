"""How the beat of this project rings: not into a queue that nobody reads.

Redis and Valkey keep a message until a worker takes it, even one that has expired, so that ticks of
a night without a `lanes` worker would fill the server's memory. What waits already is as good as
one more. Nothing is lost by leaving a ring out: the next one comes after the entry's interval.
"""

from typing import Any, Final

from celery.beat import PersistentScheduler, ScheduleEntry
from kombu import Producer, Queue
from kombu.exceptions import KombuError

WAITING_MAX: Final = 3
"""Messages in an entry's queue above which it is not rung; a worker drops old ones in no time."""


class NodeScheduler(PersistentScheduler):
    """Celery's scheduler, which leaves out what would only pile up."""

    def apply_entry(self, entry: ScheduleEntry, producer: Producer | None = None) -> None:
        """Send the entry's task, unless enough messages wait in its queue."""
        sender = producer or self.producer
        queue = self.app.amqp.router.route({}, str(entry.task))["queue"]
        if waiting(sender, queue) < WAITING_MAX:
            super().apply_entry(entry, producer=sender)


def waiting(producer: Producer, queue: Queue) -> int:
    """Return how many messages nobody took yet; 0 where the broker does not say.

    One question to the server. Declaring is what both kinds of broker answer with the number, and
    a sender would do it anyway; where it fails, sending fails too, and that tries again and logs.
    """
    connection: Any = producer.connection
    broken = (*connection.connection_errors, *connection.channel_errors, OSError, KombuError)
    try:
        channel: Any = producer.channel
        answer: Any = queue.bind(channel).queue_declare()
        return int(answer.message_count)
    except broken:
        return 0
