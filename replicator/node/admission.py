"""What the gateway decides before anything is enqueued, and the answers it makes by itself.

Reads pins and peers from the store; writes nothing but a note to look at a peer's keys. Checks
stand in the order of their cost: envelope syntax, recipient, digest of the body, signatures,
window, pin. A refusal after the signatures were verified is signed; one before them is not, so
that it can cause no more than back-off at the asker.
"""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from replicator.errors import ErrorCode, Malformed, Refusal
from replicator.node.context import Node
from replicator.node.key_notes import note_keys
from replicator.node.ports import Entry, Receipt, Reply
from replicator.node.replies import Asker, ReplyTo, error_answer, reply
from replicator.protocol import compression, envelope
from replicator.rules.trust import (
    Acquaintance,
    Admission,
    Signers,
    admit_sender,
    standing_among,
    states_at,
)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may be enqueued: `WorkState.admit` takes the receipt and the nonce."""

    receipt: Receipt
    nonce: str


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
        signers = Signers(message.sender, message.keys_of("node"), message.keys_of("pool"))
        asker = Asker(message.sender, message.base_digest, signers.pool_keys)
        envelope.check_window(message, received_at, node.limits.window_seconds)
        sender_admission(node, signers)
    except Malformed as error:
        return Refused(Refusal(ErrorCode.BAD_SIGNATURE, str(error)), asker)
    except Refusal as refusal:
        return Refused(refusal, asker)
    receipt = Receipt(
        token=secrets.token_urlsafe(18),
        gateway=gateway,
        sender=message.sender,
        node_keys=signers.node_keys,
        pool_keys=signers.pool_keys,
        media_type=media_type,
        base_digest=message.base_digest,
        received_at=received_at,
        accepts_gzip=compression.accepts(headers.get("accept-encoding", "")),
    )
    return Admitted(receipt, message.nonce)


def refused_entry(entry: Entry, receipt: Receipt) -> Refused:
    """Return what a sender hears whose request the work state did not take.

    That it asks too often is said unsigned: of many such answers each has to be cheap.
    """
    if entry.replayed:
        asker = Asker(receipt.sender, receipt.base_digest, receipt.pool_keys)
        message = "the nonce was used before; sign the request again"
        return Refused(Refusal(ErrorCode.REPLAYED, message), asker)
    seconds = max(1, math.ceil(entry.wait_ms / 1000))
    message = f"{receipt.sender} asks too often"
    return Refused(Refusal(ErrorCode.BUSY, message, retry_after=seconds))


def sender_admission(node: Node, signers: Signers) -> Admission:
    """Apply the trust rules to a sender whose signatures verified; raise `Refusal`.

    A known peer under other keys is refused, and noted to be looked at.
    """
    if signers.sender == node.identity.node_id:
        raise Refusal(ErrorCode.FORBIDDEN, "the sender has this node's own id")
    pins = states_at(node.store.pins(signers.sender), node.clock.now())
    added = not standing_among(pins) and node.store.peer(signers.sender) is not None
    try:
        return admit_sender(
            signers,
            Acquaintance(pins, added),
            node.identity.pools,
            reads_are_open=node.policy.reads_are_open,
        )
    except Refusal as refusal:
        if refusal.code == ErrorCode.KEY_CHANGED:
            note_keys(node, node.store.peer(signers.sender), "strange")
        raise


def refuse(node: Node, refused: Refused, *, token: str, media_type: str) -> Reply:
    """Make the reply to a refused request; signed where its asker was verified."""
    answer = error_answer(refused.refusal, node.clock.now())
    return reply(node, answer, ReplyTo(token, media_type, refused.asker))


def _check_recipient(node: Node, message: envelope.Envelope) -> None:
    if message.tag != envelope.REQUEST_TAG:
        raise Refusal(ErrorCode.BAD_SIGNATURE, "the message is not signed as a request")
    if message.recipient != node.identity.node_id:
        raise Refusal(
            ErrorCode.FORBIDDEN, f"the request is for another node than {node.identity.node_id}"
        )
