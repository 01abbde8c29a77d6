"""What a message of this node looks like: all of ours pass, anything else is named and refused."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport.virtual import Base64, Message

from replicator.adapters.celery_message import message_of
from replicator.adapters.queues import ROUTES
from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.node.ports import Ring
from replicator.protocol.ids import NodeId
from tests.support.hostile_entries import ENTRIES, PEER, entry
from tests.unit.workers.test_config import settings_for
from workers import tasks as bodies
from workers.app import make_app
from workers.consumer import check_message
from workers.messages import check_body, check_headers, read_entry, read_unacknowledged

LIMITS = Limits()
TASKS = {route.task: route for route in ROUTES.values()}


@pytest.mark.parametrize("kind", sorted(set(ROUTES) - {"tick"}))
def test_every_doorbell_passes(kind: Any) -> None:
    token = "t0k3n" if kind == "answer" else None
    peer = None if kind in ("answer", "upkeep") else NodeId("beta.example")
    message = message_of(Ring(kind, peer, token, note="x" * 100), LIMITS, datetime.now(UTC))
    assert check_headers(message.headers) == ROUTES[kind].task
    check_body(message.body)


@pytest.mark.parametrize("options", [{}, {"expires": 60.0, "retries": 2, "ignore_result": True}])
def test_what_celery_itself_emits_passes(options: dict[str, Any]) -> None:
    app = make_app(settings_for("redis://127.0.0.1:1/0"))
    message = app.amqp.as_task_v2("id", ROUTES["tick"].task, (), {}, **options)
    assert check_headers(message.headers) == ROUTES["tick"].task


def test_a_message_that_was_delivered_before_passes() -> None:
    first = message_of(Ring("upkeep"), LIMITS, datetime.now(UTC)).headers
    check_headers({**first, "redelivered": True, "x-delivery-count": 2})


def test_an_entry_of_ours_is_read_as_it_is() -> None:
    tree = read_entry(entry(), LIMITS.control_bytes_max)
    assert tree["properties"]["body_encoding"] == "base64"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_hostile_entry_is_refused_somewhere(name: str) -> None:
    raw, reason = ENTRIES[name]
    with pytest.raises(Malformed, match=reason.replace("[", ".")):
        pass_all(raw)


def pass_all(raw: bytes) -> None:
    """Do with an entry what the channel and the consumer do with it."""
    tree = read_entry(raw, LIMITS.control_bytes_max)
    message = message_from(tree)
    known = {ROUTES[kind].task: getattr(bodies, kind) for kind in ("answer", "announce")}
    check_message(message, known, LIMITS.task_bytes_max)


def message_from(tree: dict[str, Any]) -> Any:
    """Return what kombu makes of an entry."""
    codec = Base64()
    channel = SimpleNamespace(decode_body=lambda body, _: codec.decode(body))
    return Message(tree, channel=channel)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b"{}",
        b"[]",
        b"[{}, 1, 2]",
        b'[{}, "", ""]',
        b'[{"body": "", "headers": [], "properties": {}}, "", ""]',
        b'[{"body": "", "headers": {}, "properties": {"delivery_tag": "x"}}, "", ""]',
        b"[" * 9999,
    ],
)
def test_a_stored_message_of_another_shape_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_unacknowledged(raw, 10_000)


def test_a_task_takes_exactly_what_it_says() -> None:
    assert bodies.announce.check_call([PEER], {}) == [PEER]
    assert bodies.tick.check_call([], {}) == []
    for args, kwargs in (([], {}), ([PEER, PEER], {}), ([PEER], {"x": 1}), ([None], {})):
        with pytest.raises(Malformed):
            bodies.announce.check_call(args, kwargs)


def test_a_call_that_does_not_fit_ends_without_work_and_without_another_try() -> None:
    ended = bodies.announce("No Such Node!")
    assert ended["ended"] == "invalid"


@pytest.mark.parametrize("name", ["id", "argsrepr", "traceparent"])
def test_a_header_that_no_log_can_write_is_refused(name: str) -> None:
    first = message_of(Ring("upkeep"), LIMITS, datetime.now(UTC)).headers
    with pytest.raises(Malformed, match=f"the header {name} does not have"):
        check_headers({**first, name: "\ud800"})
