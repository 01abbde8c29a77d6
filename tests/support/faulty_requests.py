"""Requests to a gateway with several things wrong at once, each made of faults by name.

The names are those of the rules that refuse them.
"""

import gzip
import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey
from tests.support.gateway import PULL, SENDER, Running, call, limits_with, make_node, running

MESSAGE_BYTES = 1024 * 1024
ROOM_BYTES = 4 * MESSAGE_BYTES
ADDRESS = "127.0.0.1"
PINNED = Identity(NodeId("pinned.example"), (PrivateKey.generate(),))
LATE = 10
"""Bytes of a late body that are not sent."""
OTHER_POOL = PrivateKey.generate().public


@dataclass
class Plan:
    """A request on its way to be sent: what is signed, and what is done to it afterwards."""

    sender: Identity = SENDER
    recipient: str = "here.example"
    tree: dict[str, Any] = field(default_factory=lambda: dict(PULL))
    encoding: str | None = None
    created: int | None = None
    nonce: bytes | None = None
    more: list[tuple[str, str]] = field(default_factory=list)
    media_type: str = codec.JSON
    damage: Callable[[dict[str, str]], None] = lambda headers: None
    declared: int | None = None
    withheld: int = 0


def nothing(plan: Plan) -> None:
    """Leave a request as it is."""


@dataclass(frozen=True)
class Fault:
    """What is wrong, and a part of the answer to it.

    Args:
        said: text in the answer.
        plan: changes the request.
        limits: of the node.
        before: a context in which the request is sent.
        policy: of the node, where it is another.
    """

    said: str
    plan: Callable[[Plan], None] = nothing
    limits: dict[str, float] = field(default_factory=dict)
    before: Callable[[Running], Any] | None = None
    policy: dict[str, str] = field(default_factory=dict)


def doing(**members: Any) -> Callable[[Plan], None]:
    """Return a change that sets members of a plan."""

    def change(plan: Plan) -> None:
        for name, value in members.items():
            setattr(plan, name, value)

    return change


def asking(**members: Any) -> Callable[[Plan], None]:
    """Return a change of the document."""

    def change(plan: Plan) -> None:
        plan.tree |= members

    return change


def every(*changes: Callable[[Plan], None]) -> Callable[[Plan], None]:
    """Return several changes as one."""

    def change(plan: Plan) -> None:
        for one in changes:
            one(plan)

    return change


def saying(*fields: tuple[str, str]) -> Callable[[Plan], None]:
    """Return a change that adds header fields."""
    return lambda plan: plan.more.extend(fields)


def damaging(name: str, change: Callable[[str], str]) -> Callable[[Plan], None]:
    """Return a change of a header field after everything was signed."""

    def damage(headers: dict[str, str]) -> None:
        headers[name] = change(headers[name])

    return doing(damage=damage)


def claimed(it: Running) -> None:
    """Use up what one that says it is the sender may ask."""
    rates = it.gateway._sync._claims
    while rates.allows("127.0.0.1 sender.example", it.node.clock.monotonic()):
        pass


def addressed(it: Running) -> None:
    """Use up what our address may ask."""
    while call(it.sync_port, "GET", "/v1/node").status == 200:
        pass


def is_open(it: Running) -> Any:
    """Leave a request open."""
    return it.gateway._sync._in_flight.enter(ADDRESS)


@contextmanager
def fills(it: Running) -> Iterator[None]:
    """Leave a request open that leaves no room for another's body."""
    with is_open(it) as hold:
        hold.grow(ROOM_BYTES - 10)
        yield


@contextmanager
def has_all_places(it: Running) -> Iterator[None]:
    """Leave as many requests of the sender under way as may be."""
    with ExitStack() as stack:
        for _ in range(it.node.limits.peer_open_requests_max):
            stack.enter_context(it.gateway._sync._senders.take(SENDER.node_id))
        yield


def asked_often(it: Running) -> None:
    """Use up the sender's own rate, as through other gateways."""
    it.gateway._sync._claims._burst = 1000.0
    answer = it.post(*it.signed(nonce=NONCE)).body
    while b"asks too often" not in answer:
        answer = it.post(*it.signed()).body


def knows_the_nonce(it: Running) -> None:
    """Have a nonce used."""
    assert it.post(*it.signed(nonce=NONCE)).status in (200, 409)


def has_pinned(*names: str) -> Callable[[Running], None]:
    """Return what pins another key for each name."""

    def pin(it: Running) -> None:
        for name in names:
            it.node.store.add_peer(NodeId(name), None, 1)
            it.node.store.pin(NodeId(name), [PrivateKey.generate().public], "operator", 1)

    return pin


def pins_the_sender(it: Running) -> None:
    """Pin a node that is in no pool."""
    it.node.store.add_peer(PINNED.node_id, None, 1)
    it.node.store.pin(PINNED.node_id, [PINNED.node_keys[0].public], "operator", 1)


NONCE = b"n" * 16
STRANGER = Identity(NodeId("stranger.example"), (PrivateKey.generate(),))
OURSELVES = replace(SENDER, node_id=NodeId("here.example"))
OUR_POOL = SENDER.pool_keys[0].public
COMPARED = {"type": "reconcile", "since": 0, "frame": "YQ", "scope": OTHER_POOL}
SLOW = {"body_seconds": 0.3}
FAULTS = {
    "claim-rate": Fault("too many requests of this sender", before=claimed),
    "header-size": Fault("the header has more than", saying(("x-long", "x" * 20_000))),
    "header-fields": Fault("is repeated", saying(("replicator-keys", "x"))),
    "media-type": Fault("unsupported-media-type", doing(media_type="text/plain")),
    "address-rate": Fault(
        "too many requests from this address",
        limits={"address_requests_per_second": 0.001, "address_burst_requests_max": 2},
        before=addressed,
    ),
    "open-requests": Fault(
        "too many requests are open", limits={"answers_in_flight_max": 1}, before=is_open
    ),
    "body-size": Fault("the body has more than", doing(declared=MESSAGE_BYTES + 1)),
    "body-time": Fault("no complete body within", doing(withheld=LATE), limits=SLOW),
    "body-room": Fault(
        "too much is in flight", limits={"in_flight_bytes_max": ROOM_BYTES}, before=fills
    ),
    "envelope": Fault("bad-signature", damaging("signature-input", lambda text: text + ";x=1")),
    "recipient": Fault("the request is for another node", doing(recipient="other.example")),
    "signatures": Fault(
        "bad-signature", damaging("signature", lambda text: text[:-9] + "AAAA" + text[-5:])
    ),
    "window": Fault("stale", doing(created=1)),
    "own-name": Fault("this node's own id", doing(sender=OURSELVES)),
    "pinned-key": Fault("key-changed", before=has_pinned("sender.example", "here.example")),
    "acquaintance": Fault("unknown-sender", doing(sender=STRANGER)),
    "compression": Fault("malformed", doing(encoding="gzip")),
    "nonce": Fault("replayed", doing(nonce=NONCE), before=knows_the_nonce),
    "sender-rate": Fault(
        "asks too often",
        limits={"peer_requests_per_second": 0.001, "peer_burst_requests_max": 2},
        before=asked_often,
    ),
    "sender-places": Fault("of this sender are under way", before=has_all_places),
    "document": Fault("malformed", asking(odd=1.5)),
    "versions": Fault("version-mismatch", asking(protocol="9.9")),
    "type": Fault("request type", asking(type="fly")),
    "turned-off": Fault("is turned off here", asking(**COMPARED), policy={"reconcile": "off"}),
}
FAULTS |= {
    "reading": Fault(
        "Reading is for", every(doing(sender=PINNED), asking(type="get")), before=pins_the_sender
    ),
    "giving": Fault(
        "Posts are taken",
        every(doing(sender=PINNED), asking(type="put", refs=[])),
        before=pins_the_sender,
    ),
    "pool-of-ours": Fault("whose key this node holds", asking(**COMPARED)),
    "comparing": Fault("Sets are compared with", doing(sender=PINNED), before=pins_the_sender),
    "items": Fault("too-large", asking(digests=["5e" * 32] * 501, refs=[{}] * 501)),
}


def wire(it: Running, plan: Plan) -> tuple[bytes, bytes]:
    """Return header and body of a request as planned."""
    body = json.dumps(plan.tree).encode()
    if plan.encoding:
        body = gzip.compress(body) + b"more"
    signed = envelope.sign_request(
        plan.sender.credentials(0),
        NodeId(plan.recipient),
        body,
        plan.media_type,
        created=plan.created or int(time.time()),
        nonce=plan.nonce or secrets.token_bytes(16),
        content_encoding=plan.encoding,
    )
    fields = {"content-type": plan.media_type, **signed.headers}
    if plan.encoding:
        fields["content-encoding"] = plan.encoding
    plan.damage(fields)
    pairs = [*fields.items(), *plan.more, ("content-length", plan.declared or len(body))]
    head = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return f"POST /v1/sync HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode(), body


def answer_to(it: Running, plan: Plan) -> str:
    """Send a request as planned; return the body of the answer."""
    head, body = wire(it, plan)
    with socket.create_connection(("127.0.0.1", it.sync_port), timeout=20) as client:
        client.sendall(head + body[: len(body) - plan.withheld])
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer.read().decode()


def told(tmp_path, *faults: Fault) -> str:
    """Return what a gateway answers to a request with all these faults, the first one's first."""
    limits = {name: value for one in faults for name, value in one.limits.items()}
    policy = {name: value for one in faults for name, value in one.policy.items()}
    node = make_node(tmp_path, limits_with(**limits))
    node = replace(node, policy=replace(node.policy, **policy))
    plan = Plan()
    with running(node) as it, it.worker(), ExitStack() as contexts:
        for fault in reversed(faults):
            fault.plan(plan)
            context = fault.before(it) if fault.before else None
            if context is not None:
                contexts.enter_context(context)
        return answer_to(it, plan)
