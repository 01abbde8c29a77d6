"""Pages of a peer's log: reading them, judging their posts, and what is left to be fetched of them.

Shared by the main way through a log (`pull`) and by backfills. Nothing here moves a cursor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from replicator.errors import BadAnswer, Malformed
from replicator.node.context import Node
from replicator.node.conversation import Heard
from replicator.node.doorbells import ring
from replicator.node.intake import UNKNOWN_ORIGIN, Judged, judge
from replicator.node.objections import objections
from replicator.node.ports import Incoming, Peer, Wanted
from replicator.node.quarantine import muted, set_aside
from replicator.node.quotas import within_quotas
from replicator.protocol import codec
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.messages import PullAnswer
from replicator.protocol.post import Ref
from replicator.rules.policy import LASTING, Sender


@dataclass(frozen=True, slots=True)
class Page:
    """A page whose posts are judged; nothing of it is stored yet. ``before``: asked from there."""

    before: Cursor | None
    after: Cursor
    refs: Sequence[Ref]
    judged: Sequence[Judged]
    remaining: int | None = None
    more: bool = False

    @property
    def incoming(self) -> list[Incoming]:
        """The posts that are to be stored."""
        return [item.incoming for item in self.judged if item.incoming is not None]


def page_of(heard: Heard) -> PullAnswer:
    """Return the answer to a pull; raise `BadAnswer` where it is none."""
    if not isinstance(heard.answer, PullAnswer):
        raise BadAnswer("pull was answered with something else than a page")
    return heard.answer


def judged_page(node: Node, peer: Peer, before: Cursor | None, heard: Heard) -> Page:
    """Read and judge a page that was asked for from ``before``."""
    answer = page_of(heard)
    sender = Sender(pinned=True, pools=node.identity.reach(heard.pools | peer.pools))
    judged = within_quotas(node, judge(node, answer.models or (), peer.id, sender), peer.id)
    refs = refs_of(answer.refs or ())
    return Page(before, answer.cursor, refs, judged, answer.remaining, answer.more)


def refs_of(items: Sequence[Any]) -> list[Ref]:
    """Read the refs of an answer; raise `BadAnswer` where one is none."""
    try:
        return [codec.read(item, Ref) for item in items]
    except Malformed as error:
        raise BadAnswer(f"an answer holds a bad ref: {error}") from error


def mostly_new(node: Node, peer: NodeId, refs: Sequence[Ref]) -> bool:
    """Tell whether more than half of some refs are of posts that should be had at once."""
    digests = {ref.digest for ref in refs}
    new = digests - node.store.known(digests)
    if 2 * len(new) >= len(refs):
        new -= muted(node, peer, new)
    return 2 * len(new) > len(refs)


def left_over(node: Node, peer: NodeId, page: Page) -> list[Ref]:
    """Keep aside what waits for its origin; return refs that are missing still and worth fetching.

    What came and is of unknown origin is not worth it, kept or not: the peer would give the same
    again. Once its origin is pinned, a backfill brings what was not kept.
    """
    set_aside(node, page.judged)
    objected = [
        item.post.ref
        for item in page.judged
        if item.post and item.objection and item.objection != UNKNOWN_ORIGIN
    ]
    refs = [*page.refs, *objected]
    known = node.store.known({ref.digest for ref in refs})
    new = [ref for ref in refs if ref.digest not in known]
    against = objections(node, new)
    aside = muted(node, peer, {ref.digest for ref in new})
    return [
        ref for ref in new if ref.digest not in aside and against.get(ref.digest) not in LASTING
    ]


def queue_refs(node: Node, peer: NodeId, refs: Sequence[Ref]) -> list[Ref]:
    """Queue refs and ring for them; return those that the queue did not take."""
    taken = node.work.want(peer, refs, node.clock.now())
    ring(node, "fetch", [peer], f"{len(refs)} refs")
    refused = (Wanted.FULL, Wanted.DEAD)
    return [ref for ref, outcome in zip(refs, taken, strict=True) if outcome in refused]
