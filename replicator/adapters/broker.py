"""The message broker as a `Doorbell`, through kombu: Redis, Valkey or RabbitMQ.

One call is one batch: on Redis one pipeline, on RabbitMQ confirmed messages one after another.
Safe to share between threads and across a fork. Every wait is bounded, for each thread: a gateway
must be able to say `busy` while the broker hangs. Sending is tried twice, because a connection may
have died unnoticed; a doorbell that rings twice is harmless.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from kombu import Connection, Producer
from kombu.exceptions import KombuError

from replicator.adapters.celery_message import Message, message_of
from replicator.adapters.queue_names import LANES
from replicator.adapters.queues import is_amqp, plain_url, queue_of, tls_of, transport_options
from replicator.errors import BrokerUnavailable
from replicator.limits import Limits
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId

DEFAULT_LIMITS: Final = Limits()
SEND_SECONDS: Final = 3
"""Longest wait for the broker's word on one batch, and for other threads' turns."""
BATCH_MESSAGES_MAX: Final = 500
"""Messages in one pipeline: about 400 kB, a few milliseconds of the server's time."""


class KombuDoorbell:
    """Writes Celery task messages to the queues of one node.

    Args:
        url: the broker's URL; may hold a password, so it appears in no message and no repr.
        node_id: names the queues.
        limits: say how long messages live.
    """

    def __init__(self, url: str, node_id: NodeId, limits: Limits = DEFAULT_LIMITS) -> None:
        self._url = url
        self._node_id = node_id
        self._limits = limits
        self._queues = {lane: queue_of(url, node_id, lane) for lane in LANES}
        self._forget()

    def __repr__(self) -> str:
        return f"KombuDoorbell({self._node_id!r})"

    def ring(self, rings: Sequence[Ring]) -> None:
        """Send messages, all in one go.

        Raises:
            BrokerUnavailable: the broker did not confirm; some may have been sent all the same.
        """
        if not rings:
            return
        now = datetime.now(UTC)
        messages = [message_of(ring, self._limits, now) for ring in rings]
        if self._pid != os.getpid():
            # A forked child must not speak on its parent's sockets, nor close them.
            self._forget()
        if not self._lock.acquire(timeout=SEND_SECONDS):
            raise BrokerUnavailable("the message broker is slow: no turn to send in time")
        try:
            self._send(messages)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection; the next ring opens another."""
        if self._pid == os.getpid():
            with self._lock:
                self._disconnect()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def _send(self, messages: Sequence[Message]) -> None:
        for last in (False, True):
            connection = self._connect()
            broken: tuple[type[BaseException], ...] = (
                *(OSError, KombuError),
                *connection.recoverable_connection_errors,
                *connection.channel_errors,
            )
            try:
                self._publish(connection, messages)
            except broken as error:
                self._disconnect()
                if last or _is_timeout(error):
                    raise BrokerUnavailable(
                        f"the message broker did not take a doorbell ({type(error).__name__})"
                    ) from error
            else:
                return

    def _connect(self) -> Connection:
        if self._connection is None:
            options = transport_options(self._url, self._node_id, self._limits)
            # A publisher waits for its own time, not for a worker's; it tries again by itself.
            options |= {"max_retries": 1, "interval_start": 0, "interval_max": 0}
            if is_amqp(self._url):
                options |= {"read_timeout": SEND_SECONDS, "write_timeout": SEND_SECONDS}
            else:
                options |= {"socket_timeout": SEND_SECONDS, "socket_connect_timeout": SEND_SECONDS}
            self._connection = Connection(
                plain_url(self._url),
                ssl=tls_of(self._url),
                transport_options=options,
                connect_timeout=SEND_SECONDS,
            )
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it is broken already; a failing farewell says nothing new
                connection.release()

    def _publish(self, connection: Connection, messages: Sequence[Message]) -> None:
        # Any: the stubs do not know `batch` yet, which kombu 5.7 has
        producer: Any = Producer(connection, auto_declare=False, serializer="json")
        amqp = is_amqp(self._url)
        with producer.batch(BATCH_MESSAGES_MAX):
            for message in messages:
                queue = self._queues[message.lane]
                producer.publish(
                    message.body,
                    exchange=queue.exchange,
                    routing_key=queue.routing_key,
                    headers=message.headers,
                    # RabbitMQ drops what no queue is bound for; a Redis list needs no declaration.
                    declare=[queue] if amqp else [],
                    timeout=SEND_SECONDS,
                    confirm_timeout=SEND_SECONDS,
                    **message.properties,
                )


def _is_timeout(error: BaseException) -> bool:
    """Tell whether waiting longer is all that a second try could do."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError) or type(cause).__name__ == "TimeoutError":
            return True
        cause = cause.__cause__
    return False
