"""What the gateway decides before anything is enqueued, and the answers it makes by itself.

Reads pins and peers from the store; writes nothing. Checks stand in the order of their cost:
envelope syntax, recipient, digest of the body, signatures, window, pin. A refusal after the
signatures were verified is signed; one before them is not, so that it can cause no more than
back-off at the asker.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from replicator.errors import ErrorCode, Malformed, NotSupported, Refusal
from replicator.node.context import Node
from replicator.node.ports import Receipt, Reply
from replicator.protocol import codec, envelope, http_status
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.messages import (
    MODEL_VERSION,
    PROTOCOL_VERSION,
    Answer,
    ErrorAnswer,
    UnsupportedAnswer,
)
from replicator.rules.trust import Admission, admit_sender


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may be enqueued: `WorkState.admit` takes the receipt and the nonce."""

    receipt: Receipt
    nonce: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Whom a signed answer goes to, and the request it answers."""

    node_id: NodeId
    base_digest: str
    pool_keys: tuple[KeyText, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that gets an error answer; signed where the asker was verified."""

    refusal: Refusal
    asker: Asker | None = None


def admit(
    node: Node,
    headers: Mapping[str, str],
    wire_body: bytes,
    *,
    media_type: str,
    gateway: str,
    received_at: int,
) -> Admitted | Refused:
    """Decide whether a request may be enqueued.

    Args:
        headers: lower-case names; the gateway has refused repeated ones.
        wire_body: the transmitted bytes, before decompression.
        media_type: of the body, one of `codec`'s.
        gateway: the reply list of the gateway process.
        received_at: ms since the epoch, by this node's clock.
    """
    asker: Asker | None = None
    try:
        message = envelope.parse(headers, node.limits)
        _check_recipient(node, message)
        envelope.check_digest(message, wire_body)
        envelope.verify(message)
        asker = Asker(message.sender, message.base_digest, _keys(message, "pool"))
        envelope.check_window(message, received_at, node.limits.window_seconds)
        sender_admission(node, message.sender, _keys(message, "node"), _keys(message, "pool"))
    except Malformed as error:
        return Refused(Refusal(ErrorCode.BAD_SIGNATURE, str(error)), asker)
    except Refusal as refusal:
        return Refused(refusal, asker)
    receipt = Receipt(
        token=secrets.token_urlsafe(18),
        gateway=gateway,
        sender=message.sender,
        node_keys=_keys(message, "node"),
        pool_keys=_keys(message, "pool"),
        media_type=media_type,
        base_digest=message.base_digest,
        received_at=received_at,
        accepts_gzip="gzip" in headers.get("accept-encoding", ""),
    )
    return Admitted(receipt, message.nonce)


def sender_admission(
    node: Node, sender: NodeId, node_keys: tuple[KeyText, ...], pool_keys: tuple[KeyText, ...]
) -> Admission:
    """Apply the trust rules to a sender whose signatures verified; raise `Refusal`."""
    if sender == node.identity.node_id:
        raise Refusal(ErrorCode.FORBIDDEN, "the sender has this node's own id")
    pins = {pin.key: pin.state for pin in node.store.pins(sender)}
    return admit_sender(
        sender,
        node_keys,
        pool_keys,
        pins=pins,
        held=node.identity.pools,
        added_by_operator=not pins and node.store.peer(sender) is not None,
        reads_are_open=node.policy.reads_are_open,
    )


def error_answer(node: Node, error: Refusal | NotSupported, now: int) -> Answer:
    """Return the answer document for a refusal, with what its code promises besides."""
    if isinstance(error, NotSupported):
        return UnsupportedAnswer(message=str(error))
    mismatch = error.code is ErrorCode.VERSION_MISMATCH
    return ErrorAnswer(
        code=error.code,
        message=error.message,
        versions=(PROTOCOL_VERSION,) if mismatch else (),
        model_versions=(MODEL_VERSION,) if mismatch else (),
        time=now if error.code is ErrorCode.STALE else None,
        retry_after=error.retry_after,
    )


def refuse(node: Node, refused: Refused, *, token: str, media_type: str) -> Reply:
    """Make the reply to a refused request; signed where its asker was verified."""
    now = node.clock.now()
    answer = error_answer(node, refused.refusal, now)
    body = codec.encode(media_type, codec.answer_tree(answer))
    return make_reply(node, answer, body, token=token, media_type=media_type, asker=refused.asker)


def make_reply(
    node: Node,
    answer: Answer,
    body: bytes,
    *,
    token: str,
    media_type: str,
    asker: Asker | None,
    content_encoding: str | None = None,
) -> Reply:
    """Wrap an encoded answer into an HTTP reply, signed for ``asker`` where there is one.

    It is signed by the node key, and by those shared pool keys that signed the request.
    """
    headers = {"content-type": media_type}
    if content_encoding is not None:
        headers["content-encoding"] = content_encoding
    if isinstance(answer, ErrorAnswer) and answer.retry_after is not None:
        headers["retry-after"] = str(answer.retry_after)
    if asker is not None:
        signed = envelope.sign_answer(
            node.identity.credentials(asker.pool_keys),
            asker.node_id,
            body,
            media_type,
            in_reply_to=asker.base_digest,
            created=node.clock.now() // 1000,
            nonce=secrets.token_bytes(16),
            content_encoding=content_encoding,
        )
        headers.update(signed.headers)
    return Reply(token, http_status.of(answer), tuple(headers.items()), body)


def _check_recipient(node: Node, message: envelope.Envelope) -> None:
    if message.tag != envelope.REQUEST_TAG:
        raise Refusal(ErrorCode.BAD_SIGNATURE, "the message is not signed as a request")
    if message.recipient != node.identity.node_id:
        raise Refusal(
            ErrorCode.FORBIDDEN, f"the request is for another node than {node.identity.node_id}"
        )


def _keys(message: envelope.Envelope, role: envelope.Role) -> tuple[KeyText, ...]:
    return tuple(key for key, its_role in message.keys if its_role == role)

