"""The fetch queue: what is wanted from whom, under lease to one worker at a time.

Part of `RedisWorkState`. Every batch is one script and one round trip. What a script returns is
flat text, read here into value objects.
"""

import secrets
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from replicator.adapters.redis.keys import WEEK_MS, Keys
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.node.ports import DeadLetter, FetchItem, FetchLease, Settlement, Wanted
from replicator.protocol.ids import Digest, GlobalId, NodeId
from replicator.protocol.post import Ref

LEASE_KEPT_FACTOR: Final = 10
"""A lease that nobody took over may be settled this many times later than it expired."""


NAME_PREFIX: Final = "sha256:"
"""Before every digest in the queue. It makes names longer than 64 bytes, so that the server never
keeps a hash of them in its compact encoding, which is searched entry by entry: there, looking 500
names up takes 1.3 ms of the server's time, and a batch does that several times."""


def name_of(digest: Digest) -> str:
    """Return how a digest is named in the queue."""
    return NAME_PREFIX + digest


def pack_ref(ref: Ref) -> str:
    """Return a ref without its digest as ``size published id``; ids hold no space."""
    return f"{ref.size} {ref.published} {ref.id}"


def unpack_ref(name: str, packed: str) -> Ref:
    """Return the ref that `pack_ref` packed."""
    size, published, post_id = packed.split(" ", 2)
    digest = Digest(name.removeprefix(NAME_PREFIX))
    return Ref(GlobalId(post_id), digest, int(published), int(size))


class FetchWork:
    """The fetch queue methods of `WorkState`; see there."""

    _server: Server
    _keys: Keys
    _limits: Limits

    def want(self, holder: NodeId, refs: Sequence[Ref], now: int) -> list[Wanted]:
        """Queue refs for fetching from ``holder``, due now; per ref, what became of it."""
        if not refs:
            return []
        limits = self._limits
        latest = now + int(max(limits.retry_cap_seconds, limits.lease_seconds) * 1000)
        args: list[Argument] = [holder, now, WEEK_MS, limits.fetch_queue_items_max, latest]
        for ref in refs:
            args += (name_of(ref.digest), pack_ref(ref))
        answers = self._server.run("want", [self._keys.fetch], args)
        return [Wanted(answer.decode()) for answer in answers]

    def lease(self, holder: NodeId, limit: int, bytes_max: int, now: int) -> FetchLease | None:
        """Lease due items of a holder, smallest due time first; None where nothing is due."""
        if limit <= 0:
            return None
        token = secrets.token_hex(16)
        limits = self._limits
        lease_ms, claim_ms = limits.lease_seconds * 1000, limits.claim_seconds * 1000
        args: list[Argument] = [
            *(holder, now, WEEK_MS, token, limit, bytes_max),
            *(now + lease_ms, LEASE_KEPT_FACTOR * lease_ms, now + claim_ms, claim_ms),
            # An item that another holder's fetch has claimed is looked at again a tick later
            now + max(1, int(limits.tick_seconds * 1000)),
            *(limits.crash_attempts_max, limits.dead_letters_max, limits.suspects_max),
        ]
        flat = _texts(self._server.run("lease", [self._keys.fetch], args))
        items = tuple(
            FetchItem(unpack_ref(name, packed), int(tries), int(suspicions))
            for name, packed, tries, suspicions in zip(flat, flat, flat, flat, strict=True)
        )
        return FetchLease(holder, token, items) if items else None

    def settle(self, lease: FetchLease, outcome: Settlement, now: int) -> bool:
        """End a lease; False, and nothing changed, where it had expired and was taken over."""
        done = outcome.done
        rest = {item.ref.digest for item in lease.items} - set(done)
        missing = rest & set(outcome.missing)
        rest -= missing
        dead = {digest: self._reason(outcome.dead[digest]) for digest in rest & outcome.dead.keys()}
        rest -= dead.keys()
        failed = {digest: outcome.failed[digest] for digest in rest & outcome.failed.keys()}
        rest -= failed.keys()
        suspects = rest & outcome.suspects.keys()
        doubts = {digest: self._reason(outcome.suspects[digest]) for digest in suspects}
        rest -= suspects
        muted = {digest: outcome.muted[digest] for digest in rest & outcome.muted.keys()}
        rest -= muted.keys()
        args: list[Argument] = [lease.holder, now, WEEK_MS, lease.token]
        args += (self._limits.dead_letters_max, self._limits.crash_attempts_max)
        args += (len(done), len(missing), len(rest), len(dead), len(failed), len(doubts))
        args.append(len(muted))
        args += [name_of(digest) for digest in (*done, *missing, *rest)]
        for paired in (dead, failed, doubts, muted):
            for digest, value in paired.items():
                args += (name_of(digest), value)
        return bool(self._server.run("settle", [self._keys.fetch], args))

    def _reason(self, reason: str) -> bytes:
        return reason[: self._limits.record_chars_max].encode("utf-8", "replace")

    def due_holders(self, now: int, limit: int) -> list[NodeId]:
        """Return holders with due (or lease-expired) items, longest due first."""
        if limit <= 0:
            return []
        page = ("-inf", now, "LIMIT", 0, limit)
        due = self._server.command("ZRANGEBYSCORE", self._keys.fetch_due, *page)
        return [NodeId(holder.decode()) for holder in due]

    def queued(self) -> dict[NodeId, int]:
        """Return the number of queued items per holder, leased ones included."""
        flat = self._server.run("queued", [self._keys.fetch])
        pairs = iter(flat)
        return {NodeId(holder.decode()): int(n) for holder, n in zip(pairs, pairs, strict=True)}

    def dead(self, limit: int) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        flat = _texts(self._server.run("dead", [self._keys.fetch], [max(0, limit)]))
        return [_letter(*letter) for letter in zip(flat, flat, flat, strict=True)]

    def requeue(self, digests: Collection[Digest], now: int, holder: NodeId | None = None) -> int:
        """Queue dead letters again with no attempts counted; return how many."""
        args: list[Argument] = [holder or "", now, WEEK_MS, self._limits.fetch_queue_items_max]
        args += [name_of(digest) for digest in digests]
        return int(self._server.run("requeue", [self._keys.fetch], args))

    def drop(self, digests: Collection[Digest], holder: NodeId | None = None) -> int:
        """Remove dead letters, of all holders or of one; return how many."""
        args = [holder or "", *(name_of(digest) for digest in digests)]
        return int(self._server.run("drop", [self._keys.fetch], args))

    def hasten(self, holder: NodeId, now: int) -> int:
        """Make items that wait for a later attempt due now; return how many."""
        args: list[Argument] = [holder, now, WEEK_MS]
        return int(self._server.run("hasten", [self._keys.fetch], args))


def _texts(answer: Sequence[bytes]) -> Iterator[str]:
    return (value.decode("utf-8", "replace") for value in answer)


def _letter(name: str, at: str, packed: str) -> DeadLetter:
    digest_name, holder = name.split(" ")
    tries, size, published, post_id, reason = packed.split(" ", 4)
    ref = unpack_ref(digest_name, f"{size} {published} {post_id}")
    return DeadLetter(ref, NodeId(holder), reason, int(tries), int(at))
