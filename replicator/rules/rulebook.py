"""All rules of admission in the order in which they are asked, for the operator and for review.

Pure data. `ARRIVING` is asked of every request before a worker hears of it, cheap checks before
dear ones and all of them before anything is stored; `policy.ASKING` of what a request wants; the
rest of each post. The first rule that refuses decides. Rules with a predicate are the very ones
that are evaluated; of the others ``place`` names the module that asks them, in this order.
"""

from collections.abc import Sequence
from typing import Any, Final

from replicator.errors import ErrorCode
from replicator.rules.policy import ASKING, OFF
from replicator.rules.quotas import OVER
from replicator.rules.rule import Rule
from replicator.rules.taking import POSTS, REFS

_GATE: Final = "replicator.gateway.sync"
_HTTP: Final = "replicator.gateway.asgi"
_DOOR: Final = "replicator.gateway.door"
_ADMISSION: Final = "replicator.node.admission"
_ENVELOPE: Final = "replicator.protocol.envelope"
_TRUST: Final = "replicator.rules.trust"
_ANSWER: Final = "replicator.node.answer"
_SERVING: Final = "replicator.node.serving"
_POST: Final = "replicator.protocol.post"
_OBJECTIONS: Final = "replicator.node.objections"
_QUOTAS: Final = "replicator.node.quotas"
_STORE: Final = "replicator.node.ports.store"


def _at(place: str, name: str, reason: str, says: str, *settings: str) -> Rule[Any]:
    return Rule(name, reason, says, settings, None, place)


ARRIVING: Final[tuple[Rule[Any], ...]] = (
    _at(
        _GATE,
        "claim-rate",
        ErrorCode.BUSY,
        "Who says it is one sender asks only so often from one address; nothing is proved yet, so "
        "it counts for no other address.",
        "limits.peer_requests_per_second",
        "limits.peer_burst_requests_max",
    ),
    _at(
        _HTTP,
        "header-size",
        ErrorCode.TOO_LARGE,
        "All header fields together have at most so many bytes.",
        "limits.header_bytes_max",
    ),
    _at(
        _HTTP,
        "header-fields",
        ErrorCode.MALFORMED,
        "A field of the envelope, or one that decides how the body is read, stands once.",
    ),
    _at(
        _GATE,
        "media-type",
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        "Bodies are JSON or XML in UTF-8, plain or gzip.",
    ),
    _at(
        _GATE,
        "address-rate",
        ErrorCode.BUSY,
        "One address, or one /64 of IPv6, asks only so often.",
        "limits.address_requests_per_second",
        "limits.address_burst_requests_max",
    ),
    _at(
        _GATE,
        "open-requests",
        ErrorCode.BUSY,
        "Only so many requests are open at a time, and of one address only a share of them.",
        "limits.answers_in_flight_max",
        "limits.address_share",
    ),
    _at(
        _HTTP,
        "body-size",
        ErrorCode.TOO_LARGE,
        "A body has at most so many bytes, before and after decompression.",
        "limits.message_bytes_max",
    ),
    _at(
        _HTTP,
        "body-time",
        ErrorCode.MALFORMED,
        "A body is complete within so many seconds.",
        "limits.body_seconds",
    ),
    _at(
        _HTTP,
        "body-room",
        ErrorCode.BUSY,
        "All bodies in hand together have at most so many bytes, those of one address a share.",
        "limits.in_flight_bytes_max",
        "limits.address_share",
    ),
    _at(
        _ENVELOPE,
        "envelope",
        ErrorCode.BAD_SIGNATURE,
        "The envelope has its one form, that of a request, with so many signatures at most.",
        "limits.envelope_signatures_max",
    ),
    _at(_ADMISSION, "recipient", ErrorCode.FORBIDDEN, "The request is signed for this node."),
    _at(
        _ENVELOPE,
        "signatures",
        ErrorCode.BAD_SIGNATURE,
        "The digest is that of the body, and every listed key signed.",
    ),
    _at(
        _ENVELOPE,
        "window",
        ErrorCode.STALE,
        "The signature was made at most so many seconds before or after now.",
        "limits.window_seconds",
    ),
    _at(
        _ADMISSION, "own-name", ErrorCode.FORBIDDEN, "No sender has this node's own id.", "node_id"
    ),
    _at(
        _TRUST,
        "pinned-key",
        ErrorCode.KEY_CHANGED,
        "A sender whose keys are pinned signs with one that is current.",
    ),
    _at(
        _TRUST,
        "acquaintance",
        ErrorCode.UNKNOWN_SENDER,
        "Another sender signs with a pool key of ours, was added by the operator, or may read "
        "because reading is open.",
        "pull",
        "get",
    ),
    _at(
        _DOOR,
        "compression",
        ErrorCode.MALFORMED,
        "A compressed body is exactly one gzip member within the bound on bodies.",
        "limits.message_bytes_max",
    ),
    _at(
        _DOOR,
        "nonce",
        ErrorCode.REPLAYED,
        "A nonce of a sender is used once; it is remembered for twice the window.",
        "limits.window_seconds",
    ),
    _at(
        _DOOR,
        "sender-rate",
        ErrorCode.BUSY,
        "A proved sender asks only so often, wherever it comes from.",
        "limits.peer_requests_per_second",
        "limits.peer_burst_requests_max",
    ),
    _at(
        _GATE,
        "sender-places",
        ErrorCode.BUSY,
        "Of one proved sender only so many requests are under way at a time.",
        "limits.peer_open_requests_max",
    ),
)
"""Asked of each request before anything is enqueued."""

READING: Final[tuple[Rule[Any], ...]] = (
    _at(
        _ANSWER,
        "document",
        ErrorCode.MALFORMED,
        "The body is a document of the protocol, nested only so deep, of so many values at most.",
        "limits.json_depth_max",
        "limits.document_parts_max",
    ),
    _at(
        _ANSWER,
        "versions",
        ErrorCode.VERSION_MISMATCH,
        "Protocol and model have the versions that are spoken here.",
    ),
    _at(_ANSWER, "type", OFF, "The request type is known here."),
)
"""Asked of each document by the worker that answers."""

COUNTING: Final[tuple[Rule[Any], ...]] = (
    _at(
        _SERVING,
        "items",
        ErrorCode.TOO_LARGE,
        "A message has at most so many refs, posts, or ids and digests together.",
        "limits.items_max",
    ),
)

FORM: Final[tuple[Rule[Any], ...]] = (
    _at(
        _POST,
        "tags",
        ErrorCode.MALFORMED,
        "A post has at most so many tags, each once.",
        "limits.post_tags_max",
    ),
    _at(
        _POST,
        "tag-length",
        ErrorCode.MALFORMED,
        "A tag has from one to so many characters.",
        "limits.tag_chars_max",
    ),
    _at(
        _POST,
        "attachments",
        ErrorCode.MALFORMED,
        "A post names at most so many attachments.",
        "limits.post_attachments_max",
    ),
    _at(
        _POST,
        "characters",
        ErrorCode.MALFORMED,
        "Strings hold the characters of XML 1.0 but carriage returns.",
    ),
    _at(
        _POST,
        "post-size",
        ErrorCode.MALFORMED,
        "A delivered post has at most so many canonical bytes.",
        "limits.post_bytes_max",
    ),
    _at(
        _POST,
        "signature-count",
        ErrorCode.MALFORMED,
        "A post has from one to so many signatures, no key twice.",
        "limits.post_signatures_max",
    ),
    _at(
        "replicator.protocol.signing",
        "post-signatures",
        ErrorCode.BAD_SIGNATURE,
        "Every signature of a post verifies.",
    ),
    _at(
        _TRUST,
        "origin-key",
        "origin-key",
        "A post of an origin whose keys are pinned is signed by one of them that counts.",
    ),
    _at(
        _TRUST,
        "unknown-origin",
        "unknown-origin",
        "A post of another origin is signed by a pool of ours, or waits in quarantine.",
        "limits.quarantine_posts_per_peer_max",
        "limits.quarantine_bytes_per_peer_max",
        "limits.quarantine_posts_max",
        "limits.quarantine_bytes_max",
    ),
)
"""Asked of each delivered post: its form, its signatures, its origin."""

BLOCKS: Final[tuple[Rule[Any], ...]] = (
    _at(
        _OBJECTIONS,
        "blocked",
        "blocked",
        "What the operator blocked, by id, digest or node, does not come back.",
        "limits.blocks_max",
    ),
)

STORING: Final[tuple[Rule[Any], ...]] = (
    _at(
        _QUOTAS,
        "quota",
        OVER,
        "Of one deliverer, and of one origin, only so much is taken per day; the rest waits.",
        "peer_posts_per_day",
        "peer_bytes_per_day",
        "origin_posts_per_day",
        "origin_bytes_per_day",
    ),
    _at(
        _STORE,
        "equivocation",
        "equivocation",
        "Of two posts under one id the one with the smaller digest is kept.",
    ),
    _at(
        _SERVING,
        "room",
        "later",
        "Where the database has no room, posts are left with their holders.",
        "disk_bytes_max",
        "limits.disk_reserve_bytes",
    ),
)
"""Asked last, of what would be stored."""

STAGES: Final[tuple[tuple[str, tuple[Rule[Any], ...]], ...]] = (
    ("request", (*ARRIVING, *READING, *ASKING, *COUNTING)),
    ("post", (*FORM, *POSTS, *BLOCKS, *REFS, *STORING)),
)
"""The whole order, by what is judged. A ref alone meets the rules from ``blocked`` on."""


def all_rules() -> Sequence[Rule[Any]]:
    """Return every rule, in order."""
    return [rule for _, rules in STAGES for rule in rules]
