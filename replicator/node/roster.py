"""The roster: members of a pool introduce each other by their signed node documents.

Who asks introduces itself, so that both learn of each other; joining a pool needs one address. A
node tells only of members that proved their membership to it by a message of their own, so that
what one member invents reaches those alone whom it tells, and dies there. What an introduction may
change stands in `rules.roster`; that a member holds a pool's key is believed only when it signs a
message to us.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog

from replicator.errors import BadAnswer, PeerRefused, ReplicatorError
from replicator.node import node_page
from replicator.node.context import Node
from replicator.node.health import ask, reachable
from replicator.node.introductions import Taken, take
from replicator.node.ports import Member, Peer
from replicator.node.turns import turn
from replicator.protocol import node_document
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.messages import Answer, Roster, RosterAnswer
from replicator.rules.backoff import jittered

log = structlog.get_logger()

_UNSUPPORTED = "not-supported"
_EXPECTED = frozenset({_UNSUPPORTED, "forbidden"})
"""What a peer may answer and be well: it has no roster, or left the pool."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one run did: pages read, introductions seen, and what those that count led to."""

    peer: NodeId
    pages: int = 0
    members: int = 0
    added: int = 0
    moved: int = 0
    offered: int = 0
    ignored: int = 0
    ended: str = "done"


def ask_members(node: Node, peer_id: NodeId) -> Asked:
    """Ask a pool-mate whom it knows, within each shared pool, and introduce this node to it."""
    with turn(node, "roster", peer_id) as not_ours:
        if not_ours:
            return Asked(peer_id, ended=not_ours)
        if node.policy.roster == "off":
            return Asked(peer_id, ended="off")
        peer = node.store.peer(peer_id)
        if peer is None or not reachable(node, peer):
            return Asked(peer_id, ended="not reachable")
        return _guarded_run(node, peer)


def _guarded_run(node: Node, peer: Peer) -> Asked:
    run = _Run(node, peer)
    ended, seconds = "done", _period(node)
    try:
        for pool in sorted(peer.pools & node.identity.pools):
            run.pool(pool)
    except PeerRefused as refusal:
        ended = refusal.code
        if refusal.code == _UNSUPPORTED:
            seconds = node.limits.unsupported_seconds
    except ReplicatorError as error:
        log.info("roster.stopped", peer=peer.id, reason=str(error))
        ended = type(error).__name__
    wait = int(jittered(seconds, node.random) * 1000)
    node.work.set_dues("roster", {peer.id: node.clock.now() + wait})
    return run.report(ended)


def _period(node: Node) -> float:
    """Return the pause between two questions to one pool-mate: all of them cost the same."""
    mates = sum(
        1 for peer in node.store.peers() if peer.pools & node.identity.pools and peer.address
    )
    return node.limits.roster_seconds * max(1.0, mates / node.limits.roster_asks_max)


class _Run:
    """One round of questions to one peer; counts as it goes. At most a slice of time."""

    def __init__(self, node: Node, peer: Peer) -> None:
        self._node = node
        self._peer = peer
        self._deadline = node.clock.monotonic() + node.limits.slice_seconds
        self._pages = 0
        self._taken = Taken()

    def pool(self, pool: KeyText) -> None:
        """Read the roster of one pool, page by page."""
        after: NodeId | None = None
        seen = 0
        while seen < self._node.limits.roster_entries_max:
            answer = self._page(pool, after)
            taken = take(self._node, pool, answer.introductions, self._peer.id)
            self._taken = self._taken.plus(taken)
            after = taken.last
            seen += len(answer.introductions)
            # a page that names nobody leaves nothing to ask on with
            if not answer.more or after is None or self._is_late():
                return

    def _page(self, pool: KeyText, after: NodeId | None) -> RosterAnswer:
        node = self._node
        introduction = node_page.current(node) if after is None else None
        request = Roster(scope=pool, introduction=introduction, after=after)
        heard = ask(node, self._peer, request, expected=_EXPECTED)
        if not isinstance(heard.answer, RosterAnswer):
            raise BadAnswer("roster was answered with something else than introductions")
        if len(heard.answer.introductions) > node.limits.items_max:
            raise BadAnswer("a page of the roster holds more than a message may")
        self._pages += 1
        return heard.answer

    def _is_late(self) -> bool:
        return self._node.clock.monotonic() >= self._deadline

    def report(self, ended: str) -> Asked:
        """Return what was done."""
        taken = self._taken
        return Asked(
            peer=self._peer.id,
            pages=self._pages,
            members=taken.members,
            added=taken.added,
            moved=taken.moved,
            offered=taken.offered,
            ignored=taken.ignored,
            ended=ended,
        )


def answer(
    node: Node, request: Roster, sender: NodeId, fits: Callable[[Answer], bool]
) -> tuple[Answer, int]:
    """Return the members this node knows; keep the sender's introduction.

    Only members that proved their membership to this node, and this node itself, by node id after
    ``request.after``, as many as fit the message.
    """
    if request.introduction is not None:
        take(node, request.scope, [request.introduction], sender, only=sender)
    found = _known_members(node, request.scope, request.after)
    limit = node.limits.items_max
    while True:
        page = RosterAnswer(
            introductions=tuple(document for _, document in found[:limit]),
            more=len(found) > limit,
        )
        if fits(page) or limit == 1:
            return page, len(page.introductions)
        limit = max(1, min(limit, len(found)) // 2)


def _known_members(
    node: Node, pool: KeyText, after: NodeId | None
) -> list[tuple[NodeId, msgspec.Raw]]:
    """Return introductions by node id: one more than a message may have items, if there are."""
    proved = {peer.id for peer in node.store.peers() if pool in peer.pools}
    wanted = node.limits.items_max + 1
    own = node.identity.node_id
    found: list[tuple[NodeId, msgspec.Raw]] = []
    if after is None or own > after:
        found.append((own, msgspec.Raw(node_document.compact(node_page.current(node)))))
    place = after
    while len(found) < wanted:
        members = node.store.members(pool, place, node.limits.items_max)
        found += [(m.node, msgspec.Raw(m.document)) for m in members if m.node in proved]
        if len(members) < node.limits.items_max:
            break
        place = members[-1].node
    # what lies beyond the last one that was read may not be told before it
    return sorted(found, key=lambda entry: entry[0])[:wanted]


def offered(node: Node) -> list[Member]:
    """Return the members that wait for the operator's word, by node id: none of them is called."""
    called = {peer.id for peer in node.store.peers() if peer.address is not None}
    waiting: list[Member] = []
    place: NodeId | None = None
    while members := node.store.members(None, place, node.limits.items_max):
        waiting += [member for member in members if member.offered and member.node not in called]
        place = members[-1].node
    return waiting


def drop_old(node: Node) -> int:
    """Forget members that nobody has introduced for long; peers stay. Return how many."""
    kept_ms = int(node.limits.roster_kept_seconds * 1000)
    return node.store.drop_members(node.clock.now() - kept_ms)
