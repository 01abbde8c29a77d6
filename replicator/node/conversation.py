"""One signed question to a peer and its verified answer.

A request is signed anew for every try; the transport never retries by itself. An answer counts
only when it is signed by a key pinned for the peer and bound to the very request. What is learned
on the way (the peer's clock, its pools, a first pin) is saved here; what the answer holds is the
caller's business. Nothing here stores posts or moves cursors.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from replicator.errors import (
    BadAnswer,
    ErrorCode,
    KeyChanged,
    Malformed,
    PeerRefused,
    PeerUnavailable,
    Refusal,
)
from replicator.node.context import Node
from replicator.node.doorbells import due_now
from replicator.node.key_notes import note_keys
from replicator.node.ports import Peer, WireAnswer
from replicator.protocol import codec, compression, envelope
from replicator.protocol.ids import KeyText
from replicator.protocol.messages import (
    Answer,
    ErrorAnswer,
    Get,
    GetAnswer,
    Pull,
    PullAnswer,
    Put,
    PutAnswer,
    Reconcile,
    ReconcileAnswer,
    Request,
    Roster,
    RosterAnswer,
    UnsupportedAnswer,
)
from replicator.rules import trust

SYNC_PATH = "/v1/sync"
_COMPRESS_FROM_BYTES = 4 * 1024
"""Below this a compressed body saves less than it costs."""
_PAUSES = frozenset({429, 503})
"""Statuses whose Retry-After is honoured, as whole seconds (RFC 9110, section 10.2.3)."""
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
_TRIES_MAX = 3
"""Of one call: once more with a corrected clock, once more with a new nonce."""


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A signed request, ready to be sent once."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    base_digest: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A verified answer, and the pools of ours whose key co-signed it."""

    answer: Answer
    pools: frozenset[KeyText]


def prepare(
    node: Node, peer: Peer, request: Request, media_type: str = codec.JSON, *, compress: bool = True
) -> PreparedCall:
    """Encode and sign a request for a peer, with its clock's offset counted in.

    Raises:
        PeerUnavailable: no address is known for the peer.
    """
    if peer.address is None:
        raise PeerUnavailable(f"no address is known for {peer.id}")
    body = codec.encode(media_type, codec.request_tree(request))
    encoding = None
    if compress and len(body) >= _COMPRESS_FROM_BYTES:
        body, encoding = compression.deflate(body), compression.GZIP
    theirs_ms = node.clock.now() + peer.clock_offset_ms  # as it says: it may say nonsense
    signed = envelope.sign_request(
        node.identity.credentials(node.clock.now()),
        peer.id,
        body,
        media_type,
        created=min(max(0, theirs_ms // 1000), envelope.CREATED_MAX),
        nonce=secrets.token_bytes(16),
        content_encoding=encoding,
    )
    headers = {"content-type": media_type, "accept-encoding": compression.GZIP, **signed.headers}
    if encoding is not None:
        headers["content-encoding"] = encoding
    return PreparedCall(peer.address.rstrip("/") + SYNC_PATH, headers, body, signed.base_digest)


def call(node: Node, peer: Peer, request: Request, media_type: str = codec.JSON) -> Answer:
    """Ask a peer; return its successful answer (`PullAnswer`, `GetAnswer` or `PutAnswer`).

    Raises:
        PeerUnavailable: not reached in time, ``busy``, or an unsigned error (with its wait).
        PeerRefused: a signed error or *not supported*.
        BadAnswer: what came is no valid, signed answer to this request (``about_items``: the peer
            did sign it, and it cannot be read).
        KeyChanged: it is signed, but under none of the keys pinned for the peer.
    """
    return hear(node, peer, request, media_type).answer


def hear(
    node: Node,
    peer: Peer,
    request: Request,
    media_type: str = codec.JSON,
    *,
    seconds_max: float | None = None,
) -> Heard:
    """As `call`, with the pools that co-signed the answer; all tries share one deadline.

    Args:
        seconds_max: until that deadline; None is ``peer_call_seconds``.
    """
    deadline = node.clock.monotonic() + (seconds_max or node.limits.peer_call_seconds)
    for last_try in (False,) * (_TRIES_MAX - 1) + (True,):
        sent = prepare(node, peer, request, media_type)
        seconds = deadline - node.clock.monotonic()
        if seconds <= 0:
            raise PeerUnavailable(f"{peer.id} took all its time without an answer")
        got = node.transport.post(
            sent.url,
            sent.headers,
            sent.body,
            seconds=seconds,
            bytes_max=node.limits.message_bytes_max,
        )
        heard = verify_answer(node, peer, got, sent.base_digest, media_type, request)
        if isinstance(heard.answer, ErrorAnswer):
            if not last_try and heard.answer.code == ErrorCode.STALE:
                peer = _learn_clock(node, peer, heard.answer)
                continue
            if not last_try and heard.answer.code == ErrorCode.REPLAYED:
                continue
        return _successful(heard)
    raise AssertionError("the last try returns or raises")


def verify_answer(
    node: Node,
    peer: Peer,
    got: WireAnswer,
    base_digest: str,
    media_type: str,
    request: Request,
) -> Heard:
    """Check an HTTP answer against its request and the peer's pins; read its document."""
    if "signature" not in got.headers:
        raise _unsigned(node, got, media_type)
    try:
        message = envelope.parse(got.headers, node.limits)
        envelope.check_digest(message, got.wire_body)
        envelope.verify(message)
    except (Refusal, Malformed) as error:
        raise BadAnswer(f"{peer.id} answered with a bad envelope: {error}") from error
    bound = (message.tag, message.sender, message.recipient, message.in_reply_to)
    if bound != (envelope.ANSWER_TAG, peer.id, node.identity.node_id, base_digest):
        raise BadAnswer(f"the answer of {peer.id} is not bound to our request")
    node_keys = [key for key, role in message.keys if role == "node"]
    pools = node.identity.pools & {key for key, role in message.keys if role == "pool"}
    _check_pin(node, peer, node_keys, pools)
    if not pools <= peer.pools and node.store.join_pools(peer.id, pools):
        due_now(node, [peer.id])
    return Heard(_read(node, got, media_type, request), pools)


def _check_pin(node: Node, peer: Peer, node_keys: list[KeyText], pools: frozenset[KeyText]) -> None:
    """Require a pinned key, or pin on first sync: the operator added the peer's address."""
    pins = node.store.pins(peer.id)
    if not trust.standing_among(trust.states_at(pins, node.clock.now())):
        source = "pool" if pools else "address"
        node.store.pin(peer.id, node_keys, source, node.clock.now())
        pins = node.store.pins(peer.id)
    states = trust.states_at(pins, node.clock.now())
    note_keys(node, peer, trust.oddity(node_keys, states))
    if not trust.current_among(states).intersection(node_keys):
        raise KeyChanged(f"{peer.id} answers under another key than the one pinned for it")


def _read(node: Node, got: WireAnswer, media_type: str, request: Request) -> Answer:
    expected: type[Answer]
    match request:
        case Pull():
            expected = PullAnswer
        case Get():
            expected = GetAnswer
        case Put():
            expected = PutAnswer
        case Reconcile():
            expected = ReconcileAnswer
        case Roster():
            expected = RosterAnswer
    try:
        if codec.media_type_of(got.headers.get("content-type")) != media_type:
            raise Malformed("the answer is in another encoding than the request")
        return codec.read_answer(codec.decode(media_type, got.body, node.limits), expected)
    except (Malformed, Refusal) as error:
        # its envelope was verified: the peer itself said this, about what it was asked for
        raise BadAnswer(f"the answer is no answer document: {error}", about_items=True) from error


def _unsigned(node: Node, got: WireAnswer, media_type: str) -> PeerUnavailable | BadAnswer:
    """An unsigned answer may cause back-off, nothing else; anybody may ask for a pause."""
    asked = got.headers.get("retry-after", "") if got.status in _PAUSES else ""
    wait = int(asked) if _SECONDS.fullmatch(asked) else None
    try:
        answer = codec.read_answer(codec.decode(media_type, got.body, node.limits), PullAnswer)
    except Malformed:
        what = f"status {got.status} with something else than an answer document"
        return BadAnswer(what) if wait is None else PeerUnavailable(what, retry_after=wait)
    if isinstance(answer, ErrorAnswer):
        wait = wait if answer.retry_after is None else answer.retry_after
        return PeerUnavailable(
            f"unsigned {answer.code[:40]}: {answer.message[:200]}", retry_after=wait
        )
    return BadAnswer("a successful answer that is not signed")


def _successful(heard: Heard) -> Heard:
    match heard.answer:
        case ErrorAnswer(code=ErrorCode.BUSY.value) as busy:
            raise PeerUnavailable(f"busy: {busy.message[:200]}", retry_after=busy.retry_after)
        case ErrorAnswer() as error:
            raise PeerRefused(error.code, error.message[:200], time_ms=error.time)
        case UnsupportedAnswer() as unsupported:
            raise PeerRefused("not-supported", unsupported.message[:200])
    return heard


def _learn_clock(node: Node, peer: Peer, stale: ErrorAnswer) -> Peer:
    """Keep the peer's clock offset, from its signed word, and return the peer with it."""
    if stale.time is None:
        raise PeerRefused(stale.code, stale.message[:200])
    node.store.set_clock_offset(peer.id, stale.time - node.clock.now())
    learned = node.store.peer(peer.id)
    if learned is None:
        raise PeerUnavailable(f"{peer.id} was forgotten meanwhile")
    return learned
