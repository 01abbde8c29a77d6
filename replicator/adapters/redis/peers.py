"""What is kept of each peer: its breaker, the times of periodic work, progress; and forgetting it.

Part of `RedisWorkState`. Whatever is stored that is no record of this version reads as absent.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, get_args

import msgspec

from replicator.adapters.redis.keys import DAY_MS, WEEK_MS, Keys
from replicator.adapters.redis.requests import unpack
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.node.ports import DoorbellKind, DueKind, HoldKind, Progress
from replicator.protocol.ids import NodeId
from replicator.rules.breaker import RAMP_STEPS, Breaker

_pack = msgspec.msgpack.Encoder().encode
_NUMBER_MAX: Final = 2**53 - 1
"""No time and no count is larger; what is, did not come from here."""
T = TypeVar("T")


class PeerWork:
    """The methods of `WorkState` for breakers, times, progress and forgetting; see there."""

    _server: Server
    _keys: Keys
    _limits: Limits

    def breakers(self, peers: Collection[NodeId]) -> dict[NodeId, Breaker]:
        """Return the breaker of each of ``peers``, in one round trip."""
        stored = self._read(self._keys.breaker(peer) for peer in peers)
        return {peer: _breaker(data) for peer, data in zip(peers, stored, strict=True)}

    def set_breaker(self, peer: NodeId, before: Breaker, after: Breaker) -> bool:
        """Replace a peer's breaker if it is still ``before``; False, and unchanged, where not."""
        seen, seen_bytes = self._cut(before), self._packed(before)
        replaced = self._replace(peer, seen_bytes, after)
        if isinstance(replaced, bytes) and _breaker(replaced) == seen:
            # stored in other words, by another version or not by us: what it means is what counts
            replaced = self._replace(peer, replaced, after)
        return replaced == 1

    def _replace(self, peer: NodeId, seen: bytes, after: Breaker) -> int | bytes:
        args: list[Argument] = [seen, self._packed(after), self._breaker_ms()]
        answer: int | bytes = self._server.run("set_breaker", [self._keys.breaker(peer)], args)
        return answer

    def _packed(self, breaker: Breaker) -> bytes:
        cut = self._cut(breaker)
        return b"" if cut == Breaker() else _pack(cut)

    def _cut(self, breaker: Breaker) -> Breaker:
        return replace(breaker, reason=breaker.reason[: self._limits.record_chars_max])

    def _breaker_ms(self) -> int:
        """Return how long a breaker is kept: a day beyond the latest of its times."""
        limits = self._limits
        pauses = (limits.retry_cap_seconds, limits.misfit_cap_seconds, limits.unsupported_seconds)
        return DAY_MS + int(max(*pauses, limits.lease_seconds) * 1000)

    def set_dues(self, kind: DueKind, times: Mapping[NodeId, int]) -> None:
        """Store when the next periodic work of a kind is due, per peer, in one round trip."""
        if times:
            keys = [self._keys.due(kind, peer) for peer in times]
            self._server.run("set_dues", keys, [WEEK_MS, *times.values()])

    def dues(self, kind: DueKind, peers: Collection[NodeId]) -> dict[NodeId, int]:
        """Return that time of each of ``peers``, 0 where none is stored; in one round trip."""
        stored = self._read(self._keys.due(kind, peer) for peer in peers)
        return {peer: _time(data) for peer, data in zip(peers, stored, strict=True)}

    def note_progress(self, peer: NodeId, progress: Progress | None) -> None:
        """Keep how far catching up with a peer has got; None: it is done."""
        key = self._keys.progress(peer)
        if progress is None:
            self._server.command("DEL", key)
        else:
            self._server.command("SET", key, _pack(progress), "PX", DAY_MS)

    def progresses(self, peers: Collection[NodeId]) -> dict[NodeId, Progress]:
        """Return the progress of those of ``peers`` that are being caught up with."""
        stored = self._read(self._keys.progress(peer) for peer in peers)
        read = ((peer, _progress(data)) for peer, data in zip(peers, stored, strict=True))
        return {peer: progress for peer, progress in read if progress is not None}

    def _read(self, keys: Iterable[str]) -> list[bytes | None]:
        names = list(keys)
        return list(self._server.command("MGET", *names)) if names else []

    def forget(self, peer: NodeId) -> None:
        """Drop all that is kept of a peer: queue, dead letters, flags, breaker, times."""
        keys = [self._keys.fetch, *self._keys.all_looks]
        keys += [self._keys.breaker(peer), self._keys.progress(peer)]
        keys += [self._keys.doorbell(kind, peer) for kind in get_args(DoorbellKind)]
        keys += [self._keys.hold(kind, peer) for kind in get_args(HoldKind)]
        keys += [self._keys.due(kind, peer) for kind in get_args(DueKind)]
        self._server.run("forget", keys, [peer])


def _breaker(data: bytes | None) -> Breaker:
    numbers = ("failures", "failed_at", "next_at", "busy_until", "probing_until", "ramp")
    read = _sound(data, Breaker, numbers)
    return Breaker() if read is None or read.ramp > RAMP_STEPS else read


def _progress(data: bytes | None) -> Progress | None:
    return _sound(data, Progress, ("started_at", "at", "posts", "remaining"))


def _sound(data: bytes | None, kind: type[T], numbers: Iterable[str]) -> T | None:
    """Return a record whose numbers can be reckoned with, or None."""
    record: Any = None if not data else unpack(data, kind)
    if any(not 0 <= getattr(record, name, -1) <= _NUMBER_MAX for name in numbers):
        return None
    return record  # type: ignore[no-any-return]  # it is of `kind`: `unpack` says so


def _time(data: bytes | None) -> int:
    return int(data) if data is not None and data.isdigit() and len(data) < 17 else 0
