"""Publishing: turn what a board application gives into signed posts, stored before it returns.

With an id it is idempotent: the same fields give the stored post, other fields a conflict.
ISO times become ms, repeated tags are dropped with a notice, bare ids become ``this-node/id``,
CRLF and CR become LF. Nothing is lost silently: every draft gets its own result. A post that is
dated before this node's floor is refused: it would be removed again at once.
"""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from replicator.errors import Malformed
from replicator.node.context import Node
from replicator.node.doorbells import ring_lanes
from replicator.node.ports import Added, Incoming
from replicator.protocol.ids import (
    INTEGER_MAX,
    Digest,
    GlobalId,
    KeyText,
    NodeId,
    global_id,
    parse_digest,
    parse_global_id,
    parse_local_id,
)
from replicator.protocol.post import Attachment, Content, Post
from replicator.protocol.signing import sign_post

_FIELDS = frozenset({"id", "title", "text", "author", "tags", "thread", "published", "attachments"})
_ATTACHMENT_FIELDS = frozenset({"digest", "mimetype", "name", "size"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN_MS_MAX = 253_402_300_799_000
"""The last second that a calendar date can name."""
_LINE_ENDS = re.compile("\r\n?")


@dataclass(frozen=True, slots=True)
class Draft:
    """A post before it is signed.

    Args:
        id: local id, ``node/id`` of this node, or None to have one made.
        published: ms since the epoch, or None for now.
        notices: what was changed while reading it.
    """

    id: GlobalId | None
    title: str
    text: str
    author: str
    tags: tuple[str, ...]
    thread: GlobalId | None
    published: int | None
    attachments: tuple[Attachment, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one draft; ``reason`` where it was not stored."""

    status: Literal["stored", "known", "conflict", "refused"]
    id: GlobalId | None = None
    digest: Digest | None = None
    reason: str | None = None
    notices: tuple[str, ...] = ()


def read_draft(node_id: NodeId, fields: Mapping[str, Any]) -> Draft:
    """Read a draft from plain JSON fields.

    Args:
        fields: ``title``, ``text``, ``author`` (strings, default empty), ``tags`` (strings),
            ``id``, ``thread``, ``published`` (ISO 8601 text or ms), ``attachments``.

    Raises:
        Malformed: names the field and what is wrong with it.
    """
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise Malformed(f"unknown field {unknown[0]!r}; known: {', '.join(sorted(_FIELDS))}")
    notices: list[str] = []
    thread = fields.get("thread")
    return Draft(
        id=_own_id(node_id, fields.get("id")),
        title=_string(fields, "title", notices),
        text=_string(fields, "text", notices),
        author=_string(fields, "author", notices),
        tags=_tags(_list(fields, "tags"), notices),
        thread=None if thread is None else _full_id(node_id, thread, "thread"),
        published=_time(fields.get("published")),
        attachments=tuple(_attachment(entry) for entry in _list(fields, "attachments")),
        notices=tuple(notices),
    )


def publish(
    node: Node, drafts: Sequence[Draft], pools: Iterable[KeyText] | None = None
) -> list[Published]:
    """Sign and store drafts in one transaction; one result per draft, in order.

    Args:
        pools: which of this node's pools sign them; None is all.

    Raises:
        StoreUnavailable: nothing was stored; `StoreFull` where there is no room.
    """
    chosen = node.identity.pools if pools is None else node.identity.pools & frozenset(pools)
    now = node.clock.now()
    complete = _completed(node, drafts, now)
    floor = _floor(node)
    results: list[Published | None] = [None] * len(drafts)
    signed: list[tuple[int, Post]] = []
    for place, draft in enumerate(complete):
        try:
            post = _sign(node, draft, chosen)
            _check_floor(post.published, floor)
        except Malformed as error:
            results[place] = Published("refused", draft.id, reason=str(error))
            continue
        signed.append((place, post))
    blocked = node.store.blocked([post.ref for _, post in signed])
    incoming = [
        (place, Incoming(post, None, chosen, chosen))
        for place, post in signed
        if post.digest not in blocked
    ]
    for place, post in signed:
        if post.digest in blocked:
            results[place] = Published("refused", post.id, reason=_blocked_words(node, post.id))
    added = node.store.publish([item for _, item in incoming], now) if incoming else []
    for (place, item), outcome in zip(incoming, added, strict=True):
        results[place] = _result(item.post, outcome, complete[place].notices)
    ring_lanes(
        node,
        [item for (_, item), how in zip(incoming, added, strict=True) if how is Added.STORED],
    )
    return [result for result in results if result is not None]


def _blocked_words(node: Node, post_id: GlobalId) -> str:
    return (
        f"{post_id} is blocked here: the post, its id or this node ({node.identity.node_id}) "
        "stands in replicator posts blocks"
    )


def _completed(node: Node, drafts: Sequence[Draft], now: int) -> list[Draft]:
    """Give every draft an id and a time; a repeated one keeps the time it was stored with."""
    timeless = [d.id for d in drafts if d.id is not None and d.published is None]
    held = {post.id: post.published for post in node.store.get(ids=timeless)} if timeless else {}
    complete = []
    for draft in drafts:
        post_id = draft.id or _new_id(node.identity.node_id, now)
        published = draft.published
        if published is None:
            published = held.get(post_id, now)
        complete.append(replace(draft, id=post_id, published=published))
    return complete


def _new_id(node_id: NodeId, now: int) -> GlobalId:
    """Make an id that sorts by time and cannot collide."""
    return global_id(node_id, parse_local_id(f"{now:011x}-{secrets.token_hex(8)}"))


def _sign(node: Node, draft: Draft, pools: frozenset[KeyText]) -> Post:
    if draft.id is None or draft.published is None:
        raise Malformed("a draft without id or time cannot be signed")
    content = Content(
        attachments=draft.attachments,
        author=draft.author,
        id=draft.id,
        published=draft.published,
        tags=draft.tags,
        text=draft.text,
        thread=draft.thread,
        title=draft.title,
    )
    identity = node.identity
    signers = (*identity.signing_keys(node.clock.now()), *identity.pool_signers(pools))
    return sign_post(content, signers, node.limits)


def _floor(node: Node) -> int:
    """Return the date (ms) from which on posts of this node are kept here."""
    own = node.store.origin_floors([node.identity.node_id])
    return max([node.store.floor(), *own.values()])


def _check_floor(published: int, floor: int) -> None:
    if published < floor:
        shown = min(floor, _SHOWN_MS_MAX)
        day = (_EPOCH + timedelta(milliseconds=shown)).isoformat(timespec="seconds")
        raise Malformed(f"published: posts dated before {day} are not kept here any more")


def _result(post: Post, outcome: Added, notices: tuple[str, ...]) -> Published:
    match outcome:
        case Added.STORED | Added.REPLACED:
            return Published("stored", post.id, post.digest, notices=notices)
        case Added.KNOWN:
            return Published("known", post.id, post.digest, notices=notices)
        case Added.CONFLICT | Added.LOST:
            reason = f"{post.id} is held, or was, with other fields"
            return Published("conflict", post.id, reason=reason, notices=notices)
        case Added.DECIDED:
            reason = f"{post.id} was decided against here"
            return Published("refused", post.id, reason=reason, notices=notices)


def _string(fields: Mapping[str, Any], name: str, notices: list[str]) -> str:
    value = fields.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{name}: a string is needed, not {type(value).__name__}")
    normal = _LINE_ENDS.sub("\n", value)
    if normal != value:
        notices.append(f"{name}: line ends were normalised to LF")
    return normal


def _list(fields: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise Malformed(f"{name}: a list is needed, not {type(value).__name__}")
    return value


def _tags(value: Sequence[Any], notices: list[str]) -> tuple[str, ...]:
    if any(not isinstance(tag, str) for tag in value):
        raise Malformed("tags: a list of strings is needed")
    unique = tuple(dict.fromkeys(value))
    if len(unique) != len(value):
        notices.append("tags: repeated tags were dropped")
    return unique


def _full_id(node_id: NodeId, value: Any, name: str) -> GlobalId:
    if not isinstance(value, str):
        raise Malformed(f"{name}: a string is needed, not {type(value).__name__}")
    try:
        return parse_global_id(value if "/" in value else f"{node_id}/{value}")
    except Malformed as error:
        raise Malformed(f"{name}: {error}") from error


def _own_id(node_id: NodeId, value: Any) -> GlobalId | None:
    if value is None:
        return None
    full = _full_id(node_id, value, "id")
    if not full.startswith(f"{node_id}/"):
        raise Malformed(f"id: {value!r} belongs to another node; this one is {node_id}")
    return full


def _time(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INTEGER_MAX:
        return value
    if not isinstance(value, str):
        raise Malformed("published: ISO 8601 text or ms since the epoch is needed")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise Malformed(f"published: {value[:40]!r} is no ISO 8601 time") from error
    if moment.tzinfo is None:
        raise Malformed(f"published: {value[:40]!r} names no time zone; add Z or an offset")
    ms = round((moment - _EPOCH).total_seconds() * 1000)
    if ms < 0:
        raise Malformed(f"published: {value[:40]!r} is before 1970")
    return ms


def _attachment(value: Any) -> Attachment:
    if not isinstance(value, Mapping) or set(value) != _ATTACHMENT_FIELDS:
        needed = ", ".join(sorted(_ATTACHMENT_FIELDS))
        raise Malformed(f"attachments: each needs exactly {needed}")
    size = value["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= INTEGER_MAX:
        raise Malformed("attachments: size is a whole number of bytes")
    if not all(isinstance(value[name], str) for name in ("digest", "mimetype", "name")):
        raise Malformed("attachments: digest, mimetype and name are strings")
    return Attachment(parse_digest(value["digest"]), value["mimetype"], value["name"], size)
