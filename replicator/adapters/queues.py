"""The names and shapes of a node's queues: what a doorbell and a worker must agree on.

`KombuDoorbell` writes to these queues and `workers.queues` consumes them; both take every name,
exchange, argument and key prefix from here. Imports kombu, never Celery; opens nothing.

On Redis and Valkey messages go through the anonymous exchange: it needs no binding in the server,
so publishing goes on after a flush. On RabbitMQ every queue is a quorum queue on one topic exchange
per node (with topic exchanges Celery uses the server's delayed delivery instead of worker memory),
and what kills its workers ends in the node's dead-letter queue.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from kombu import Exchange, Queue

from replicator.adapters.queue_names import Lane, queue_name
from replicator.limits import Limits
from replicator.protocol.ids import NodeId

AMQP_SCHEMES: Final = ("amqp", "amqps", "pyamqp")
DELIVERIES_MAX: Final = 5
"""A quorum queue's deliveries of one message: five dead workers are no coincidence."""
MESSAGES_MAX: Final = 10_000
"""Doorbells in one RabbitMQ queue; a longer queue means that nobody reads it."""
SOCKET_SECONDS: Final = 10
"""A server that accepts and never answers; longer than the 1 s that a blocking pop waits."""
CONNECT_SECONDS: Final = 5
CHECK_SECONDS: Final = 10
"""How often a blocked connection is proved alive: a half-open socket is silent for ever."""
RESTORE_SECONDS: Final = 5
"""How often abandoned messages are looked for: a take-over starts this much after the time-out."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a kind of work goes: its Celery task name and its lane."""

    task: str
    lane: Lane


ROUTES: Final[Mapping[str, Route]] = MappingProxyType(
    {
        "answer": Route("replicator.answer", "requests"),
        "announce": Route("replicator.announce", "fanout"),
        "fetch": Route("replicator.fetch", "fetch"),
        "pull": Route("replicator.pull", "repair"),
        "repair": Route("replicator.repair", "repair"),
        "roster": Route("replicator.roster", "repair"),
        "look": Route("replicator.look", "repair"),
        "tick": Route("replicator.reconciler.tick", "ticks"),
        "upkeep": Route("replicator.upkeep", "upkeep"),
    }
)
"""Kind of work (as in `node.ports.Ring`, and the beat's tick) → task name and lane."""


def is_amqp(url: str) -> bool:
    """Tell whether a broker URL means RabbitMQ; any other is taken for Redis or Valkey."""
    return url.partition("://")[0] in AMQP_SCHEMES


def plain_url(url: str) -> str:
    """Return a broker URL without what it says of TLS; kombu takes that apart from it."""
    place, _, query = url.partition("?")
    rest = [(name, value) for name, value in parse_qsl(query) if not name.startswith("ssl_")]
    return f"{place}?{urlencode(rest)}" if rest else place


def tls_of(url: str) -> dict[str, Any] | bool:
    """Return what kombu is to know of TLS for a URL that `Settings.broker` made; False: none.

    Without it kombu would speak to a ``rediss://`` server without looking at its certificate, and
    to an ``amqps://`` server without looking whose it is.
    """
    given = {n: v for n, v in parse_qsl(url.partition("?")[2]) if n.startswith("ssl_")}
    scheme = url.partition("://")[0]
    files = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    if scheme == "rediss":
        return {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            **{name: given[name] for name in files if name in given},
        }
    if scheme == "amqps":
        return {
            "cert_reqs": ssl.CERT_REQUIRED,
            # kombu puts the name of the URL here; without it no name would be compared
            "server_hostname": None,
            **{name.removeprefix("ssl_"): given[name] for name in files if name in given},
        }
    return False


def key_prefix(node_id: NodeId) -> str:
    """Return what every key of a node begins with on a Redis or Valkey server."""
    return f"replicator:{node_id}:"


def queue_of(url: str, node_id: NodeId, lane: Lane) -> Queue:
    """Return one lane's queue as the broker at ``url`` must have it."""
    name = queue_name(node_id, lane)
    if not is_amqp(url):
        return Queue(name, Exchange("", type="direct"), routing_key=name)
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-max-length": MESSAGES_MAX,
        "x-overflow": "reject-publish",
        "x-delivery-limit": DELIVERIES_MAX,
    }
    if lane not in ("upkeep", "ticks"):
        # A tick that expired or failed is replaced by the next one; every other poison is kept.
        arguments["x-dead-letter-exchange"] = f"{node_id}.dead"
        arguments["x-dead-letter-routing-key"] = f"{node_id}.dead"
        arguments["x-dead-letter-strategy"] = "at-least-once"
    return Queue(
        name, Exchange(str(node_id), type="topic"), routing_key=name, queue_arguments=arguments
    )


def dead_letter_queue(node_id: NodeId) -> Queue:
    """Return the RabbitMQ queue that keeps what its workers did not survive, oldest dropped."""
    name = f"{node_id}.dead"
    return Queue(
        name,
        Exchange(name, type="direct"),
        routing_key=name,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-max-length": MESSAGES_MAX,
            "x-overflow": "drop-head",
        },
    )


def transport_options(url: str, node_id: NodeId, limits: Limits) -> dict[str, Any]:
    """Return kombu's transport options for one node; the reason stands beside each."""
    if is_amqp(url):
        return {
            # Without confirms a broker that dies can lose what it accepted.
            "confirm_publish": True,
            # A server that takes connections while it still starts may never answer the first
            # question; without these a worker would wait for it for ever.
            "read_timeout": SOCKET_SECONDS,
            "write_timeout": SOCKET_SECONDS,
        }
    return {
        # Kept short; `workers.consumer` renews the messages of living workers.
        "visibility_timeout": limits.visibility_seconds,
        "unacked_restore_interval": min(RESTORE_SECONDS, limits.visibility_seconds),
        # 10 by default: ten times the interval until a dead worker's messages are found.
        "unacked_restore_throttle": 1,
        # None by default: a frozen server would hold a publisher for ever.
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": CHECK_SECONDS,
        # 10 by default: threads that acknowledge at the same time would run out of connections.
        "max_connections": 64,
        # Queues, unacknowledged messages and remote control of nodes on one server stay apart.
        "global_keyprefix": key_prefix(node_id),
        # The default. By priority, a busy queue would starve those behind it.
        "queue_order_strategy": "round_robin",
    }
