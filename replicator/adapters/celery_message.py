"""Celery's task message protocol 2, written without Celery.

`replicator` knows no Celery, yet its doorbells are tasks; a contract test compares what stands here
with what the Celery app itself emits. Source: Celery's documentation, "Message Protocol", version
2. Pure but for the random task id. No message carries a body: arguments are a peer or a token.
"""

import os
import socket
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from replicator.adapters.queue_names import Lane
from replicator.adapters.queues import ROUTES
from replicator.limits import Limits
from replicator.node.ports import Ring

TOKEN_CHARS_SHOWN = 8
"""Enough of a request's token to find it in the logs, too little to use it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One task message: its lane, and the body, headers and properties to publish."""

    lane: Lane
    body: tuple[list[str], dict[str, Any], dict[str, None]]
    headers: dict[str, Any]
    properties: dict[str, Any]


def message_of(ring: Ring, limits: Limits, now: datetime) -> Message:
    """Return the task message of one doorbell.

    Args:
        ring: what to run.
        limits: say when the message is too old to be worth running.
        now: the time it is sent, UTC.
    """
    route = ROUTES[ring.task]
    arguments = _arguments(ring)
    task_id = str(uuid.uuid4())
    expires = now.astimezone(UTC) + timedelta(seconds=_lifetime_seconds(ring, limits))
    headers: dict[str, Any] = {
        "lang": "py",
        "task": route.task,
        "id": task_id,
        "shadow": None,
        "eta": None,
        # Checked by the worker. An expired doorbell is dropped: the reconciler rings again.
        "expires": expires.isoformat(),
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": describe(ring),
        "kwargsrepr": "{}",
        "origin": f"replicator{os.getpid()}@{socket.gethostname()}",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    properties = {"correlation_id": task_id, "reply_to": ""}
    return Message(route.lane, (arguments, {}, embed), headers, properties)


def describe(ring: Ring) -> str:
    """Return what a person reads in Flower: the peer and the note, never a whole token."""
    subject = f"peer={ring.peer}" if ring.peer is not None else "node"
    if ring.token is not None:
        subject = f"request={ring.token[:TOKEN_CHARS_SHOWN]}"
        if ring.peer is not None:
            subject += f" peer={ring.peer}"
    return f"{subject} {ring.note}".rstrip()


def _arguments(ring: Ring) -> list[str]:
    if ring.token is not None:
        return [ring.token]
    return [] if ring.peer is None or ring.task == "upkeep" else [ring.peer]


def _lifetime_seconds(ring: Ring, limits: Limits) -> int:
    # A request is answered `busy` long before its body expires. Any other doorbell's flag expires
    # after doorbell_seconds and is then rung anew; twice that leaves room for a busy worker.
    return limits.work_body_seconds if ring.task == "answer" else 2 * limits.doorbell_seconds
