"""Cursors: what they pass has arrived, was answered for, or is remembered as missing."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from replicator.errors import Refusal
from replicator.node.ports import LanePage, Peer, Query
from replicator.protocol.ids import Cursor, Digest, NodeId, origin_of
from replicator.protocol.post import Ref
from replicator.simulator.fibers import Fiber
from replicator.simulator.monitors.base import Monitor

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World


class LaneCursor(Monitor):
    """A lane's cursor passes only entries that the peer has answered for.

    The peer must have looked at each of the digests while answering this node, and the task that
    moves the cursor must have got an answer since it read what it moves past.
    """

    name = "lane-cursor"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._seen: dict[tuple[NodeId, NodeId], set[Digest]] = defaultdict(set)
        self._at: dict[tuple[NodeId, NodeId], int] = {}
        world.watch.on("work", "take_request", self._on_take)
        world.watch.on("store", "known", self._on_known)
        world.watch.on("store", "lane", self._on_lane)
        world.watch.on("store", "move_lane", self._on_move)
        world.watch.on("store", "join_pools", self._on_join)

    def _on_take(self, machine: "Machine", fiber: Fiber, taken: Any, token: str) -> None:
        if taken is not None:
            fiber.notes["sender"] = taken[0].sender

    def _on_known(self, machine: "Machine", fiber: Fiber | None, _: Any, digests: Any) -> None:
        sender = fiber.notes.get("sender") if fiber is not None else None
        if sender is not None:
            self._seen[machine.id, sender].update(digests)

    def _on_join(
        self,
        machine: "Machine",
        _: Any,
        new: Any,
        node: NodeId,
        pools: Any,
    ) -> None:
        if new:
            self._at[machine.id, node] = 0

    def _on_lane(
        self, machine: "Machine", fiber: Fiber | None, page: LanePage, peer: Peer, *_: Any
    ) -> None:
        if fiber is not None:
            pages = fiber.notes.setdefault("lanes", {})
            pages[peer.id] = (page, fiber.notes.get("answers", 0))

    def _on_move(
        self,
        machine: "Machine",
        fiber: Fiber,
        _: None,
        node: NodeId,
        before: int,
        after: int,
    ) -> None:
        pair = machine.id, node
        if self._at.get(pair, 0) != before or after < before:
            stood = self._at.get(pair, 0)
            self.broken(
                f"{machine.id} moved the lane to {node} from {before} to {after}, "
                f"though it stood at {stood}"
            )
        self._at[pair] = after
        page, answers = fiber.notes.get("lanes", {}).get(node, (None, 0))
        if page is None or not page.refs or not machine.honest:
            return
        on_page = zip(page.refs, page.positions, strict=True)
        # what expired since the page was read is not sent
        passed = machine.store.held(
            {ref.digest for ref, position in on_page if before < position <= after}
        )
        if passed and fiber.notes.get("answers", 0) <= answers:
            self.broken(f"{machine.id} moved the lane to {node} past posts without an answer")
        peer = self.world.by_id.get(node)
        refused = fiber.notes.get("status") in (400, 413)
        if peer is not None and peer.honest and not refused:
            unseen = passed - self._seen[node, machine.id]
            if unseen:
                self.broken(f"{machine.id} moved the lane past {len(unseen)} that {node} never saw")


class PullCursor(Monitor):
    """A pull's cursor passes only refs that are stored, decided, expired or noted as gaps."""

    name = "pull-cursor"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        world.watch.on("store", "record_pull", self._on_pull)

    def _on_pull(
        self,
        machine: "Machine",
        fiber: Fiber | None,
        _: Any,
        node: NodeId,
        before: Cursor | None,
        after: Cursor | None,
        **__: Any,
    ) -> None:
        source = self.world.by_id.get(node)
        if source is None or not source.honest or not machine.honest or after is None:
            return
        passed = self._passed(source, before, after)
        known = machine.store.known({ref.digest for ref in passed})
        limit = self.world.limits.gaps_per_peer_max
        gaps = {ref.digest for ref in machine.store.gaps(node, limit)}
        floor = machine.store.floor()
        own = machine.store.origin_floors({origin_of(ref.id) for ref in passed})
        lost = [
            ref.id
            for ref in passed
            if ref.digest not in known
            and ref.digest not in gaps
            and ref.published >= max(floor, own.get(origin_of(ref.id), 0))
        ]
        if lost:
            self.broken(f"{machine.id} passed {len(lost)} posts of {node}: {lost[0]} is nowhere")

    def _passed(self, source: "Machine", before: Cursor | None, after: Cursor) -> list[Ref]:
        """Return the refs between two cursors as they stand in the source's log now."""
        refs: list[Ref] = []
        scopes = frozenset({self.world.pool.public})
        end = source.store.ref_page(Query(scopes=scopes), after)
        later = {ref.digest for ref in end.refs}
        at: Cursor | None = before
        while True:
            try:
                page = source.store.ref_page(Query(scopes=scopes), at)
            except Refusal:
                return refs
            refs += page.refs
            if not page.more or page.cursor == at:
                break
            at = page.cursor
        if end.more:
            later |= self._rest(source, end.cursor)
        return [ref for ref in refs if ref.digest not in later]

    def _rest(self, source: "Machine", at: Cursor) -> set[Digest]:
        later: set[Digest] = set()
        while True:
            page = source.store.ref_page(Query(scopes=frozenset({self.world.pool.public})), at)
            later.update(ref.digest for ref in page.refs)
            if not page.more:
                return later
            at = page.cursor
