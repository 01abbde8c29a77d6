"""What `KombuDoorbell` writes is what the Celery application itself would emit for the task."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from replicator.adapters.broker import KombuDoorbell
from replicator.adapters.celery_message import describe, message_of
from replicator.adapters.queue_names import queue_name
from replicator.adapters.queues import ROUTES, key_prefix
from replicator.limits import Limits
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId
from replicator.settings import Settings
from tests.support.celery_nodes import LocalValkey
from workers.app import make_app

NODE = NodeId("alpha.example")
BETA = NodeId("beta.example")
LIMITS = Limits()

RINGS = [
    Ring("answer", token="t0k3n-of-a-request", note="from beta.example 3 posts"),
    Ring("answer", token="t0k3n-of-a-request", peer=BETA),
    Ring("announce", peer=BETA, note="3 posts"),
    Ring("fetch", peer=BETA),
    Ring("pull", peer=BETA, note="tick"),
    Ring("repair", peer=BETA),
    Ring("upkeep"),
]

ITS_OWN = {"id", "root_id", "origin", "expires"}
"""Headers that differ from message to message."""


@pytest.fixture
def valkey(tmp_path: Path):
    server = LocalValkey(tmp_path / "valkey")
    assert server.ready()
    yield server
    server.teardown()


def emitted(server: LocalValkey, ring: Ring) -> dict[str, Any]:
    queue = key_prefix(NODE) + queue_name(NODE, ROUTES[ring.task].lane)
    with redis.Redis(port=server.port) as client:
        raw = client.lpop(queue)
        assert isinstance(raw, bytes), f"nothing in {queue}"
        assert client.llen(queue) == 0
    message = json.loads(raw)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    return message


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: describe(ring))
def test_a_doorbell_is_the_message_that_celery_emits(
    valkey: LocalValkey, tmp_path: Path, ring: Ring
) -> None:
    settings = Settings(
        home=tmp_path, node_id=NODE, database_url="sqlite://", work_url=valkey.host_url
    )
    app = make_app(settings)
    app.conf.include = ()
    doorbell = KombuDoorbell(valkey.host_url, NODE, LIMITS)
    doorbell.ring([ring])
    ours = emitted(valkey, ring)
    doorbell.close()
    app.send_task(
        ROUTES[ring.task].task,
        args=ours["body"][0],
        argsrepr=describe(ring),
        expires=60.0,
        ignore_result=True,
    )
    theirs = emitted(valkey, ring)
    app.close()

    assert ours["body"] == theirs["body"]
    assert ours.keys() == theirs.keys()
    for name in ("content-type", "content-encoding"):
        assert ours[name] == theirs[name]
    assert set(ours["headers"]) == set(theirs["headers"])
    differing = {n for n in ours["headers"] if ours["headers"][n] != theirs["headers"][n]}
    assert differing <= ITS_OWN
    # `expiration` repeats the header `expires` for servers that drop by themselves; such a server
    # would move an expired doorbell to the dead letters, so the header alone is set. `argsrepr` is
    # an option that Celery leaves among the properties, where nobody reads it.
    assert set(theirs["properties"]) - set(ours["properties"]) == {"argsrepr", "expiration"}
    assert set(ours["properties"]) <= set(theirs["properties"])
    assert ours["properties"]["delivery_info"] == theirs["properties"]["delivery_info"]
    assert ours["properties"]["correlation_id"] == ours["headers"]["id"]


def test_a_task_is_described_without_its_whole_token() -> None:
    shown = [describe(ring) for ring in RINGS]
    assert shown == [
        "request=t0k3n-of from beta.example 3 posts",
        "request=t0k3n-of peer=beta.example",
        "peer=beta.example 3 posts",
        "peer=beta.example",
        "peer=beta.example tick",
        "peer=beta.example",
        "node",
    ]


def test_a_doorbell_expires_when_nobody_would_miss_it() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    answer = message_of(RINGS[0], LIMITS, now).headers["expires"]
    announce = message_of(RINGS[2], LIMITS, now).headers["expires"]
    assert datetime.fromisoformat(answer) == now + timedelta(seconds=LIMITS.work_body_seconds)
    assert datetime.fromisoformat(announce) == now + timedelta(seconds=2 * LIMITS.doorbell_seconds)


@pytest.mark.parametrize(
    ("task", "peer", "token"),
    [
        ("answer", None, None),
        ("answer", BETA, None),
        ("announce", None, None),
        ("announce", BETA, "token"),
        ("upkeep", None, "token"),
    ],
)
def test_a_ring_without_what_its_task_needs_cannot_be_made(
    task: Any, peer: NodeId | None, token: str | None
) -> None:
    with pytest.raises(ValueError, match=r"token|peer"):
        Ring(task, peer, token)
