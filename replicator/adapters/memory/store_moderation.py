"""The part of the in-memory store about blocks and equivocation."""

import threading
from collections.abc import Collection

from replicator.adapters.memory.peers import MemoryPeers, Repinned
from replicator.adapters.memory.quarantine import MemoryQuarantine
from replicator.adapters.memory.store_posts import MemoryPosts
from replicator.node.ports import Block, BlockName, Covered, Equivocation, Equivocator, Reopened
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.post import Post, Ref


class MemoryModerationStore:
    """Implements `replicator.node.ports.ModerationStore`; `MemoryStore` makes its parts."""

    _lock: threading.RLock
    _posts: MemoryPosts
    _peers: MemoryPeers
    _quarantine: MemoryQuarantine

    def add_blocks(self, names: Collection[BlockName], reason: str, now: int) -> int:
        """Block; return how many were not blocked before."""
        with self._lock:
            return self._posts.blocks.add(names, reason, now)

    def lift_blocks(self, names: Collection[BlockName]) -> int:
        """Let blocks count no more; return how many of ``names`` were blocked."""
        with self._lock:
            return self._posts.blocks.lift(names)

    def apply_blocks(self, now: int) -> int:
        """Do one bounded step of what blocks ask for; 0: there is nothing to do."""
        del now
        with self._lock:
            return self._begin() or self._posts.end_blocks()

    def _begin(self) -> int:
        names = self._posts.blocks.at_work(ends=False)
        if not names:
            return 0
        removed = self._posts.begin_blocks(names)
        covers = self._posts.blocks.covers
        self._peers.drop_gaps_where(lambda ref: covers(ref.digest, ref.id))
        self._quarantine.drop_blocked(covers)
        return removed

    def blocks(self) -> list[Block]:
        """Return all blocks that count, by kind and value."""
        with self._lock:
            return self._posts.blocks.all()

    def blocked(self, refs: Collection[Ref]) -> set[Digest]:
        """Return the digests of refs whose digest, id or origin is blocked."""
        with self._lock:
            return self._posts.blocks.among(refs)

    def covered(self, names: Collection[BlockName]) -> Covered:
        """Return what ``names`` stand for, blocked or not."""
        with self._lock:
            held = self._posts.held_of(names)
            return Covered(len(held), len(self._posts.blocked_of(names)))

    def reopen(self, now: int) -> Reopened | None:
        """Judge anew some of what lost to another content of its id; None: nothing is left."""
        with self._lock:
            marks = self._peers.repinned
            if not marks:
                return None
            origin = min(marks, key=lambda node: marks[node].place)
            mark = marks[origin]
            ids, ended = self._posts.fallen_ids(origin, mark.after)
            digests = self._posts.reopen(origin, ids, self._peers.keys(origin), now)
            found = mark.found or bool(digests)
            place = mark.place if ended else self._peers.last_place() + 1
            marks[origin] = Repinned(place, mark.after if ended else ids[-1], found)
            return Reopened(origin, digests, place, found, ended)

    def end_reopening(self, step: Reopened) -> None:
        """Note that what the last step of an origin found is looked for."""
        with self._lock:
            mark = self._peers.repinned.get(step.origin)
            if mark is not None and mark.place == step.place:
                del self._peers.repinned[step.origin]

    def equivocators(self, nodes: Collection[NodeId] | None = None) -> list[Equivocator]:
        """Return origins (of ``nodes``) seen to equivocate, the one seen last first."""
        with self._lock:
            found = self._posts.twofold.flagged.values()
            chosen = [one for one in found if nodes is None or one.node in nodes]
            return sorted(chosen, key=lambda one: (-one.last_at, one.node))

    def equivocations(self) -> list[Equivocation]:
        """Return the evidence that is kept, the newest first."""
        with self._lock:
            return self._posts.twofold.evidence[::-1]

    def lost_posts(self, digests: Collection[Digest]) -> list[Post]:
        """Return posts that lost to another content of their id and are kept as evidence."""
        with self._lock:
            return self._posts.twofold.lost(digests)
