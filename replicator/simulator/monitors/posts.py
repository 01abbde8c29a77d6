"""Posts: what was acknowledged stays, what is stored is authentic, and boards see each one once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replicator.node.ports import Added, Incoming, Query
from replicator.protocol.ids import Cursor, Digest, NodeId, origin_of
from replicator.simulator.monitors.base import Monitor

if TYPE_CHECKING:
    from replicator.simulator.machine import Machine
    from replicator.simulator.world import World


class Acknowledged(Monitor):
    """A post whose board was told that it is stored stays with its entry node."""

    name = "acknowledged"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._kept: dict[NodeId, dict[Digest, int]] = defaultdict(dict)

    def published(self, machine: "Machine", posts: Mapping[Digest, int]) -> None:
        """Remember what was acknowledged."""
        self._kept[machine.id].update(posts)

    def look(self) -> None:
        """Look for lost posts at their entry nodes."""
        for machine in self.world.machines.values():
            lost = self._lost(machine, self._kept[machine.id])
            if lost:
                self.broken(f"{machine.id} lost {len(lost)} acknowledged posts")

    def finish(self) -> None:
        """Look for acknowledged posts of honest nodes at all honest nodes."""
        kept: dict[Digest, int] = {}
        for machine in self.world.machines.values():
            if machine.honest:
                kept.update(self._kept[machine.id])
        floor = max(m.store.floor() for m in self.world.machines.values() if m.honest)
        kept = {digest: published for digest, published in kept.items() if published >= floor}
        for machine in self.world.machines.values():
            lost = self._lost(machine, kept)
            if lost:
                self.broken(f"{machine.id} lacks {len(lost)} acknowledged posts")

    def _lost(self, machine: "Machine", posts: Mapping[Digest, int]) -> set[Digest]:
        """Return those that have not expired at an honest node, and are not there."""
        floor = machine.store.floor()
        due = {digest for digest, published in posts.items() if published >= floor}
        return due - machine.store.held(due) if machine.honest else set()


class Authentic(Monitor):
    """Nothing is stored in an honest origin's name that it did not publish."""

    name = "authentic"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._genuine: set[Digest] = set()
        world.watch.on("store", "publish", self._on_publish)
        world.watch.on("store", "add", self._on_add)
        world.watch.on("store", "record_pull", self._on_pull)

    def _on_publish(
        self, machine: "Machine", _: Any, __: Any, items: Sequence[Incoming], now: int
    ) -> None:
        self._genuine.update(item.post.digest for item in items)

    def _on_add(
        self, machine: "Machine", _: Any, __: Any, items: Sequence[Incoming], now: int
    ) -> None:
        if machine.honest:
            self._check(machine, items)

    def _on_pull(
        self,
        machine: "Machine",
        *_: Any,
        posts: Sequence[Incoming] = (),
        **__: Any,
    ) -> None:
        if machine.honest:
            self._check(machine, posts)

    def _check(self, machine: "Machine", items: Sequence[Incoming]) -> None:
        for item in items:
            origin = self.world.by_id.get(origin_of(item.post.id))
            foreign = origin is None or origin.honest
            if foreign and item.post.digest not in self._genuine:
                self.broken(f"{machine.id} stored {item.post.id}, which was never published")


class Follower(Monitor):
    """A board that follows a node's log by cursor sees every post exactly once."""

    name = "board"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._cursors: dict[NodeId, Cursor | None] = defaultdict(lambda: None)
        self._seen: dict[NodeId, set[Digest]] = defaultdict(set)

    def look(self) -> None:
        """Read on at every node."""
        for machine in self.world.machines.values():
            more = True
            while more:
                page = machine.store.ref_page(Query(), self._cursors[machine.id])
                self._cursors[machine.id], more = page.cursor, page.more
                for ref in page.refs:
                    if ref.digest in self._seen[machine.id]:
                        self.broken(f"the board of {machine.id} saw {ref.id} twice")
                    self._seen[machine.id].add(ref.digest)

    def finish(self) -> None:
        """Compare what the boards saw with what their nodes hold."""
        self.look()
        for machine in self.world.machines.values():
            unseen = self.world.digests_of(machine) - self._seen[machine.id]
            if unseen:
                self.broken(f"the board of {machine.id} never saw {len(unseen)} posts")


class Once(Monitor):
    """The effect of a task happens once, however often it runs: a post is stored once."""

    name = "once"

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._stored: set[tuple[NodeId, Digest]] = set()
        world.watch.on("store", "add", self._on_add)
        world.watch.on("store", "publish", self._on_add)
        world.watch.on("store", "record_pull", self._on_pull)

    def _on_add(
        self,
        machine: "Machine",
        _: Any,
        outcomes: Sequence[Added],
        items: Sequence[Incoming],
        now: int,
    ) -> None:
        for outcome, item in zip(outcomes, items, strict=True):
            if outcome not in (Added.STORED, Added.REPLACED):
                continue
            name = machine.id, item.post.digest
            if name in self._stored:
                self.broken(f"{machine.id} stored {item.post.id} twice")
            self._stored.add(name)

    def _on_pull(
        self,
        machine: "Machine",
        fiber: Any,
        outcomes: Sequence[Added],
        *_: Any,
        posts: Sequence[Incoming] = (),
        **__: Any,
    ) -> None:
        self._on_add(machine, fiber, outcomes, posts, 0)
