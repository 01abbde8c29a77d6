"""The gateway's ear: one task that reads all answers for one gateway process.

Invariants: one connection and one blocked command however many requests wait; an idle reader
wakes every few seconds only; it outlives a restart or a flush of the server. An answer that is
lost on the way costs its request a `busy`, nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from replicator.adapters.redis.connection import COMMAND_SECONDS, connect_async, is_passing
from replicator.adapters.redis.keys import Keys
from replicator.adapters.redis.requests import unpack
from replicator.node.ports import Reply

BLOCK_SECONDS: Final = 5.0
"""How long one read waits on the server; a dead connection is noticed that long and 5 s later."""
REPLIES_MAX: Final = 100
"""Taken in one read."""
RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Pauses after failures in a row; the last one repeats."""

_log = structlog.get_logger(__name__)


class ReplyReader:
    """Reads the reply list of one gateway process. Needs BLMPOP: Redis 7 or any Valkey.

    Args:
        url: as for `RedisWorkState`.
        prefix: as for `RedisWorkState`.
        gateway: the name of this gateway process, unique and new for each start: what an earlier
            one left behind is nobody's.
    """

    def __init__(self, url: str, prefix: str, gateway: str) -> None:
        self._url = url
        self._key = Keys(prefix).replies(gateway)

    async def run(self, on_reply: Callable[[Reply], None]) -> None:
        """Call ``on_reply`` for every reply, in order, until cancelled.

        Tokens may be unknown to the caller, or come twice: a worker's task may run twice. What
        ``on_reply`` raises ends the run: it must not raise.

        Raises:
            ConfigurationError: the URL cannot be used.
        """
        client = connect_async(self._url)
        failures = 0
        try:
            while True:
                try:
                    packed = await self._read(client)
                except (RedisError, TimeoutError) as error:
                    if isinstance(error, RedisError) and not is_passing(error):
                        raise
                    failures += 1
                    await self._pause(failures, error)
                    continue
                if failures:
                    _log.info("replies.back", failures=failures)
                    failures = 0
                self._hand_over(packed, on_reply)
        finally:
            await client.aclose()

    async def _read(self, client: "redis.asyncio.Redis") -> list[bytes]:
        take = (BLOCK_SECONDS, 1, self._key, "LEFT", "COUNT", REPLIES_MAX)
        execute: Callable[..., Awaitable[Any]] = client.execute_command
        async with asyncio.timeout(BLOCK_SECONDS + COMMAND_SECONDS):
            answer = await execute("BLMPOP", *take)
        return [] if answer is None else list(answer[1])

    def _hand_over(self, packed: list[bytes], on_reply: Callable[[Reply], None]) -> None:
        for data in packed:
            reply = unpack(data, Reply)
            if reply is None:
                _log.warning("replies.unreadable", size=len(data))
            else:
                on_reply(reply)

    async def _pause(self, failures: int, error: Exception) -> None:
        if failures == 1:
            _log.warning("replies.lost_server", reason=str(error) or "no answer in time")
        await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1])
