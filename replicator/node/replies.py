"""Making answers: encode, compress where it pays, sign for a verified asker.

Pure but for the clock and the nonce. An answer to an asker whose signatures were not verified is
unsigned, so that it can cause no more than back-off.
"""

import secrets
from dataclasses import dataclass

from replicator.errors import ErrorCode, NotSupported, Refusal
from replicator.node.context import Node
from replicator.node.ports import Reply
from replicator.protocol import codec, compression, envelope, http_status
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.messages import (
    MODEL_VERSION,
    PROTOCOL_VERSION,
    Answer,
    ErrorAnswer,
    UnsupportedAnswer,
)

_COMPRESS_FROM_BYTES = 1024
"""Below this a compressed answer saves less than it costs."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Whom a signed answer goes to, and the request it answers."""

    node_id: NodeId
    base_digest: str
    pool_keys: tuple[KeyText, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where an answer goes and in which form; ``asker`` is None where nobody was verified."""

    token: str
    media_type: str
    asker: Asker | None
    accepts_gzip: bool = False


def error_answer(error: Refusal | NotSupported, now: int) -> Answer:
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


def reply(node: Node, answer: Answer, to: ReplyTo) -> Reply:
    """Make the HTTP reply that carries an answer.

    It is signed by the node key, and by those pool keys of ours that signed the request and that
    this process has: a gateway may have none, and the node key is what answers are pinned to.
    """
    body = codec.encode(to.media_type, codec.answer_tree(answer))
    headers = {"content-type": to.media_type}
    encoding = None
    if to.accepts_gzip and len(body) >= _COMPRESS_FROM_BYTES:
        encoding = compression.GZIP
        body = compression.deflate(body)
        headers["content-encoding"] = encoding
    if isinstance(answer, ErrorAnswer) and answer.retry_after is not None:
        headers["retry-after"] = str(answer.retry_after)
    if to.asker is not None:
        signed = envelope.sign_answer(
            node.identity.credentials(
                node.clock.now(), set(to.asker.pool_keys).difference(node.identity.public_pools)
            ),
            to.asker.node_id,
            body,
            to.media_type,
            in_reply_to=to.asker.base_digest,
            created=node.clock.now() // 1000,
            nonce=secrets.token_bytes(16),
            content_encoding=encoding,
        )
        headers.update(signed.headers)
    return Reply(to.token, http_status.of(answer), tuple(headers.items()), body)
