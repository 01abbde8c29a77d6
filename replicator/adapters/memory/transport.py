"""Calls between nodes of one process: the twin of `HttpTransport`, without sockets.

A call is admitted, answered and replied to by the very use cases that gateway and worker run, in
the caller's thread and time. What the gateway does besides (rates, room, deadlines) is left out.
An address can be cut off, as a network does. Bodies cross as bytes, so nothing but the wire
format passes from one node to the other.
"""

from collections.abc import Mapping

from replicator.adapters.memory.work import MemoryWorkState
from replicator.errors import BadAnswer, ErrorCode, PeerUnavailable, Refusal
from replicator.node import admission, node_page
from replicator.node.admission import Refused
from replicator.node.answer import answer
from replicator.node.contact import NODE_PATH
from replicator.node.context import Node
from replicator.node.conversation import SYNC_PATH
from replicator.node.ports import Reply, WireAnswer
from replicator.protocol import codec, compression

_GATEWAY = "loop"


class LoopTransport:
    """Deliver calls to the nodes of this process.

    Args:
        nodes: base URL → node. It is looked at on every call, so that nodes may join later (a
            node is made with its transport); their work state must be a `MemoryWorkState`.
    """

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._cut: set[str] = set()

    def cut(self, address: str) -> None:
        """Let nobody reach ``address`` any more."""
        self._cut.add(address)

    def mend(self, address: str) -> None:
        """Let ``address`` be reached again."""
        self._cut.discard(address)

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        """Have the node at ``url`` answer one request; as `Transport.post`."""
        node = self._reach(url, SYNC_PATH)
        return _wire_answer(_replied(node, headers, body), bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        """Read the node document at ``url``; as `Transport.get`."""
        node = self._reach(url, NODE_PATH)
        document = codec.encode(codec.JSON, node_page.current(node))
        return _wire_answer(Reply("", 200, (("content-type", codec.JSON),), document), bytes_max)

    def _reach(self, url: str, path: str) -> Node:
        address = url.removesuffix(path)
        node = self._nodes.get(address)
        if address == url or node is None or address in self._cut:
            raise PeerUnavailable(f"nobody answers at {url}")
        return node


def _replied(node: Node, headers: Mapping[str, str], wire_body: bytes) -> Reply:
    """Do what a gateway and then a worker do with one request."""
    media_type = codec.JSON
    try:
        media_type = codec.media_type_of(headers.get("content-type"))
        verdict = admission.admit(
            node,
            headers,
            wire_body,
            media_type=media_type,
            gateway=_GATEWAY,
            received_at=node.clock.now(),
        )
        if isinstance(verdict, Refused):
            return admission.refuse(node, verdict, token="", media_type=media_type)
        receipt = verdict.receipt
        body = inflated(headers, wire_body, node.limits.message_bytes_max)
        entry = node.work.admit(receipt, verdict.nonce, body, receipt.received_at)
        if entry:
            return _answered(node, receipt.token)
        refused = admission.refused_entry(entry, receipt)
        return admission.refuse(node, refused, token="", media_type=media_type)
    except Refusal as refusal:
        return admission.refuse(node, Refused(refusal), token="", media_type=media_type)


def _answered(node: Node, token: str) -> Reply:
    if not isinstance(node.work, MemoryWorkState):
        raise TypeError("nodes of a LoopTransport need a MemoryWorkState")
    answer(node, token)
    replies = {reply.token: reply for reply in node.work.take_replies(_GATEWAY)}
    return replies[token]


def inflated(headers: Mapping[str, str], wire_body: bytes, bytes_max: int) -> bytes:
    """Return a body as it was before compression; raise `Refusal` where it is none of ours."""
    match headers.get("content-encoding"):
        case None:
            return wire_body
        case compression.GZIP:
            return compression.inflate(wire_body, bytes_max)
    raise Refusal(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "the only content encoding taken is gzip")


def _wire_answer(reply: Reply, bytes_max: int) -> WireAnswer:
    headers = dict(reply.headers)
    try:
        body = inflated(headers, reply.body, bytes_max)
    except Refusal as refusal:
        too_large = refusal.code == ErrorCode.TOO_LARGE
        raise BadAnswer(refusal.message, about_items=too_large and _is_signed(headers)) from refusal
    if len(body) > bytes_max:
        reason = f"the answer has more than {bytes_max} bytes"
        raise BadAnswer(reason, about_items=_is_signed(headers))
    return WireAnswer(reply.status, headers, body, reply.body)


def _is_signed(headers: Mapping[str, str]) -> bool:
    return "signature" in headers
