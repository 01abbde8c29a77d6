"""Peers, gaps and pins of the in-memory store; the caller holds its lock."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from replicator.errors import CursorConflict
from replicator.node.ports import Peer, Pin
from replicator.protocol.ids import Cursor, Digest, KeyText, NodeId
from replicator.protocol.post import Ref
from replicator.rules.trust import standing_among


@dataclass(frozen=True)
class Repinned:
    """That other keys of a node stand than before; ``after``: the id judged anew last."""

    place: int
    after: str = ""
    found: bool = False


class MemoryPeers:
    """What a store knows of other nodes.

    Args:
        gaps_max: gaps kept per peer; of more the oldest are dropped.
    """

    def __init__(self, gaps_max: int) -> None:
        self._gaps_max = gaps_max
        self._peers: dict[NodeId, Peer] = {}
        self._gaps: dict[NodeId, dict[Digest, Ref]] = defaultdict(dict)
        self._pins: dict[NodeId, dict[KeyText, Pin]] = defaultdict(dict)
        self._serials: dict[NodeId, int] = {}
        self.repinned: dict[NodeId, Repinned] = {}

    def all(self) -> list[Peer]:
        """Return all peers, ordered by id."""
        return [self._peers[node] for node in sorted(self._peers)]

    def get(self, node: NodeId) -> Peer | None:
        """Return one peer, or None."""
        return self._peers.get(node)

    def add(self, node: NodeId, address: str | None, now: int) -> None:
        """Add a peer, or give a known one another address."""
        if node not in self._peers:
            self._peers[node] = Peer(node, address, added_at=now)
        elif address is not None:
            self.change(node, address=address)

    def change(self, node: NodeId, **values: Any) -> None:
        """Change members of a peer; a node that is no peer stays none."""
        if node in self._peers:
            self._peers[node] = replace(self._peers[node], **values)

    def join(self, node: NodeId, pools: Collection[KeyText]) -> bool:
        """Note memberships; where one is new the peer's cursors start again (True)."""
        held = self._peers[node].pools if node in self._peers else frozenset[KeyText]()
        if held.issuperset(pools):
            return False
        self.add(node, None, 0)
        self.change(node, pools=held.union(pools), pushed=0, pulled=None)
        return True

    def forget(self, node: NodeId) -> bool:
        """Remove a peer, its gaps and pins but revoked ones; False: there was nothing of these."""
        pins = self._pins.pop(node, {})
        revoked = {key: pin for key, pin in pins.items() if pin.state == "revoked"}
        if revoked:
            self._pins[node] = revoked
        was_there = node in self._peers or len(pins) > len(revoked)
        for table in (self._peers, self._gaps, self._serials):
            table.pop(node, None)
        return was_there

    def move_pushed(self, node: NodeId, before: int, after: int) -> None:
        """Move a lane's cursor by compare-and-set."""
        peer = self._peers.get(node)
        if peer is None or peer.pushed != before:
            raise CursorConflict(f"the lane to {node} is not at {before} any more")
        self.change(node, pushed=after)

    def move_pulled(self, node: NodeId, before: Cursor | None, after: Cursor | None) -> None:
        """Move a pull cursor by compare-and-set."""
        peer = self._peers.get(node)
        if peer is None or peer.pulled != before:
            raise CursorConflict(f"the pull from {node} is not where it began any more")
        self.change(node, pulled=after)

    def add_gaps(self, node: NodeId, refs: Sequence[Ref]) -> None:
        """Note refs of a holder; one noted before keeps its place."""
        gaps = self._gaps[node]
        for ref in refs:
            gaps.setdefault(ref.digest, ref)
        for digest in list(gaps)[: max(0, len(gaps) - self._gaps_max)]:
            del gaps[digest]

    def gaps(self, node: NodeId) -> list[Ref]:
        """Return missing refs of a holder, oldest first."""
        return list(self._gaps.get(node, {}).values())

    def count_gaps(self) -> int:
        """Return the number of gaps of all holders."""
        return sum(map(len, self._gaps.values()))

    def drop_gaps(self, node: NodeId, digests: Iterable[Digest]) -> None:
        """Forget gaps of one holder."""
        for digest in digests:
            self._gaps.get(node, {}).pop(digest, None)

    def drop_decided(self, known: Callable[[Iterable[Digest]], set[Digest]]) -> None:
        """Forget gaps whose digest is known by now."""
        for node, gaps in self._gaps.items():
            self.drop_gaps(node, known(list(gaps)))

    def drop_gaps_where(self, is_past: Callable[[Ref], bool]) -> None:
        """Forget gaps of which a rule says that nobody needs them any more."""
        for node, gaps in self._gaps.items():
            self.drop_gaps(node, [ref.digest for ref in gaps.values() if is_past(ref)])

    def pins(self, nodes: Collection[NodeId]) -> dict[NodeId, tuple[Pin, ...]]:
        """Return pins per node, current first; nodes without pins are absent."""
        return {
            node: tuple(
                sorted(
                    pins.values(), key=lambda pin: (pin.state != "current", pin.pinned_at, pin.key)
                )
            )
            for node in nodes
            if (pins := self._pins.get(node))
        }

    def pinned_under(self, key: KeyText) -> list[NodeId]:
        """Return the nodes for which a key is pinned in any state, in order."""
        return sorted(node for node, pins in self._pins.items() if key in pins)

    def keys(self, node: NodeId) -> frozenset[KeyText]:
        """Return the keys pinned for a node, in any state."""
        return frozenset(self._pins.get(node, {}))

    def standing(self, node: NodeId) -> frozenset[KeyText]:
        """Return the keys that authenticate posts of a node."""
        pins = self._pins.get(node, {})
        return standing_among({key: pin.state for key, pin in pins.items()})

    def pin(self, node: NodeId, keys: Collection[KeyText], source: str, now: int) -> bool:
        """Pin keys for a node that has none but revoked ones, and not these; False: nothing new."""
        present = self._pins.get(node, {})
        fresh = set(keys) - present.keys()
        if not fresh or any(pin.state != "revoked" for pin in present.values()):
            return False
        for key in fresh:
            self._pins[node][key] = Pin(key, "current", now, source)
        self._follow(node, frozenset())
        return True

    def repin(self, node: NodeId, keys: Collection[KeyText], now: int, *, revoke: bool) -> None:
        """Make ``keys`` the current ones; others become retired, or revoked."""
        before = self.standing(node)
        for key, pin in list(self._pins[node].items()):
            if revoke:
                self._pins[node][key] = replace(pin, state="revoked", until=None)
            elif pin.state == "current":
                self._pins[node][key] = replace(pin, state="retired", until=None)
        for key in keys:
            self._pins[node][key] = Pin(key, "current", now, "operator")
        self._serials.pop(node, None)
        self._follow(node, before, found=True)

    def serial(self, node: NodeId) -> int:
        """Return the serial of the newest announcement taken of a node, or 0."""
        return self._serials.get(node, 0)

    def announce(
        self, node: NodeId, before: Collection[Pin], after: Collection[Pin], serial: int
    ) -> bool:
        """Replace all pins by what was announced; False, and unchanged, where it does not fit."""
        present = set(self._pins.get(node, {}).values())
        if not present or present != set(before) or self.serial(node) >= serial:
            return False
        standing = self.standing(node)
        self._pins[node] = {pin.key: pin for pin in after}
        self._serials[node] = serial
        self._follow(node, standing)
        return True

    def _follow(self, node: NodeId, before: frozenset[KeyText], *, found: bool = False) -> None:
        """Have posts of a node judged anew, if other keys stand than before."""
        if self.standing(node) != before:
            self.have_judged(node, found=found)

    def have_judged(self, node: NodeId, *, found: bool = False) -> None:
        """Have posts of a node judged anew from the first on; ``found``: and looked for."""
        found = found or (node in self.repinned and self.repinned[node].found)
        self.repinned[node] = Repinned(self.last_place() + 1, found=found)

    def last_place(self) -> int:
        """Return the last turn of all that is to be judged anew."""
        return max((mark.place for mark in self.repinned.values()), default=0)
