"""Introductions of pool members in the in-memory store; the caller holds its lock."""

from collections.abc import Collection

from replicator.node.ports import Member
from replicator.protocol.ids import KeyText, NodeId


class MemoryRoster:
    """The newest introduction of each member, with when it came (ms).

    Args:
        entries_max: of more, the one longest not renewed goes.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._members: dict[NodeId, tuple[int, Member]] = {}

    def note(self, member: Member, now: int) -> bool:
        """Keep an introduction; False where a newer or equal one is kept already."""
        kept = self._members.get(member.node)
        if kept is not None and kept[1].time >= member.time:
            return False
        self._members[member.node] = (now, member)
        while len(self._members) > self._entries_max:
            others = (node for node in self._members if node != member.node)
            del self._members[min(others, key=lambda node: (self._members[node][0], node))]
        return True

    def page(self, pool: KeyText | None, after: NodeId | None, limit: int) -> list[Member]:
        """Return introductions (of one pool), by node id after ``after``."""
        return [
            member
            for node, (_, member) in sorted(self._members.items())
            if (after is None or node > after) and (pool is None or pool in member.pools)
        ][:limit]

    def of(self, nodes: Collection[NodeId]) -> dict[NodeId, Member]:
        """Return the kept introductions of ``nodes``."""
        return {node: self._members[node][1] for node in nodes if node in self._members}

    def forget(self, node: NodeId) -> None:
        """Forget the introduction of one member, if there is one."""
        self._members.pop(node, None)

    def drop(self, before: int) -> int:
        """Forget introductions not renewed since ``before``; return how many."""
        old = [node for node, (noted_at, _) in self._members.items() if noted_at < before]
        for node in old:
            del self._members[node]
        return len(old)
