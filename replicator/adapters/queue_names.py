"""The names of a node's queues, apart from their shapes (`queues`).

Pure: whoever only names queues, as the commands that start workers do, loads no broker library.
"""

from typing import Final, Literal

from replicator.protocol.ids import NodeId

Lane = Literal["requests", "fanout", "fetch", "repair", "upkeep", "ticks"]
LANES: Final[tuple[Lane, ...]] = (
    "requests",
    "fanout",
    "fetch",
    "repair",
    "upkeep",
    "ticks",
)


def queue_name(node_id: NodeId, lane: Lane) -> str:
    """Return a lane's queue name; with the node's id, many nodes can share one server."""
    return f"{node_id}.{lane}"
