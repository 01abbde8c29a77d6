"""The queues of a node as Celery takes them: what to declare, and which task goes where.

Names and shapes come from `replicator.adapters.queues`, where the doorbell takes them from too.
Pure: opens nothing.
"""

from kombu import Queue

from replicator.adapters.queue_names import LANES, queue_name
from replicator.adapters.queues import ROUTES, queue_of
from replicator.protocol.ids import NodeId


def queues(broker_url: str, node_id: NodeId) -> list[Queue]:
    """Return all queues of a node; a worker consumes those that its ``--queues`` names."""
    return [queue_of(broker_url, node_id, lane) for lane in LANES]


def routes(node_id: NodeId) -> dict[str, dict[str, str]]:
    """Return Celery's ``task_routes``: every task by name, nothing by pattern."""
    return {route.task: {"queue": queue_name(node_id, route.lane)} for route in ROUTES.values()}
