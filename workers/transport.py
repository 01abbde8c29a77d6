"""kombu's connections to a broker, with a check of every message before kombu makes anything of it.

In stock kombu some entries of a Redis list end the worker, one of them every worker that it is
given to in turn, and others are decompressed without a bound (see `workers.messages`). Here they
go to the node's `Shelf`, and the consumer goes on. It holds for all that a process consumes: task
queues, remote control, answers to it, and events.

How it comes into Celery: `NodeAMQP` gives the application a class of connections that choose their
transport here by the scheme of the URL. So ``broker_url`` is written as ever, and no table of
kombu's is changed. Private names of kombu's channels are used; the versions are pinned, and the
tests with hostile entries fail where they no longer fit.
"""

import sys
from collections.abc import Callable, Mapping
from queue import Empty
from typing import Any, Final

from amqp.basic_message import Message as BasicMessage
from amqp.method_framing import frame_handler
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import pyamqp, redis

from replicator.errors import Malformed
from workers.messages import check_content, read_entry, read_unacknowledged
from workers.shelf import Shelf

UNACKNOWLEDGED: Final = "unacked"
"""Stands for the queue of a message that a worker had taken."""
_CONTENT_HEADER: Final = 2
"""AMQP 0-9-1, 4.2.6.1: the frame with class, size of the body and properties, in this order."""
_HEADER_BYTES: Final = 12
_NO_PROPERTIES: Final = b"\0\0"


class QoS(redis.QoS):
    """Puts back what a worker never acknowledged, unless it is malformed."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002  # kombu's
        """Put one message back into its queue, or on the shelf."""
        channel: Any = self.channel
        qos: Any = self
        with channel.conn_or_acquire(client) as connection:
            raw = connection.hget(self.unacked_key, tag)
            try:
                if raw is not None:
                    read_unacknowledged(raw, 2 * channel.shelf.limits.control_bytes_max)
            except Malformed as error:
                qos._remove_from_indices(tag).execute()
                channel.shelf.put(UNACKNOWLEDGED, str(error), raw)
            else:
                super().restore_by_tag(tag, connection, leftmost)


class RedisChannel(redis.Channel):
    """A channel of one Redis or Valkey server."""

    QoS = QoS

    @property
    def shelf(self) -> Shelf:
        """Where malformed entries go."""
        link: Any = self
        return link.connection.client.shelf  # type: ignore[no-any-return]  # kombu's have no types

    def _checked(self, queue: str, raw: bytes) -> dict[str, Any] | None:
        """Return an entry for kombu; None where it was set aside."""
        try:
            return read_entry(raw, self.shelf.limits.control_bytes_max)
        except Malformed as error:
            self.shelf.put(queue, str(error), raw)
            return None

    def _brpop_read(self: Any, **options: Any) -> bool:
        """Take what a blocking pop brought; as kombu's own, with the check in between."""
        try:
            try:
                found = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not found:
                raise Empty
            queue = found[0].decode().rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            entry = self._checked(queue, found[1])
            if entry is None:
                raise Empty
            self.connection._deliver(entry, queue)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _handle_message(self: Any, client: Any, answer: Any) -> dict[str, Any]:
        """Take what was published to a channel; without its data where they are malformed."""
        payload: dict[str, Any] = super()._handle_message(client, answer)  # type: ignore[misc]  # beside kombu's
        if payload["type"].endswith(b"message") and payload["data"]:
            topic = payload["channel"].decode("utf-8", "replace")
            if self._checked(topic, payload["data"]) is None:
                payload["data"] = None
        return payload


class RedisTransport(redis.Transport):
    """Redis and Valkey."""

    Channel = RedisChannel


class AmqpMessage(pyamqp.Message):
    """A message of RabbitMQ that is never decompressed, nor read with a codec it names."""

    def __init__(self, msg: Any, channel: Any = None, **options: Any) -> None:
        facts: Mapping[str, Any] = msg.properties
        headers = facts.get("application_headers") or {}
        try:
            check_content(facts.get("content_type"), facts.get("content_encoding"), headers)
        except Malformed:
            # kombu hands a message with an error to its consumer's on_decode_error, as it is
            self.errors = [sys.exc_info()]
        super().__init__(msg, channel, **options)


class AmqpChannel(pyamqp.Channel):
    """A channel of RabbitMQ."""

    Message = AmqpMessage


def readable_frames(connection: Any, callback: Any) -> Callable[[Any], Any]:
    """Return what py-amqp gives its frames to, where properties that it cannot read are left out.

    They end the worker otherwise, before anybody could refuse the message; without them it is one
    of no content type, which is set aside.
    """
    handle: Callable[[Any], Any] = frame_handler(connection, callback)

    def on_frame(frame: tuple[int, int, bytes]) -> Any:
        kind, channel, payload = frame
        if kind == _CONTENT_HEADER and not _is_readable(payload):
            frame = kind, channel, bytes(payload[:_HEADER_BYTES]) + _NO_PROPERTIES
        return handle(frame)

    return on_frame


def _is_readable(payload: bytes) -> bool:
    message: Any = BasicMessage()
    try:
        message.inbound_header(payload)
    except Exception:  # whatever it stumbles over
        return False
    return True


class AmqpConnection(pyamqp.Connection):
    """A connection to RabbitMQ."""

    Channel = AmqpChannel

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "frame_handler": readable_frames})


class AmqpTransport(pyamqp.Transport):
    """RabbitMQ."""

    Connection = AmqpConnection


class AmqpTlsTransport(pyamqp.SSLTransport):
    """RabbitMQ over TLS."""

    Connection = AmqpConnection


TRANSPORTS: Final[Mapping[str, type]] = {
    "redis": RedisTransport,
    "rediss": RedisTransport,
    "amqp": AmqpTransport,
    "pyamqp": AmqpTransport,
    "amqps": AmqpTlsTransport,
}


class NodeConnection(Connection):
    """A connection whose transport checks what comes in."""

    shelf: Shelf

    def get_transport_cls(self) -> Any:
        """Return the transport of the URL's scheme; the settings take no other schemes."""
        return TRANSPORTS.get(str(self.transport_cls)) or super().get_transport_cls()


class NodeAMQP(AMQP):
    """Celery's messaging, over such connections."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        # a class of the application's own, because connections are copied by their class
        self.shelf = Shelf(app.settings)
        self.Connection = type("NodeConnection", (NodeConnection,), {"shelf": self.shelf})
