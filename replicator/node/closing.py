"""Closing a difference that comparing found: fetch what is needed here, give what is lacking there.

What a peer says of a post it names is a hint and no more. Posts that would be taken are queued for
fetching. Everything else that has to be remembered for good (a post too old or too large for this
node, a membership, an earlier decision in another pool) follows from content that was read and
verified here, never from a ref: otherwise one lying member could talk a node out of a post.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from replicator.errors import BadAnswer
from replicator.node.comparing import Difference
from replicator.node.context import Node
from replicator.node.conversation import Heard
from replicator.node.delivery import Pace, deliver
from replicator.node.doorbells import ring, ring_lanes
from replicator.node.health import ask
from replicator.node.intake import Judged, judge
from replicator.node.objections import objections
from replicator.node.pages import refs_of
from replicator.node.ports import Incoming, Peer, Wanted
from replicator.node.quarantine import muted, set_aside
from replicator.node.quotas import within_quotas
from replicator.protocol.ids import Digest, KeyText
from replicator.protocol.messages import Get, GetAnswer
from replicator.protocol.post import Post, Ref
from replicator.protocol.signing import verify_posts
from replicator.rules.policy import BLOCKED, EXPIRED, LASTING, Sender
from replicator.rules.trust import pools_of

_QUEUED = frozenset({Wanted.QUEUED, Wanted.LATER})


@dataclass(frozen=True, slots=True)
class Closed:
    """What was done about a difference.

    Args:
        wanted: posts queued for fetching.
        taken: posts stored, merged or decided against at once.
        given: posts that the peer was given.
        complete: nothing of it is left to do.
    """

    wanted: int = 0
    taken: int = 0
    given: int = 0
    complete: bool = True


def close(node: Node, peer: Peer, difference: Difference, deadline: float) -> Closed:
    """Do what a difference asks for, until a deadline of the monotonic clock.

    Raises:
        PeerUnavailable, PeerRefused, BadAnswer, KeyChanged: as `health.ask`.
    """
    closing = _Closing(node, peer, difference.pool, deadline)
    complete = closing.fetch(difference.need)
    complete = closing.give(difference.have) and complete
    return Closed(closing.wanted, closing.taken, closing.given, complete)


class _Closing:
    """One difference in work; counts what it does as it goes."""

    def __init__(self, node: Node, peer: Peer, pool: KeyText, deadline: float) -> None:
        self._node = node
        self._peer = peer
        self._pool = pool
        self._deadline = deadline
        self.wanted = self.taken = self.given = 0

    def give(self, digests: Sequence[Digest]) -> bool:
        """Give the peer posts that it lacks; tell whether all of them were given.

        Of many more than a batch only one is given where the peer can come for them: it is most
        likely on its way through this node's log, and would get everything twice. That batch is
        any: what a peer does not take, however often it is given, must not hide the rest.
        """
        node = self._node
        scope = frozenset({self._pool})
        chosen, most = digests, node.limits.items_max
        if node.address is not None and len(digests) > most:
            chosen = node.random.sample(digests, most)
        pace = Pace(node.limits.items_max)
        for batch in self._batches(chosen):
            refs = sorted(
                node.store.refs(digests=batch, scopes=scope), key=lambda ref: ref.published
            )
            while refs and self._has_time():
                count = deliver(node, self._peer, refs, pace)
                self.given += count
                refs = refs[count:]
            if refs:
                return False
        return True

    def fetch(self, digests: Sequence[Digest]) -> bool:
        """Get posts that the peer says it has; tell whether all of them were looked at.

        What it turns out not to have is left alone: the next comparison says so again, or not.
        """
        for batch in self._batches(digests):
            if not self._has_time():
                return False
            visible = self._visible(batch)
            asked = {digest for digest in batch if digest not in visible}
            asked -= muted(self._node, self._peer.id, asked)
            if asked:
                self._look_at(asked)
        return True

    def _batches(self, digests: Sequence[Digest]) -> Iterator[Sequence[Digest]]:
        size = self._node.limits.items_max
        return (digests[start : start + size] for start in range(0, len(digests), size))

    def _has_time(self) -> bool:
        return self._node.clock.monotonic() < self._deadline

    def _visible(self, digests: Sequence[Digest]) -> set[Digest]:
        """Return those that came into the pool's set while it was compared."""
        refs = self._node.store.refs(digests=digests, scopes=frozenset({self._pool}))
        return {ref.digest for ref in refs}

    def _look_at(self, asked: set[Digest]) -> None:
        heard, answer = self._ask(asked, want_refs=True)
        if answer.refs is None:  # a node that knows no `want` gives the posts themselves
            self._take(heard, answer, asked)
            return
        refs = {ref.digest: ref for ref in refs_of(answer.refs) if ref.digest in asked}
        fit, doubtful = self._sorted(list(refs.values()))
        if fit:
            outcomes = self._node.work.want(self._peer.id, fit, self._node.clock.now())
            self.wanted += sum(outcome in _QUEUED for outcome in outcomes)
            ring(self._node, "fetch", [self._peer.id], f"{len(fit)} refs")
        self._examine({ref.digest for ref in doubtful})

    def _sorted(self, refs: Sequence[Ref]) -> tuple[list[Ref], list[Ref]]:
        """Return the refs of posts to fetch, and of those whose content has to be looked at."""
        node = self._node
        known = node.store.known({ref.digest for ref in refs})
        against = objections(node, refs)
        fit, doubtful = [], []
        for ref in refs:
            objection = against.get(ref.digest)
            if ref.digest in known or objection in LASTING:
                doubtful.append(ref)
            elif objection is None:
                fit.append(ref)
        return fit, [ref for ref in doubtful if ref.size <= node.limits.batch_bytes_max]

    def _examine(self, digests: set[Digest]) -> None:
        """Get the posts themselves and do what their content says, as long as any come."""
        left = digests
        while left and self._has_time():
            heard, answer = self._ask(left)
            named = self._take(heard, answer, left)
            named |= {entry.digest for entry in answer.missing if entry.digest is not None}
            if not named & left:
                return
            left = left - named

    def _ask(self, digests: set[Digest], *, want_refs: bool = False) -> tuple[Heard, GetAnswer]:
        request = Get(digests=tuple(sorted(digests)), want="refs" if want_refs else "models")
        heard = ask(self._node, self._peer, request)
        if not isinstance(heard.answer, GetAnswer):
            raise BadAnswer(f"{self._peer.id} answered get with something else")
        return heard, heard.answer

    def _take(self, heard: Heard, answer: GetAnswer, asked: set[Digest]) -> set[Digest]:
        """Store, merge or decide against posts that came; return the digests of all that came."""
        node, peer = self._node, self._peer
        sender = Sender(pinned=True, pools=node.identity.reach(heard.pools | peer.pools))
        judged = judge(_reading_large_posts(node), answer.models or (), peer.id, sender)
        expected = [item for item in judged if item.digest in asked]
        expected = within_quotas(node, expected, peer.id)
        set_aside(node, [item for item in expected if self._fits(item)])
        held, decided = self._known(expected)
        incoming = [
            item.incoming for item in expected if item.incoming is not None and self._fits(item)
        ]
        incoming += [Incoming(post, peer.id, frozenset({self._pool})) for post in held]
        if incoming:
            node.store.add(incoming, node.clock.now())
            ring_lanes(node, incoming)
        against = self._decide(expected, decided)
        self.taken += len(incoming) + against
        return {item.digest for item in expected if item.digest is not None}

    def _known(self, judged: Sequence[Judged]) -> tuple[list[Post], list[Post]]:
        """Return posts of this pool that are held, and such as were decided against, elsewhere.

        A post is held and not seen in its pool where this node was given the pool's key later.
        """
        known = [item.post for item in judged if item.known and item.post is not None]
        ours = [post for post in known if pools_of(post, {self._pool})]
        ours = [post for post, good in zip(ours, verify_posts(ours), strict=True) if good]
        held = self._node.store.held({post.digest for post in ours})
        return (
            [post for post in ours if post.digest in held],
            [post for post in ours if post.digest not in held],
        )

    def _fits(self, item: Judged) -> bool:
        return item.post is not None and item.post.size <= self._node.limits.post_bytes_max

    def _decide(self, judged: Sequence[Judged], known: Sequence[Post]) -> int:
        """Record in this pool what is or was decided against, for what its content says."""
        reasons: dict[str | None, list[Post]] = {None: [*known]} if known else {}
        for item in judged:
            if item.post is None or not pools_of(item.post, {self._pool}):
                continue
            if item.objection in (EXPIRED, BLOCKED):  # said of authentic posts only
                reasons.setdefault(item.objection, []).append(item.post)
            elif item.incoming is not None and not self._fits(item):
                reasons.setdefault("too-large", []).append(item.post)
        for reason, posts in reasons.items():
            self._node.store.decide(posts, {self._pool}, reason, self._node.clock.now())
        return sum(map(len, reasons.values()))


def _reading_large_posts(node: Node) -> Node:
    """Return the node as a reader of posts that it does not keep: only reading proves them large.

    What is larger than a batch stays undecided, and is named again whenever sets are compared.
    """
    limits = node.limits
    largest = min(limits.batch_bytes_max, limits.local_body_bytes_max)
    return replace(node, limits=replace(limits, post_bytes_max=largest))
