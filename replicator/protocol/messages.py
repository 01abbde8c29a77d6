"""The messages of protocol 1.0 as value objects, in the shape both encodings carry.

Pure. A request document is one flat object: the members of `RequestHead` and those of its
arguments (`Pull`, `Get`, `Put`, `Reconcile`, `Roster`). An answer document likewise: `AnswerHead`
and `PullAnswer`, ... or `ErrorAnswer`. Unknown members of a message are ignored; items (`models`,
`refs`, `introductions`) arrive as trees and are read one by one, so that one bad item is one bad
item.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec

from replicator.protocol.ids import (
    WireCursor,
    WireDigest,
    WireGlobalId,
    WireInteger,
    WireKey,
    WireNodeId,
)
from replicator.protocol.post import PostSignature

PROTOCOL_VERSION: Final = "1.0"
MODEL_NAME: Final = "post"
MODEL_VERSION: Final = "1.0"
REQUEST_TYPES: Final = ("pull", "get", "put", "reconcile", "roster")
FILTER_ITEMS_MAX: Final = 100
"""Nodes, tags or threads that one filter may name."""


FRAME_BYTES_MAX: Final = 256 * 1024
"""Bytes of one Negentropy message."""
WireFrame = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]*\Z", max_length=-(-FRAME_BYTES_MAX * 4 // 3))
]
"""A Negentropy message in unpadded base64url."""


class Model(msgspec.Struct, frozen=True):
    """Which data model a message speaks of."""

    name: str = MODEL_NAME
    version: str = MODEL_VERSION


class AskedModel(msgspec.Struct, frozen=True):
    """The data model that a request names; there is none that goes without saying."""

    name: str
    version: str


class RequestHead(msgspec.Struct, frozen=True):
    """What every request carries before its arguments."""

    type: str
    protocol: str
    model: AskedModel


class Filter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an asker wants to hear of; members are combined with *and*, lists with *or*.

    ``nodes`` and ``except_nodes`` exclude each other. ``since`` is inclusive and ``until``
    exclusive, in ms since the epoch, on ``published``.
    """

    nodes: Annotated[tuple[WireNodeId, ...], msgspec.Meta(max_length=FILTER_ITEMS_MAX)] = ()
    except_nodes: Annotated[tuple[WireNodeId, ...], msgspec.Meta(max_length=FILTER_ITEMS_MAX)] = ()
    since: WireInteger | None = None
    until: WireInteger | None = None
    tags: Annotated[tuple[str, ...], msgspec.Meta(max_length=FILTER_ITEMS_MAX)] = ()
    threads: Annotated[tuple[WireGlobalId, ...], msgspec.Meta(max_length=FILTER_ITEMS_MAX)] = ()


class Pull(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="pull"):
    """Ask which posts a node holds, page by page in the order of its change log."""

    filter: Filter | None = None
    scope: WireKey | None = None
    after: WireCursor | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    want: Literal["refs", "models"] = "refs"


class Get(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="get"):
    """Ask for posts by id or digest; ``want`` refs: only what there is to know about them."""

    ids: tuple[WireGlobalId, ...] = ()
    digests: tuple[WireDigest, ...] = ()
    want: Literal["refs", "models"] = "models"


class Put(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="put"):
    """Advise a node to take posts: exactly one of ``refs`` and ``models``, as item trees."""

    refs: tuple[Any, ...] | None = None
    models: tuple[Any, ...] | None = None


class Reconcile(msgspec.Struct, frozen=True, tag_field="type", tag="reconcile"):
    """Compare two sets: one Negentropy V1 message over (published, digest) within a pool.

    ``since`` is the lowest ``published`` that the asker's set has; ``frame`` is the message in
    unpadded base64url.
    """

    scope: WireKey
    since: WireInteger
    frame: WireFrame


class Roster(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="roster"):
    """Ask which members of a pool a node knows, in the order of their ids; introduce oneself.

    ``introduction`` is the asker's signed node document, as a tree; ``after`` is the last node id
    of the page before.
    """

    scope: WireKey
    introduction: Any = None
    after: WireNodeId | None = None


Request = Pull | Get | Put | Reconcile | Roster


def request_type(request: Request) -> str:
    """Return the ``type`` of a request."""
    return str(request.__struct_config__.tag)


NO_ADDRESS: Final = "no-address"
"""The reason of a refused ref that the answerer cannot follow: it wants the post itself."""


class PutResult(StrEnum):
    """What became of one item of a put."""

    STORED = "stored"
    """Committed before the answer was made."""
    KNOWN = "known"
    """Held or decided before; nothing to do."""
    WANTED = "wanted"
    """Queued here; will be fetched from the sender."""
    LATER = "later"
    """The sender is noted as a holder; it need not send it again."""
    REFUSED = "refused"
    """Not taken; ``reason`` says why."""


class PutItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to one item of a put, in the order of the request."""

    result: PutResult
    digest: WireDigest | None = None
    reason: str | None = None


class Missing(msgspec.Struct, frozen=True, omit_defaults=True):
    """An asked post that is not in the answer; ``declined``: decided against, ask elsewhere."""

    id: WireGlobalId | None = None
    digest: WireDigest | None = None
    declined: bool = False


class WireModel(msgspec.Struct, frozen=True):
    """A post in an answer or put; ``content`` is its canonical bytes, passed on unparsed."""

    content: msgspec.Raw
    signatures: tuple[PostSignature, ...]


class AnswerHead(msgspec.Struct, frozen=True):
    """What every answer carries."""

    status: Literal["success", "error", "not supported"]
    protocol: str
    model: Model


class PullAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page. ``more`` tells that asking on with ``cursor`` is worth while at once.

    ``remaining`` is about how many log entries follow ``cursor``: for people, who wait for it.
    """

    refs: tuple[Any, ...] | None = None
    models: tuple[Any, ...] | None = None
    cursor: WireCursor
    more: bool = False
    remaining: WireInteger | None = None


class GetAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The posts asked for that this node gives, and what is missing.

    ``refs`` in place of ``models`` where refs were wanted; a node that does not know ``want`` gives
    models. An asked item that is in no list did not fit: ask for it again.
    """

    models: tuple[Any, ...] | None = None
    refs: tuple[Any, ...] | None = None
    missing: tuple[Missing, ...] = ()


class PutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One item per item of the request, in its order."""

    items: tuple[PutItem, ...]


class ReconcileAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The next Negentropy message of the answerer, over both sets from ``since`` on.

    ``since`` is the higher of both floors. Where it is not the asker's, there is no ``frame``: the
    asker starts anew from there.
    """

    since: WireInteger
    frame: WireFrame | None = None


class RosterAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Signed node documents of members of the pool, as trees; ``more``: ask on after the last."""

    introductions: tuple[Any, ...]
    more: bool = False


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not served.

    ``versions`` and ``model_versions`` on ``version-mismatch``: what is spoken. ``time`` on
    ``stale``: the answerer's clock in ms. ``retry_after`` on ``busy``: whole seconds.
    """

    code: str
    message: str
    versions: tuple[str, ...] = ()
    model_versions: tuple[str, ...] = ()
    time: WireInteger | None = None
    retry_after: WireInteger | None = None


class UnsupportedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request type that this node does not know."""

    message: str
    types: tuple[str, ...] = REQUEST_TYPES


Answer = (
    PullAnswer
    | GetAnswer
    | PutAnswer
    | ReconcileAnswer
    | RosterAnswer
    | ErrorAnswer
    | UnsupportedAnswer
)
