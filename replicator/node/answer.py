"""Answer one admitted request; the work behind the task `answer`.

Checks run in the order versions, type, arguments, policy (the envelope was checked by the
gateway). Nothing is saved before all of them have passed: then the sender is pinned on first
contact, its membership noted, and the request served. Nothing here ever waits for a peer.
A request that was answered already, or expired, is left alone.
"""

from dataclasses import dataclass

import structlog

from replicator.errors import ErrorCode, Malformed, NotSupported, Refusal, Unavailable
from replicator.limits import PROTOCOL_FLOOR as FLOOR
from replicator.node import comparing, roster, serving
from replicator.node.admission import sender_admission
from replicator.node.context import Node
from replicator.node.doorbells import due_now, ring
from replicator.node.health import note_request
from replicator.node.key_notes import note_keys
from replicator.node.ports import DoorbellKind, Receipt, RefusalRecord
from replicator.node.replies import Asker, ReplyTo, error_answer, reply
from replicator.protocol import codec
from replicator.protocol.messages import (
    MODEL_NAME,
    MODEL_VERSION,
    PROTOCOL_VERSION,
    REQUEST_TYPES,
    Answer,
    ErrorAnswer,
    Get,
    GetAnswer,
    Pull,
    Put,
    Reconcile,
    Request,
    RequestHead,
    Roster,
    request_type,
)
from replicator.rules import policy, trust

log = structlog.get_logger()

_BUSY_RETRY_SECONDS = 5
_BACK: tuple[DoorbellKind, ...] = ("announce", "fetch")
"""What a peer that is back is rung for at once; the tick rings for the rest in its time."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person reads of one answered request."""

    sender: str
    type: str
    outcome: str
    items: int = 0


def answer(node: Node, token: str) -> Answered:
    """Answer the request stored under ``token`` and hand the reply to its gateway."""
    taken = node.work.take_request(token)
    if taken is None:
        return Answered("", "", "gone")
    receipt, body = taken
    kind = "?"
    items = 0
    try:
        tree = codec.decode(receipt.media_type, body, node.limits)
        head = _check_versions(tree)
        kind = head.type
        request = _read_arguments(tree, head)
        sender = _admit(node, receipt, request)
        reply_with, items = _serve(node, receipt, request, sender)
    except Malformed as error:
        reply_with = _refused(node, receipt, Refusal(ErrorCode.MALFORMED, str(error)[:500]))
    except (Refusal, NotSupported) as error:
        reply_with = _refused(node, receipt, error)
    except Unavailable as error:
        log.warning("answer.unavailable", sender=receipt.sender, reason=str(error))
        refusal = Refusal(ErrorCode.BUSY, "try again", retry_after=_BUSY_RETRY_SECONDS)
        reply_with = error_answer(refusal, node.clock.now())
    except Exception:
        failure = Refusal(ErrorCode.UNEXPECTED, "an unexpected error; it is logged here")
        _send(node, receipt, error_answer(failure, node.clock.now()))
        raise
    _send(node, receipt, reply_with)
    outcome = reply_with.code if isinstance(reply_with, ErrorAnswer) else type(reply_with).__name__
    return Answered(receipt.sender, kind, outcome, items)


def _check_versions(tree: codec.Tree) -> RequestHead:
    head = codec.read(tree, RequestHead)
    if head.protocol != PROTOCOL_VERSION:
        raise Refusal(
            ErrorCode.VERSION_MISMATCH,
            f"protocol {head.protocol[:40]!r} is not spoken here, {PROTOCOL_VERSION} is",
        )
    if (head.model.name, head.model.version) != (MODEL_NAME, MODEL_VERSION):
        raise Refusal(
            ErrorCode.VERSION_MISMATCH,
            f"model {head.model.name[:40]!r} {head.model.version[:40]!r} is not held here, "
            f"{MODEL_NAME} {MODEL_VERSION} is",
        )
    return head


def _read_arguments(tree: codec.Tree, head: RequestHead) -> Request:
    match head.type:
        case "pull":
            pull = codec.read(tree, Pull)
            if pull.filter and pull.filter.nodes and pull.filter.except_nodes:
                raise Malformed("filter: nodes and except_nodes exclude each other")
            return pull
        case "get":
            return codec.read(tree, Get)
        case "put":
            put = codec.read(tree, Put)
            if (put.refs is None) == (put.models is None):
                raise Malformed("put: exactly one of refs and models is needed")
            return put
        case "reconcile":
            return codec.read(tree, Reconcile)
        case "roster":
            return codec.read(tree, Roster)
    raise NotSupported(f"request type {head.type[:40]!r}; known: {', '.join(REQUEST_TYPES)}")


def _admit(node: Node, receipt: Receipt, request: Request) -> policy.Sender:
    """Apply trust and policy, then pin on first contact and note proved membership."""
    signers = trust.Signers(receipt.sender, receipt.node_keys, receipt.pool_keys)
    admitted = sender_admission(node, signers)
    proved = node.identity.reach(admitted.pools)
    sender = policy.Sender(pinned=admitted.source != "open", pools=proved)
    policy.check_asking(_asking(node, request, sender))
    _remember(node, receipt, admitted)
    return sender


def _asking(node: Node, request: Request, sender: policy.Sender) -> policy.Asking:
    """Return a request as the rules see it."""
    scope = None if isinstance(request, Get | Put) else request.scope
    held = node.identity.reach(node.identity.pools)
    return policy.Asking(node.policy, request_type(request), sender, scope, held)


def _remember(node: Node, receipt: Receipt, admitted: trust.Admission) -> None:
    """Pin a new sender and note its membership, as long as there is place for one more peer.

    Beyond ``peers_max`` it is served like before its first contact: whoever holds the pool's key
    may read and give, and can invent any number of ids; rows for them it shall not make.
    """
    if admitted.source == "open":
        return
    sender, now = receipt.sender, node.clock.now()
    peer = node.store.peer(sender)
    if peer is None and admitted.pools:
        bound = node.limits.peers_max
        if not node.store.add_peer(sender, None, now, peers_max=bound):
            log.warning("answer.not_remembered", sender=sender, peers_max=bound)
            return
    if admitted.source in ("pool", "operator"):
        node.store.pin(sender, receipt.node_keys, admitted.source, now)
    is_new = admitted.pools and (peer is None or not admitted.pools <= peer.pools)
    if is_new and node.store.join_pools(sender, admitted.pools):
        due_now(node, [sender])
    note_keys(node, peer, admitted.oddity)
    if peer is not None and note_request(node, sender):
        for kind in _BACK:
            ring(node, kind, [sender], "it is back")


def _serve(
    node: Node, receipt: Receipt, request: Request, sender: policy.Sender
) -> tuple[Answer, int]:
    def fits(candidate: Answer) -> bool:
        # what every asker takes; a single post that was asked for by name may be larger
        single = isinstance(candidate, GetAnswer) and len(candidate.models or ()) <= 1
        bytes_max = node.limits.message_bytes_max if single else FLOOR["message_bytes_max"]
        encoded = codec.encode(receipt.media_type, codec.answer_tree(candidate))
        return len(encoded) <= bytes_max

    match request:
        case Pull():
            scopes = policy.visible_scopes(_asking(node, request, sender))
            return serving.pull(node, request, scopes, fits)
        case Get():
            scopes = policy.visible_scopes(_asking(node, request, sender))
            return serving.get(node, request, scopes, fits)
        case Put():
            return serving.put(node, request, receipt.sender, sender)
        case Reconcile():
            return comparing.answer(node, request)
        case Roster():
            return roster.answer(node, request, receipt.sender, fits)


def _refused(node: Node, receipt: Receipt, error: Refusal | NotSupported) -> Answer:
    code = error.code if isinstance(error, Refusal) else "not-supported"
    now = node.clock.now()
    node.work.note_refusal(RefusalRecord(now, receipt.sender, code, str(error)[:200]))
    return error_answer(error, now)


def _send(node: Node, receipt: Receipt, answer_document: Answer) -> None:
    asker = Asker(receipt.sender, receipt.base_digest, receipt.pool_keys)
    to = ReplyTo(receipt.token, receipt.media_type, asker, receipt.accepts_gzip)
    node.work.reply(receipt.gateway, reply(node, answer_document, to))
