"""What the local API does in its threads: publish a body of drafts, and tell how the node is.

The functions block. `publish_body` returns only after the commit of what it reports as stored.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from replicator.errors import Malformed, WorkUnavailable
from replicator.gateway.local_errors import ApiError
from replicator.node.context import Node
from replicator.node.publish import Draft, Published, publish, read_draft
from replicator.protocol import codec

FIELDS: Final = ("id", "title", "text", "author", "tags", "thread", "published", "attachments")
_STATUS: Final = {"stored": 201, "known": 200, "conflict": 409, "refused": 422}


def publish_body(node: Node, body: bytes) -> tuple[int, dict[str, Any]]:
    """Publish one draft, or the batch in ``posts``; return HTTP status and answer.

    A batch is answered 200 with one result per draft, in order; its good drafts are stored in one
    transaction whatever is wrong with the others. A single draft's status tells its result.

    Raises:
        ApiError: the body holds no drafts, or too many.
        StoreUnavailable: nothing was stored; `StoreFull` where there is no room.
    """
    items = _read_batch(body)
    if items is None:
        try:
            tree = codec.decode(codec.JSON, body, node.limits)
        except Malformed as error:
            raise ApiError(400, "malformed", str(error)) from error
        return _single(_publish(node, [tree])[0])
    if len(items) > node.limits.items_max:
        message = f"{len(items)} posts in one batch, more than {node.limits.items_max}"
        raise ApiError(413, "too-large", message, "posts")
    return 200, {"results": [_result(published) for published in _publish(node, items)]}


def status_of(node: Node) -> dict[str, Any]:
    """Return counts for the board application and its operator."""
    totals = node.store.totals()
    try:
        queued: int | None = sum(node.work.queued().values())
    except WorkUnavailable:
        queued = None
    return {
        "node": node.identity.node_id,
        "pools": sorted(node.identity.pools),
        "posts": totals.posts,
        "peers": totals.peers,
        "gaps": totals.gaps,
        "queued": queued,
        "cursor": node.store.end_cursor(),
        "floor": totals.floor,
        "full": totals.full,
        "time": node.clock.now(),
    }


def _read_batch(body: bytes) -> list[bytes] | None:
    """Return a batch's items unread, so that a bad one is one bad one; None: it is no batch."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the strict reader finds the place and says what is wrong there
    if "posts" not in members:
        return None
    try:
        items = msgspec.json.decode(members["posts"], type=list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise ApiError(400, "malformed", "posts: a list is needed", "posts") from error
    if len(members) != 1:
        raise ApiError(400, "malformed", "a batch has no member but posts", "posts")
    return [bytes(item) for item in items]


def _publish(node: Node, items: Sequence[bytes | codec.Tree]) -> list[Published]:
    results: list[Published | None] = [None] * len(items)
    drafts: dict[int, Draft] = {}
    for place, item in enumerate(items):
        try:
            tree = item if isinstance(item, dict) else codec.decode(codec.JSON, item, node.limits)
            drafts[place] = read_draft(node.identity.node_id, tree)
        except Malformed as error:
            results[place] = Published("refused", reason=str(error))
    published = publish(node, list(drafts.values())) if drafts else []
    for place, result in zip(drafts, published, strict=True):
        results[place] = result
    return [result for result in results if result is not None]


def _result(published: Published) -> dict[str, Any]:
    result: dict[str, Any] = {"status": published.status}
    for name in ("id", "digest", "reason"):
        value = getattr(published, name)
        if value is not None:
            result[name] = value
    field = _field(published.reason)
    if field is not None:
        result["field"] = field
    return {**result, "notices": list(published.notices)}


def _single(published: Published) -> tuple[int, dict[str, Any]]:
    status = _STATUS[published.status]
    if status < 300:
        return status, _result(published)
    reason = published.reason or published.status
    return status, ApiError(status, published.status, reason, _field(reason)).body()


def _field(reason: str | None) -> str | None:
    """Return the field that a reason begins with, as in ``published: … is no ISO 8601 time``."""
    name = (reason or "").partition(":")[0]
    return name if name in FIELDS else None
