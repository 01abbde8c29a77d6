"""The tasks of a node: doorbells that name a peer or a request, never a body.

Each runs one use case of `replicator.node` and returns its report as a small mapping, which reads
well in Flower. Names are explicit, because messages outlive modules. Every task may run twice.
``takes`` says what a task is called with; it gets its arguments parsed.
"""

import re
from dataclasses import asdict
from typing import Any, Final

from celery import shared_task

from replicator.adapters.queues import ROUTES
from replicator.errors import Malformed
from replicator.node import announce as announcing
from replicator.node import answer as answering
from replicator.node import fetch as fetching
from replicator.node import looking, reconciler, roster
from replicator.node import pull as pulling
from replicator.node import repair as repairing
from replicator.node import upkeep as keeping
from replicator.protocol.ids import NodeId, parse_node_id
from workers.base import NodeTask

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def a_token(text: object) -> str:
    """Return a task's argument as a request's token; raise `Malformed` where it is none."""
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise Malformed("the argument is no token of a request")
    return text


def a_node(text: object) -> NodeId:
    """Return a task's argument as a node id; raise `Malformed` where it is none."""
    if not isinstance(text, str):
        raise Malformed("the argument is no node id")
    try:
        return parse_node_id(text)
    except Malformed:
        # its words would quote what somebody wrote into a queue
        raise Malformed("the argument is no node id") from None


@shared_task(name=ROUTES["answer"].task, base=NodeTask, bind=True, takes=(a_token,))
def answer(task: NodeTask, token: str) -> dict[str, Any]:
    """Answer the request stored under ``token``."""
    return asdict(answering.answer(task.node, token))


@shared_task(name=ROUTES["announce"].task, base=NodeTask, bind=True, takes=(a_node,))
def announce(task: NodeTask, peer: NodeId) -> dict[str, Any]:
    """Deliver what the lane to ``peer`` holds."""
    return asdict(announcing.announce(task.node, peer))


@shared_task(name=ROUTES["fetch"].task, base=NodeTask, bind=True, takes=(a_node,))
def fetch(task: NodeTask, peer: NodeId) -> dict[str, Any]:
    """Fetch due items from ``peer``."""
    return asdict(fetching.fetch(task.node, peer))


@shared_task(name=ROUTES["pull"].task, base=NodeTask, bind=True, takes=(a_node,))
def pull(task: NodeTask, peer: NodeId) -> dict[str, Any]:
    """Pull the log of ``peer``."""
    return asdict(pulling.pull(task.node, peer))


@shared_task(name=ROUTES["repair"].task, base=NodeTask, bind=True, takes=(a_node,))
def repair_peer(task: NodeTask, peer: NodeId) -> dict[str, Any]:
    """Find what this node and ``peer`` lack of each other's posts, and close the gap."""
    return asdict(repairing.repair(task.node, peer))


@shared_task(name=ROUTES["roster"].task, base=NodeTask, bind=True, takes=(a_node,))
def ask_members(task: NodeTask, peer: NodeId) -> dict[str, Any]:
    """Ask ``peer`` which members of the shared pools it knows."""
    return asdict(roster.ask_members(task.node, peer))


@shared_task(name=ROUTES["look"].task, base=NodeTask, bind=True, takes=(a_node,))
def look(task: NodeTask, peer: NodeId) -> dict[str, Any]:
    """Look at the keys of ``peer`` anew."""
    return asdict(looking.look(task.node, peer))


@shared_task(name=ROUTES["tick"].task, base=NodeTask, bind=True)
def tick(task: NodeTask) -> dict[str, Any]:
    """Ring for everything that is due."""
    return asdict(reconciler.tick(task.node))


@shared_task(name=ROUTES["upkeep"].task, base=NodeTask, bind=True)
def upkeep(task: NodeTask) -> dict[str, Any]:
    """Tend what is bounded."""
    return asdict(keeping.upkeep(task.node))
