"""How a worker of this project consumes: with a visibility heartbeat, and nothing delayed.

On Redis and Valkey a message that is not acknowledged within the visibility time-out is given to
another worker, even while its task still runs. The heartbeat renews that time for every message
this worker holds, so the time-out can be short (a killed worker's messages are taken over soon)
and a task may be long. It runs on the consumer's own timer, in the main process, for every kind of
pool: a worker whose event loop hangs loses its messages, as it should.

Before Celery sees a message it is compared with what messages of this node look like
(`workers.messages`), its arguments with what its task takes; what does not fit, and what Celery
itself refuses, goes to the node's `Shelf` and is acknowledged. It is not tried again.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.exceptions import KombuError

from replicator.adapters.queues import dead_letter_queue, is_amqp
from replicator.errors import Malformed
from replicator.protocol.ids import parse_node_id
from workers.deafness import DeafnessWatch
from workers.messages import check_body, check_content, check_headers
from workers.shelf import Shelf

logger = logging.getLogger(__name__)

RENEWALS_PER_TIMEOUT = 3
"""One renewal may be late and one may be lost before another worker takes a message."""


class VisibilityHeartbeat(bootsteps.StartStopStep):
    """Renew the visibility of unacknowledged messages, three times within the time-out."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Consumer, **options: Any) -> None:
        self._timer: Any = None
        super().__init__(parent, **options)

    def include_if(self, parent: Consumer) -> bool:
        """Take part on Redis and Valkey only; RabbitMQ knows which consumers live."""
        return not is_amqp(parent.app.conf.broker_url)

    def start(self, parent: Consumer) -> None:
        """Start renewing, for the life of this connection."""
        timeout = parent.app.conf.broker_transport_options["visibility_timeout"]
        interval = timeout / RENEWALS_PER_TIMEOUT
        self._timer = parent.timer.call_repeatedly(interval, self._renew, (parent,))

    def stop(self, parent: Consumer) -> None:
        """Stop renewing; a new connection starts anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _renew(self, parent: Consumer) -> None:
        if parent.connection is not None:
            transport: Any = parent.connection.transport  # its Redis kind has channels
            renew(transport.channels, time.time())


def renew(channels: Iterable[Any], now: float) -> None:
    """Move the deadlines of all messages that ``channels`` hold.

    Args:
        channels: kombu's Redis channels. Their ledger of delivered tags has no public name.
        now: seconds since the epoch; kombu measures the time-out from it.
    """
    for channel in channels:
        tags = list(channel.qos._delivered)
        if tags:
            with channel.conn_or_acquire() as client:
                # XX: a message acknowledged in this moment must not come back as an index entry.
                client.zadd(channel.unacked_index_key, dict.fromkeys(tags, now), xx=True)


class DeadLetterQueue(bootsteps.StartStopStep):
    """Declare the queue that RabbitMQ moves poison to; without it, poison would be dropped."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def include_if(self, parent: Consumer) -> bool:
        """Take part on RabbitMQ only."""
        return is_amqp(parent.app.conf.broker_url)

    def start(self, parent: Consumer) -> None:
        """Declare it before the queues that refer to it are consumed."""
        if parent.connection is not None:
            queue = dead_letter_queue(parse_node_id(parent.app.main))
            queue(parent.connection.default_channel).declare()


class NodeConsumer(Consumer):
    """Celery's consumer with the steps above, and without the one for delayed messages.

    Nothing here has a countdown: back-off is stored state. That step would bind every queue of
    the node to the server's delay exchanges, including those that only another worker declares.
    """

    # The stubs take the nested class for a variable.
    class Blueprint(Consumer.Blueprint):  # type: ignore[valid-type,misc]
        """The order in which a consumer starts its parts."""

        default_steps: ClassVar[list[Any]] = [
            *(s for s in Consumer.Blueprint.default_steps if not s.endswith(":DelayedDelivery")),
            VisibilityHeartbeat,
            DeadLetterQueue,
            DeafnessWatch,
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        self._received = 0
        super().__init__(*args, **options)
        amqp: Any = self.app.amqp  # a `NodeAMQP`, whose channels use the same shelf
        self._shelf: Shelf = amqp.shelf

    @property
    def received(self) -> int:
        """How many messages ever came, malformed ones too: see `workers.deafness`."""
        return self._received + self._shelf.count

    def create_task_handler(self, *args: Any, **options: Any) -> Any:
        """Return what is called with every message, and count them."""
        handle = super().create_task_handler(*args, **options)

        def received(message: Any) -> Any:
            self._received += 1
            try:
                check_message(message, self.app.tasks, self._shelf.limits.task_bytes_max)
            except Malformed as error:
                return self._set_aside(message, str(error))
            return handle(message)

        return received

    # What Celery would log, body and all, and drop.

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Set aside what kombu cannot decode, or may not."""
        self._set_aside(message, str(exc) if isinstance(exc, Malformed) else type(exc).__name__)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Set aside what is no task message."""
        self._set_aside(message, "this is no task message")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Set aside what names a task that is not ours."""
        self._set_aside(message, "the task is unknown")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Set aside what Celery finds wrong with a message."""
        self._set_aside(message, f"Celery refuses the message ({type(exc).__name__})")

    def _set_aside(self, message: Any, reason: str) -> None:
        place = message.delivery_info or {}
        consumer: Any = self  # the stubs do not know its errors
        broken = consumer.connection_errors
        kept = self._shelf.put(str(place.get("routing_key")), reason, _as_it_came(message))
        if kept or not is_amqp(self.app.conf.broker_url):
            message.ack_log_error(logger, broken)
        else:
            # to the dead letters of RabbitMQ, where somebody may find it
            message.reject_log_error(logger, broken)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Give up a broken connection; what it held is given out again after its time-out.

        A message can only be acknowledged on the connection it came by. Once that is closed, a
        Redis channel answers both an acknowledgement (of a task that ran on) and its own putting
        back of what it holds with an error that ends the whole worker; so neither is tried.
        """
        for request in (*state.active_requests, *state.reserved_requests):
            request.acknowledged = True
        if self.connection is not None and not is_amqp(self.app.conf.broker_url):
            transport: Any = self.connection.transport
            for channel in transport.channels:
                channel.qos.restore_at_shutdown = False
        super().on_connection_error_after_connected(exc)


def check_message(message: Any, tasks: Mapping[str, Any], bytes_max: int) -> None:
    """Compare a message with those of this node.

    Args:
        message: as kombu delivers it.
        tasks: what this worker can run; only tasks that say what they take are run for messages.
        bytes_max: of its body.

    Raises:
        Malformed: it is none of ours; the text names the first thing that is wrong.
    """
    headers = message.headers
    if not isinstance(headers, dict):
        raise Malformed("the headers are no mapping")
    check_content(message.content_type, message.content_encoding, headers)
    if len(message.body or b"") > bytes_max:
        raise Malformed(f"the body has {len(message.body)} bytes, more than {bytes_max}")
    task = tasks.get(check_headers(headers))
    if task is None or not hasattr(task, "check_call"):
        raise Malformed("the task is unknown")
    try:
        # kombu keeps what it decoded: it is decoded once
        body = message.decode()
    except (KombuError, ValueError, TypeError, RecursionError) as error:
        raise Malformed("the body is no JSON") from error
    task.check_call(*check_body(body))


def _as_it_came(message: Any) -> bytes:
    """Return what an operator can look at: headers and body in one piece, whatever they hold."""
    body = message.body
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    parts = {"content-type": message.content_type, "headers": message.headers, "body": text}
    try:
        return json.dumps(parts, default=repr).encode()
    except (TypeError, ValueError, RecursionError):
        # headers of RabbitMQ may have names that are no text, or be nested without end
        return json.dumps({**parts, "headers": "cannot be written"}, default=repr).encode()
