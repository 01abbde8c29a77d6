"""The part of a request's admission that computes or asks a service, apart from the event loop.

Everything here blocks and is called in threads. A request that passes is stored for its worker,
once per nonce; one that does not gets its complete reply here, signed where its sender was
verified. Nothing of a request's body or headers is logged.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from replicator.errors import ErrorCode, Refusal, Unavailable
from replicator.gateway.bounds import RETRY_SECONDS, Rates
from replicator.node import admission
from replicator.node.admission import Admitted, Refused
from replicator.node.context import Node
from replicator.node.ports import Receipt, RefusalRecord, Reply
from replicator.node.replies import Asker
from replicator.protocol.compression import inflate

log = structlog.get_logger(__name__)

_NOT_NOTED: Final = frozenset(
    # what a healthy peer meets by itself: the operator has nothing to do about these
    {ErrorCode.STALE, ErrorCode.REPLAYED, ErrorCode.BUSY}
    # what anybody can cause under any name
    | {ErrorCode.UNKNOWN_SENDER}
)
"""Refusals of which no record is kept."""
_NOTED_PER_SECOND: Final = 1 / 60
_NOTED_AT_ONCE: Final = 3
"""Records of one sender and code: also a stranger can sign in a peer's name (`key-changed`), and
must not push out what was found of others."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body has been read, as admission needs it."""

    headers: Mapping[str, str]
    body: bytes
    media_type: str
    received_at: int


class Door:
    """Admits requests to one node.

    Args:
        node: the node; its store and work state may be used by several threads.
        gateway: the reply list of this process.
    """

    def __init__(self, node: Node, gateway: str) -> None:
        self._node = node
        self._gateway = gateway
        self._noted = Rates(_NOTED_PER_SECOND, _NOTED_AT_ONCE, node.limits.addresses_max)

    def admit(self, request: Request) -> Receipt | Reply:
        """Check a request and store it for its worker; a `Reply` is what it is refused with."""
        verdict: Admitted | Refused
        try:
            verdict = admission.admit(
                self._node,
                request.headers,
                request.body,
                media_type=request.media_type,
                gateway=self._gateway,
                received_at=request.received_at,
            )
        except Unavailable as error:
            return self.refuse(Refused(busy(error)), request.media_type)
        if isinstance(verdict, Admitted):
            refused = self._store(verdict, request)
            if refused is None:
                return verdict.receipt
            verdict = refused
        self._note(verdict)
        return self.refuse(verdict, request.media_type)

    def _store(self, admitted: Admitted, request: Request) -> Refused | None:
        receipt = admitted.receipt
        try:
            body = request.body
            if "content-encoding" in request.headers:
                body = inflate(body, self._node.limits.message_bytes_max)
            entry = self._node.work.admit(receipt, admitted.nonce, body, request.received_at)
        except Refusal as refusal:
            return Refused(refusal, asker_of(receipt))
        except Unavailable as error:
            return Refused(busy(error), asker_of(receipt))
        return None if entry else admission.refused_entry(entry, receipt)

    def forget(self, token: str) -> None:
        """Drop what was stored of a request that nobody waits for; elsewhere it goes by itself."""
        with suppress(Unavailable):
            self._node.work.forget_request(token)

    def _note(self, refused: Refused) -> None:
        """Keep what a verified sender was refused; the words of strangers are not worth keeping."""
        refusal, asker = refused.refusal, refused.asker
        if asker is None or refusal.code in _NOT_NOTED:
            return
        if asker.node_id == self._node.identity.node_id:  # nobody who has this name asks here
            return
        if not self._noted.allows(f"{asker.node_id} {refusal.code}", self._node.clock.monotonic()):
            return
        now = self._node.clock.now()
        log.debug("gateway.refused", sender=asker.node_id, code=refusal.code)
        with suppress(Unavailable):
            self._node.work.note_refusal(
                RefusalRecord(now, asker.node_id, refusal.code, refusal.message)
            )

    def refuse(self, refused: Refused, media_type: str) -> Reply:
        """Make the reply to a refused request; signed where its asker was verified."""
        return admission.refuse(self._node, refused, token="", media_type=media_type)


def asker_of(receipt: Receipt) -> Asker:
    """Return whom the answer to an admitted request goes to."""
    return Asker(receipt.sender, receipt.base_digest, receipt.pool_keys)


def busy(error: Unavailable | TimeoutError) -> Refusal:
    """Return what an asker hears while a service of ours is away; its details stay here."""
    log.warning("gateway.unavailable", kind=type(error).__name__, error=str(error))
    return Refusal(
        ErrorCode.BUSY, "this node cannot take requests for now", retry_after=RETRY_SECONDS
    )
