"""The quarantine of the in-memory store; the caller holds its lock."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from replicator.limits import Limits
from replicator.node.ports import Waiting, WaitingEntry, WaitingOrigin
from replicator.protocol.ids import Digest, GlobalId, NodeId, origin_of
from replicator.rules.merging import merged_signatures
from replicator.rules.quarantine import Room

Known = Callable[[Collection[Digest]], set[Digest]]


class MemoryQuarantine:
    """Copies of posts of unknown origin, one per digest and deliverer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._copies: dict[int, tuple[Waiting, int]] = {}

    def put(self, items: Sequence[Waiting], now: int) -> set[Digest]:
        """Keep copies as far as there is room; return the digests that wait."""
        numbers = {
            (one.post.digest, one.deliverer): number for number, (one, _) in self._copies.items()
        }
        kept: set[Digest] = set()
        room = Room(self._limits, self._counts())
        for item in items:
            place = item.post.digest, item.deliverer
            if place in numbers:
                self._merge(numbers[place], item)
            elif room.take(item):
                numbers[place] = max(self._copies, default=0) + 1
                self._copies[numbers[place]] = item, now
            else:
                continue
            kept.add(item.post.digest)
        return kept

    def _counts(self) -> dict[NodeId, tuple[int, int]]:
        counts: dict[NodeId, tuple[int, int]] = {}
        for one, _ in self._copies.values():
            posts, size = counts.get(one.deliverer, (0, 0))
            counts[one.deliverer] = posts + 1, size + one.post.size
        return counts

    def _merge(self, number: int, item: Waiting) -> None:
        before, noted_at = self._copies[number]
        signatures = merged_signatures(
            item.post.signatures,
            before.post.signatures,
            frozenset(),
            self._limits.post_signatures_max,
        )
        post = replace(item.post, signatures=signatures)
        merged = replace(item, post=post, pools=item.pools | before.pools)
        self._copies[number] = merged, noted_at

    def among(self, deliverer: NodeId, digests: Collection[Digest]) -> set[Digest]:
        """Return which of ``digests`` wait as ``deliverer`` gave them."""
        given = {one.post.digest for one, _ in self._copies.values() if one.deliverer == deliverer}
        return given.intersection(digests)

    def entries(self, after: int, limit: int) -> list[WaitingEntry]:
        """Return copies by number after ``after``."""
        return [
            WaitingEntry(
                number,
                one.post.ref,
                frozenset(signature.key for signature in one.post.signatures),
            )
            for number, (one, _) in sorted(self._copies.items())
            if number > after
        ][:limit]

    def copies(self, ids: Collection[int]) -> dict[int, Waiting]:
        """Return copies by number."""
        return {number: self._copies[number][0] for number in ids if number in self._copies}

    def drop(self, ids: Collection[int]) -> None:
        """Forget copies by number."""
        for number in ids:
            self._copies.pop(number, None)

    def forget(self, deliverer: NodeId) -> None:
        """Forget what a node gave."""
        self.drop([n for n, (one, _) in self._copies.items() if one.deliverer == deliverer])

    def drop_blocked(self, covers: Callable[[Digest, GlobalId], bool]) -> None:
        """Forget copies of what is blocked."""
        self.drop(
            [n for n, (one, _) in self._copies.items() if covers(one.post.digest, one.post.id)]
        )

    def expire(self, before: int, known: Known) -> int:
        """Forget copies noted before ``before``, or decided meanwhile; return how many."""
        decided = known({one.post.digest for one, _ in self._copies.values()})
        gone = [
            number
            for number, (one, noted_at) in self._copies.items()
            if noted_at < before or one.post.digest in decided
        ]
        self.drop(gone)
        return len(gone)

    def origins(self) -> list[WaitingOrigin]:
        """Return what waits, by origin."""
        by_origin: dict[NodeId, list[tuple[Waiting, int]]] = {}
        for one, noted_at in self._copies.values():
            by_origin.setdefault(origin_of(one.post.id), []).append((one, noted_at))
        return [
            WaitingOrigin(
                origin=origin,
                copies=len(given),
                size=sum(one.post.size for one, _ in given),
                deliverers=tuple(sorted({one.deliverer for one, _ in given})),
                oldest=min(noted_at for _, noted_at in given),
            )
            for origin, given in sorted(by_origin.items())
        ]
