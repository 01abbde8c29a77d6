"""What pull, get and put give, once their sender is admitted.

Reads and writes the store in batches. An answer is made to fit its message by giving fewer items
(the cursor or the missing list tells the asker), never by leaving something out silently.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from replicator.errors import ErrorCode, Malformed, Refusal, StoreFull
from replicator.node.context import Node
from replicator.node.doorbells import ring, ring_lanes
from replicator.node.intake import UNKNOWN_ORIGIN, Judged, judge, read_post
from replicator.node.objections import objections
from replicator.node.ports import Added, Query, Wanted
from replicator.node.quarantine import muted, set_aside
from replicator.node.quotas import within_quotas
from replicator.protocol import codec
from replicator.protocol.ids import Digest, KeyText, NodeId
from replicator.protocol.messages import (
    NO_ADDRESS,
    Answer,
    Get,
    GetAnswer,
    Missing,
    Pull,
    PullAnswer,
    Put,
    PutAnswer,
    PutItem,
    PutResult,
)
from replicator.protocol.post import Post, Ref
from replicator.rules.policy import Sender
from replicator.rules.quotas import OVER

Scopes = frozenset[KeyText] | None
Fits = Callable[[Answer], bool]

_RESULT_OF = {
    Added.STORED: PutItem(PutResult.STORED),
    Added.REPLACED: PutItem(PutResult.STORED),
    Added.KNOWN: PutItem(PutResult.KNOWN),
    Added.DECIDED: PutItem(PutResult.KNOWN),
    Added.LOST: PutItem(PutResult.REFUSED, reason="equivocation"),
}


def pull(node: Node, request: Pull, scopes: Scopes, fits: Fits) -> tuple[Answer, int]:
    """Return one page of the change log: refs, or the posts themselves.

    Where not even one post fits the message, the page holds its ref instead.
    """
    limit = min(request.limit or node.limits.items_max, node.limits.items_max)
    want = request.want
    while True:
        answer, count = _page(node, request, scopes, limit, want)
        if fits(answer):
            return answer, count
        if limit == 1:
            want = "refs"
        limit = max(1, min(limit, count) // 2)


def _page(
    node: Node, request: Pull, scopes: Scopes, limit: int, want: str
) -> tuple[PullAnswer, int]:
    query = Query(request.filter, scopes, limit, node.limits.batch_bytes_max)
    if want == "models":
        page = node.store.page(query, request.after)
        models = tuple(codec.model_tree(post) for post in page.posts)
        answer = PullAnswer(
            models=models, cursor=page.cursor, more=page.more, remaining=page.remaining
        )
        return answer, len(models)
    refs = node.store.ref_page(query, request.after)
    answer = PullAnswer(
        refs=refs.refs, cursor=refs.cursor, more=refs.more, remaining=refs.remaining
    )
    return answer, len(refs.refs)


def get(node: Node, request: Get, scopes: Scopes, fits: Fits) -> tuple[Answer, int]:
    """Return the posts asked for that are held in scope, as many as fit, and what is missing.

    Of an id with two contents the one that lost is given too, by its digest, as long as it is kept
    as evidence: so everybody learns what its origin did, and the sets of all become equal.
    """
    asked = len(request.ids) + len(request.digests)
    if asked > node.limits.items_max:
        raise Refusal(
            ErrorCode.TOO_LARGE, f"{asked} items asked for, at most {node.limits.items_max}"
        )
    refs = node.store.refs(ids=request.ids, digests=request.digests, scopes=scopes)
    evidence = _evidence(node, request, refs, scopes)
    refs += [post.ref for post in evidence.values()]
    missing = _missing(node, request, refs)
    if request.want == "refs":
        # as many as a message may have items: they fit
        return GetAnswer(refs=tuple(refs), missing=missing), len(refs)
    chosen = _within(refs, node.limits.batch_bytes_max)
    given = node.store.get(digests=[ref.digest for ref in chosen])
    given += [evidence[ref.digest] for ref in chosen if ref.digest in evidence]
    while True:
        models = tuple(codec.model_tree(post) for post in given)
        answer = GetAnswer(models=models, missing=missing)
        if fits(answer):
            return answer, len(given)
        if len(given) == 1:
            declined = Missing(id=given[0].id, digest=given[0].digest, declined=True)
            given, missing = [], (*missing, declined)
        else:
            given = given[: len(given) // 2]


def _evidence(node: Node, request: Get, refs: Sequence[Ref], scopes: Scopes) -> dict[Digest, Post]:
    """Return posts asked for that are kept as evidence, within scopes; nothing that is blocked."""
    absent = {*request.digests} - {ref.digest for ref in refs}
    lost = [
        post
        for post in (node.store.lost_posts(absent) if absent else ())
        if scopes is None or any(map(post.signed_by, scopes))
    ]
    blocked = node.store.blocked([post.ref for post in lost]) if lost else set[Digest]()
    return {post.digest: post for post in lost if post.digest not in blocked}


def _within(refs: Sequence[Ref], bytes_max: int) -> list[Ref]:
    """Return the first refs whose posts fit, at least one: content is read for these only."""
    given: list[Ref] = []
    used = 0
    for ref in refs:
        used += ref.size
        if given and used > bytes_max:
            break
        given.append(ref)
    return given


def _missing(node: Node, request: Get, refs: Sequence[Ref]) -> tuple[Missing, ...]:
    ids = {ref.id for ref in refs}
    digests = {ref.digest for ref in refs}
    absent = [digest for digest in request.digests if digest not in digests]
    held = node.store.held(absent)
    decided = node.store.known(absent) - held
    return (
        *(Missing(id=post_id) for post_id in request.ids if post_id not in ids),
        *(Missing(digest=digest, declined=digest in decided) for digest in absent),
    )


def put(node: Node, request: Put, sender_id: NodeId, sender: Sender) -> tuple[Answer, int]:
    """Take offered posts, or note offered refs for fetching; one result per item.

    Where the store has no room, what is new is noted for fetching later, and answered so.
    """
    items = request.models if request.models is not None else request.refs or ()
    if len(items) > node.limits.items_max:
        raise Refusal(ErrorCode.TOO_LARGE, f"{len(items)} items, at most {node.limits.items_max}")
    if request.models is not None:
        results = _put_models(node, items, sender_id, sender)
    else:
        refs = [_read_ref(item) for item in items]
        results = _put_refs(node, refs, sender_id, full=node.store.is_full())
    return PutAnswer(items=tuple(results)), len(results)


def _put_models(
    node: Node, items: Sequence[Any], sender_id: NodeId, sender: Sender
) -> list[PutItem]:
    if not node.store.is_full():
        with suppress(StoreFull):
            return _take(node, items, sender_id, sender)
    # not verified: that is done when there is room, and they are fetched
    posts = [read_post(node, item) for item in items]
    refs = [post.ref if isinstance(post, Post) else post for post in posts]
    return _put_refs(node, refs, sender_id, full=True)


def _take(node: Node, items: Sequence[Any], sender_id: NodeId, sender: Sender) -> list[PutItem]:
    judged = within_quotas(node, judge(node, items, sender_id, sender), sender_id)
    incoming = [item.incoming for item in judged if item.incoming is not None]
    added = iter(node.store.add(incoming, node.clock.now()) if incoming else ())
    aside = set_aside(node, judged)
    results = [_put_result(item, added, aside) for item in judged]
    ring_lanes(node, incoming)
    over = [item.post.ref for item in judged if item.post and item.objection == OVER]
    if over:
        _put_refs(node, over, sender_id, full=True)  # fetched when their turn has come
    return results


def _put_result(item: Judged, added: Any, aside: set[Digest]) -> PutItem:
    if item.known:
        return PutItem(PutResult.KNOWN, digest=item.digest)
    if item.digest in aside and item.waiting is not None:
        return PutItem(PutResult.LATER, digest=item.digest, reason=UNKNOWN_ORIGIN)
    if item.objection == OVER:
        return PutItem(PutResult.LATER, digest=item.digest, reason=OVER)
    if item.incoming is None:
        return PutItem(PutResult.REFUSED, digest=item.digest, reason=item.objection)
    outcome = _RESULT_OF[next(added)]
    return PutItem(outcome.result, digest=item.digest, reason=outcome.reason)


def _put_refs(
    node: Node, refs: Sequence[Ref | str], sender_id: NodeId, *, full: bool
) -> list[PutItem]:
    """Queue what is wanted; each is a ref, or why it is none."""
    readable = {ref.digest: ref for ref in refs if isinstance(ref, Ref)}
    known = node.store.known(readable)
    against = objections(node, readable.values())
    new = readable.keys() - known - against.keys()
    aside = muted(node, sender_id, new)
    wanted = [ref for digest, ref in readable.items() if digest in new - aside]
    holder = node.store.peer(sender_id)
    reachable = holder is not None and holder.address is not None
    queued = _queue(node, sender_id, wanted, full=full) if reachable else {}
    results = []
    for ref in refs:
        if isinstance(ref, str):
            results.append(PutItem(PutResult.REFUSED, reason=ref))
        elif ref.digest in known:
            results.append(PutItem(PutResult.KNOWN, digest=ref.digest))
        elif ref.digest in against:
            reason = against[ref.digest]
            results.append(PutItem(PutResult.REFUSED, digest=ref.digest, reason=reason))
        elif ref.digest in aside:
            results.append(PutItem(PutResult.LATER, digest=ref.digest, reason=UNKNOWN_ORIGIN))
        elif queued.get(ref.digest) is Wanted.QUEUED and not full:
            results.append(PutItem(PutResult.WANTED, digest=ref.digest))
        elif reachable or full:
            results.append(PutItem(PutResult.LATER, digest=ref.digest))
        else:
            results.append(PutItem(PutResult.REFUSED, digest=ref.digest, reason=NO_ADDRESS))
    return results


def _read_ref(item: Any) -> Ref | str:
    try:
        return codec.read(item, Ref)
    except Malformed as error:
        return f"malformed: {error}"[:200]


def _queue(node: Node, holder: NodeId, refs: Sequence[Ref], *, full: bool) -> dict[Digest, Wanted]:
    """Queue refs; what is not queued, because the queue is full, is found again by repair."""
    if not refs:
        return {}
    queued = node.work.want(holder, refs, node.clock.now())
    if not full:
        ring(node, "fetch", [holder], f"{len(refs)} refs")
    return {ref.digest: outcome for ref, outcome in zip(refs, queued, strict=True)}
