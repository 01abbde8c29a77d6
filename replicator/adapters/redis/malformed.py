"""Malformed queue entries that were set aside: part of `RedisWorkState`."""

from typing import Final

import msgspec

from replicator.adapters.redis.keys import WEEK_MS, Keys
from replicator.adapters.redis.requests import unpack
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.node.ports import MalformedEntry

_pack: Final = msgspec.msgpack.Encoder().encode


class MalformedEntries:
    """The methods of `MalformedWork`; see there."""

    _server: Server
    _keys: Keys
    _limits: Limits

    def note_malformed(self, entry: MalformedEntry) -> None:
        """Keep an entry; the oldest of more than ``malformed_entries_max`` are dropped."""
        packed = _pack(entry.within(self._limits))
        args: list[Argument] = [packed, self._limits.malformed_entries_max, WEEK_MS]
        self._server.run("note_refusal", [self._keys.malformed], args)

    def malformed(self, limit: int) -> list[MalformedEntry]:
        """Return the newest entries, newest first."""
        if limit <= 0:
            return []
        packed = self._server.command("LRANGE", self._keys.malformed, 0, limit - 1)
        entries = (unpack(data, MalformedEntry) for data in packed)
        return [entry for entry in entries if entry is not None]

    def count_malformed(self) -> int:
        """Return how many entries are kept."""
        return int(self._server.command("LLEN", self._keys.malformed))

    def drop_malformed(self) -> int:
        """Forget all entries; return how many there were."""
        return int(self._server.run("drop_malformed", [self._keys.malformed]))
