"""Requests in hand: nonces, stored bodies, replies on their way, records of refusals.

Part of `RedisWorkState`. A body is stored once and its task carries only the token.
"""

from typing import TypeVar

import msgspec

from replicator.adapters.redis.keys import WEEK_MS, Keys
from replicator.adapters.redis.server import Argument, Server
from replicator.limits import Limits
from replicator.node.ports import Entry, Receipt, RefusalRecord, Reply
from replicator.rules.buckets import Bucket

_pack = msgspec.msgpack.Encoder().encode
T = TypeVar("T")


def pack_reply(reply: Reply) -> bytes:
    """Return the bytes that stand in a gateway's reply list."""
    return _pack(reply)


def unpack(data: bytes, kind: type[T]) -> T | None:
    """Return a packed record, or None where another version of the program wrote it."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError:
        return None


class RequestWork:
    """The request methods of `WorkState`; see there."""

    _server: Server
    _keys: Keys
    _limits: Limits

    def admit(self, receipt: Receipt, nonce: str, body: bytes, now: int) -> Entry:
        """Set the nonce of (sender, nonce) and store receipt and body, both expiring."""
        nonce_ms = self._limits.nonce_seconds * 1000
        sender = receipt.sender
        keys = [self._keys.nonce(sender, nonce), self._keys.request(receipt.token)]
        keys.append(self._keys.rate(sender))
        limits = self._limits
        bucket = Bucket.of_rate(limits.peer_requests_per_second, limits.peer_burst_requests_max)
        expires = str(now + nonce_ms)
        body_ms = self._limits.work_body_seconds * 1000
        args: list[Argument] = [
            receipt.token,
            now,
            expires,
            nonce_ms,
            body_ms,
            _pack(receipt),
            body,
            repr(bucket.token_ms),
            repr(bucket.span_ms),
        ]
        wait_ms = int(self._server.run("admit", keys, args))
        return Entry(replayed=True) if wait_ms < 0 else Entry(wait_ms=wait_ms)

    def take_request(self, token: str) -> tuple[Receipt, bytes] | None:
        """Return a stored request, leaving it for a redelivered task; None: expired or answered."""
        packed, body = self._server.command("HMGET", self._keys.request(token), "receipt", "body")
        if packed is None or body is None:
            return None
        receipt = unpack(packed, Receipt)
        return None if receipt is None else (receipt, body)

    def forget_request(self, token: str) -> None:
        """Drop a stored request whose gateway waits no longer."""
        self._server.command("DEL", self._keys.request(token))

    def reply(self, gateway: str, reply: Reply) -> None:
        """Hand an answer to the gateway that waits for it and drop the stored request."""
        keys = [self._keys.replies(gateway), self._keys.request(reply.token)]
        keep_ms = self._limits.work_body_seconds * 1000
        args: list[Argument] = [pack_reply(reply), self._limits.answers_in_flight_max, keep_ms]
        self._server.run("reply", keys, args)

    def note_refusal(self, record: RefusalRecord) -> None:
        """Keep a refusal for the operator; the oldest of too many are dropped."""
        chars = self._limits.record_chars_max
        cut = RefusalRecord(record.at, record.sender[:chars], record.code, record.message[:chars])
        args: list[Argument] = [_pack(cut), self._limits.refusal_records_max, WEEK_MS]
        self._server.run("note_refusal", [self._keys.refusals], args)

    def refusals(self, limit: int) -> list[RefusalRecord]:
        """Return the newest refusals, newest first."""
        if limit <= 0:
            return []
        packed = self._server.command("LRANGE", self._keys.refusals, 0, limit - 1)
        records = (unpack(data, RefusalRecord) for data in packed)
        return [record for record in records if record is not None]
