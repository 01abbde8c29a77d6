"""`ReplyReader` on a real server: order, outages, flushes, cancelling, and rest when idle."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from replicator.adapters.redis import replies
from replicator.adapters.redis.keys import Keys
from replicator.adapters.redis.replies import ReplyReader
from replicator.adapters.redis.work import RedisWorkState
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.ports import Reply
from tests.support.valkey import PrivateServer, new_prefix

pytest_plugins = ["tests.support.work_fixtures"]

WAIT_SECONDS = 15.0


def reply(number: int) -> Reply:
    headers = (("content-type", "application/json"),)
    return Reply(f"token-{number}", 200, headers, b"\x00body" * number)


class Listener:
    """A gateway process as far as replies go."""

    def __init__(self, server: PrivateServer, gateway: str = "gateway-1") -> None:
        self.server = server
        self.prefix = new_prefix()
        self.gateway = gateway
        self.work = RedisWorkState(server.url, self.prefix, Limits())
        self.heard: list[Reply] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        reader = ReplyReader(self.server.url, self.prefix, self.gateway)
        task = asyncio.create_task(reader.run(self.heard.append))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.work.close()

    async def send(self, *numbers: int) -> None:
        for number in numbers:
            await asyncio.to_thread(self.work.reply, self.gateway, reply(number))

    async def hears(self, *numbers: int) -> None:
        await until(lambda: self.heard == [reply(number) for number in numbers])


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something to hold, with a deadline."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.01)


def blocked_clients(server: PrivateServer) -> int:
    """Return how many clients wait in a blocking command."""
    with server.client() as client:
        return int(client.info("clients")["blocked_clients"])


def test_replies_arrive_whole_and_in_order(valkey_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(valkey_server)
        await listener.send(1, 2)
        async with listener.listening():
            await listener.hears(1, 2)
            await listener.send(3)
            await listener.hears(1, 2, 3)

    asyncio.run(scene())


def test_it_works_on_redis_too(redis_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(redis_server)
        async with listener.listening():
            await listener.send(1, 2)
            await listener.hears(1, 2)

    asyncio.run(scene())


def test_a_thousand_waiting_replies_take_few_reads(valkey_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(valkey_server)
        for number in range(1000):
            listener.work.reply(listener.gateway, reply(number % 7))
        before = calls_of(valkey_server, "blmpop")
        async with listener.listening():
            await until(lambda: len(listener.heard) == 1000)
        assert calls_of(valkey_server, "blmpop") - before <= 11

    asyncio.run(scene())


def calls_of(server: PrivateServer, command: str) -> int:
    """Return how often a command was run."""
    with server.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_a_reply_of_another_gateway_is_left_alone(valkey_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(valkey_server)
        await asyncio.to_thread(listener.work.reply, "gateway-2", reply(1))
        async with listener.listening():
            await listener.send(2)
            await listener.hears(2)

    asyncio.run(scene())


def test_what_cannot_be_read_is_passed_over(valkey_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(valkey_server)
        with valkey_server.client() as client:
            client.rpush(Keys(listener.prefix).replies("gateway-1"), b"\xc1", b"", b"\x90")
        async with listener.listening():
            await listener.send(1)
            await listener.hears(1)

    asyncio.run(scene())


def test_it_outlives_a_killed_server(own_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(own_server)
        async with listener.listening():
            await listener.send(1)
            await listener.hears(1)
            own_server.kill()
            await asyncio.sleep(0.3)
            await asyncio.to_thread(own_server.start)
            await listener.send(2)
            await listener.hears(1, 2)

    asyncio.run(scene())


def test_it_starts_before_its_server_does(own_server: PrivateServer) -> None:
    async def scene() -> None:
        own_server.kill()
        listener = Listener(own_server)
        async with listener.listening():
            await asyncio.sleep(0.2)
            await asyncio.to_thread(own_server.start)
            await listener.send(1)
            await listener.hears(1)

    asyncio.run(scene())


def test_it_outlives_a_flush_and_a_failover(own_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(own_server)
        async with listener.listening():
            await until(lambda: blocked_clients(own_server) == 1)
            own_server.flush()
            await listener.send(1)
            await listener.hears(1)
            with own_server.client() as client:
                client.replicaof("127.0.0.1", "1")
                await asyncio.sleep(0.2)
                client.replicaof("NO", "ONE")
            await listener.send(2)
            await listener.hears(1, 2)

    asyncio.run(scene())


def test_it_gives_up_a_frozen_server_and_hears_it_again(
    own_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "BLOCK_SECONDS", 0.2)
    monkeypatch.setattr(replies, "COMMAND_SECONDS", 0.2)

    async def scene() -> None:
        listener = Listener(own_server)
        async with listener.listening():
            await until(lambda: blocked_clients(own_server) == 1)
            own_server.freeze()
            await asyncio.sleep(0.8)
            own_server.thaw()
            await listener.send(1)
            await listener.hears(1)

    asyncio.run(scene())


def test_a_cancelled_reader_leaves_no_connection_behind(own_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(own_server)
        async with listener.listening():
            await until(lambda: blocked_clients(own_server) == 1)
        await until(lambda: blocked_clients(own_server) == 0)

    asyncio.run(scene())


def test_it_ends_whenever_it_is_cancelled(
    valkey_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "BLOCK_SECONDS", 0.01)

    async def cancel_after(seconds: float) -> None:
        reader = ReplyReader(valkey_server.url, new_prefix(), "gateway-1")
        task = asyncio.create_task(reader.run(lambda _: None))
        await asyncio.sleep(seconds)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=WAIT_SECONDS)
        assert done, "a cancellation was swallowed"
        assert task.cancelled()

    async def scene() -> None:
        await asyncio.gather(*(cancel_after(number / 1000) for number in range(100)))

    asyncio.run(scene())


def test_an_idle_reader_rests(own_server: PrivateServer) -> None:
    async def scene() -> None:
        listener = Listener(own_server)
        async with listener.listening():
            await until(lambda: blocked_clients(own_server) == 1)
            before, cpu = calls_of(own_server, "blmpop"), time.process_time()
            await asyncio.sleep(2)
            assert time.process_time() - cpu < 0.05
            assert calls_of(own_server, "blmpop") - before <= 1

    asyncio.run(scene())


def test_a_url_that_cannot_be_used_ends_the_run() -> None:
    reader = ReplyReader("http://127.0.0.1/", new_prefix(), "gateway-1")
    with pytest.raises(ConfigurationError):
        asyncio.run(reader.run(lambda _: None))
