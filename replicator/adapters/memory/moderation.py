"""Blocks and evidence of equivocation of the in-memory store; the caller holds its lock."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.ports import Block, BlockKind, BlockName, Equivocation, Equivocator
from replicator.protocol.ids import Digest, GlobalId, NodeId, origin_of
from replicator.protocol.post import Post, Ref


def names_of(digest: str, post_id: GlobalId) -> tuple[BlockName, ...]:
    """Return the names by which a post may be blocked."""
    return (
        BlockName("digest", digest),
        BlockName("id", post_id),
        BlockName("node", origin_of(post_id)),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    block: Block
    ends: bool = False


class MemoryBlocks:
    """What is blocked, and what is still to be done about it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rows: dict[BlockName, _Row] = {}

    def stands(self, name: BlockName) -> bool:
        """Tell whether a block counts."""
        return name in self._rows and not self._rows[name].ends

    def covers(self, digest: str, post_id: GlobalId) -> bool:
        """Tell whether a post is blocked by any of its names."""
        return bool(self._rows) and any(map(self.stands, names_of(digest, post_id)))

    def among(self, refs: Iterable[Ref]) -> set[Digest]:
        """Return the digests of refs that are blocked."""
        return {ref.digest for ref in refs if self.covers(ref.digest, ref.id)}

    def add(self, names: Collection[BlockName], reason: str, now: int) -> int:
        """Block; return how many were not blocked before."""
        new = [name for name in {*names} if not self.stands(name)]
        count = len({*self._rows, *new})
        if new and count > self._limits.blocks_max:
            raise ConfigurationError(
                f"{count:,} blocks would stand, more than limits.blocks_max "
                f"({self._limits.blocks_max:,})"
            )
        for name in new:
            self._rows[name] = _Row(Block(name, reason, now, done=False))
        return len(new)

    def lift(self, names: Collection[BlockName]) -> int:
        """Let blocks count no more; return how many stood."""
        ending = [name for name in {*names} if self.stands(name)]
        for name in ending:
            self._rows[name] = replace(self._rows[name], ends=True)
        return len(ending)

    def all(self) -> list[Block]:
        """Return blocks that count, by kind and value."""
        standing = [row.block for row in self._rows.values() if not row.ends]
        return sorted(standing, key=lambda block: block.name)

    def at_work(self, *, ends: bool) -> list[BlockName]:
        """Return the next blocks that begin, or that end: exact ones, or else one node."""
        names = sorted(
            name
            for name, row in self._rows.items()
            if row.ends == ends and (ends or not row.block.done)
        )[: self._limits.expire_items_max]
        return [name for name in names if name.kind != "node"] or names[:1]

    def done(self, names: Iterable[BlockName]) -> None:
        """Note that nothing is left to do about blocks."""
        for name in names:
            row = self._rows[name]
            if row.ends:
                del self._rows[name]
            else:
                self._rows[name] = _Row(replace(row.block, done=True))


class MemoryEquivocations:
    """Who signed two contents under one id, with the newest evidence."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.evidence: list[Equivocation] = []
        self.flagged: dict[NodeId, Equivocator] = {}

    def note(self, one: Post, other: Post, now: int) -> None:
        """Keep two contents of one id as evidence."""
        kept, lost = sorted((one, other), key=lambda post: post.digest)
        if any((kept.digest, lost.digest) == (it.kept, it.lost.digest) for it in self.evidence):
            return
        self.evidence.append(Equivocation(one.id, kept.digest, kept, lost, now))
        origin, limits = origin_of(one.id), self._limits
        of_origin = [found for found in self.evidence if origin_of(found.id) == origin]
        for surplus in of_origin[: -limits.equivocations_per_origin_max]:
            self.evidence.remove(surplus)
        del self.evidence[: max(0, len(self.evidence) - limits.equivocations_max)]

    def lost(self, digests: Collection[Digest]) -> list[Post]:
        """Return posts that stand in the evidence as lost, each once."""
        found = {one.lost.digest: one.lost for one in self.evidence}
        return [found[digest] for digest in sorted({*digests} & found.keys())]

    def acquit(self, origin: NodeId, times: int) -> None:
        """Take back how often an origin was seen to equivocate; a flag without cause goes."""
        before = self.flagged.pop(origin, None)
        if before is not None and before.times > times:
            self.flagged[origin] = replace(before, times=before.times - times)

    def flag(self, origin: NodeId, times: int, now: int) -> None:
        """Note that an origin was seen to equivocate."""
        if times <= 0:
            return
        before = self.flagged.get(origin, Equivocator(origin, now, now, 0))
        last_at = max(before.last_at, now)
        self.flagged[origin] = replace(before, last_at=last_at, times=before.times + times)
        if len(self.flagged) > self._limits.equivocators_max:
            oldest = min(self.flagged.values(), key=lambda one: (one.last_at, one.node))
            del self.flagged[oldest.node]


def of_kind(names: Iterable[BlockName], kind: BlockKind) -> set[str]:
    """Return the values of one kind."""
    return {name.value for name in names if name.kind == kind}
