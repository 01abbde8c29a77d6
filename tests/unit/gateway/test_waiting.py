"""Requests wait as futures, and their doorbells are rung together."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from replicator.adapters.memory.doorbell import MemoryDoorbell
from replicator.errors import BrokerUnavailable, PeerUnavailable, Refusal
from replicator.gateway.waiting import RINGS_MAX, Places, Publisher, Waiting
from replicator.node.ports import Reply, Ring


def reply(token: str) -> Reply:
    return Reply(token, 200, (), b"")


def ring(token: str) -> Ring:
    return Ring("answer", token=token)


class SlowDoorbell(MemoryDoorbell):
    """Counts calls, and holds the first one until told."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.go = threading.Event()

    def ring(self, rings) -> None:
        self.sizes.append(len(rings))
        self.go.wait(10)
        super().ring(rings)


def run(main) -> None:
    with ThreadPoolExecutor(2) as executor:
        asyncio.run(asyncio.wait_for(main(executor), 20))


async def publishing(publisher):
    return asyncio.create_task(publisher.run())


async def until(holds) -> None:
    while not holds():  # noqa: ASYNC110 - what is awaited happens in a thread
        await asyncio.sleep(0.001)


def test_a_reply_reaches_its_request_once_and_others_nobody():
    async def main(_):
        waiting = Waiting()
        with waiting.expect("a") as answer:
            waiting.resolve(reply("b"))
            assert not answer.done()
            waiting.resolve(reply("a"))
            waiting.resolve(reply("a"))
            assert (await answer).token == "a"
        assert len(waiting) == 0
        waiting.resolve(reply("a"))

    run(main)


def test_a_stop_ends_all_waiting():
    async def main(_):
        waiting = Waiting()
        with waiting.expect("a") as answer:
            waiting.fail_all(PeerUnavailable("stop"))
            with pytest.raises(PeerUnavailable):
                await answer

    run(main)


def test_rings_gather_while_a_call_is_under_way_and_go_in_bounded_batches():
    async def main(executor):
        doorbell = SlowDoorbell()
        publisher = Publisher(doorbell, executor)
        task = await publishing(publisher)
        loop = asyncio.get_running_loop()
        publisher.ring(ring("first"), loop.create_future())
        await until(lambda: doorbell.sizes == [1])
        for number in range(RINGS_MAX + 20):
            publisher.ring(ring(str(number)), loop.create_future())
        doorbell.go.set()
        await until(lambda: len(doorbell.sizes) == 3)
        task.cancel()
        assert doorbell.sizes == [1, RINGS_MAX, 20]

    run(main)


def test_nobody_is_rung_for_a_request_that_ended():
    async def main(executor):
        doorbell = MemoryDoorbell()
        publisher = Publisher(doorbell, executor)
        ended, open_ = (asyncio.get_running_loop().create_future() for _ in range(2))
        ended.cancel()
        publisher.ring(ring("ended"), ended)
        publisher.ring(ring("open"), open_)
        task = await publishing(publisher)
        rung = []
        await until(lambda: rung.extend(doorbell.take()) or rung)
        task.cancel()
        assert [one.token for one in rung] == ["open"]

    run(main)


def test_a_broker_that_is_away_fails_the_requests_of_that_call_and_no_later_ones():
    async def main(executor):
        doorbell = MemoryDoorbell()
        publisher = Publisher(doorbell, executor)
        task = await publishing(publisher)
        first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
        doorbell.fail()
        publisher.ring(ring("1"), first)
        with pytest.raises(BrokerUnavailable):
            await first
        doorbell.fail(available=True)
        publisher.ring(ring("2"), second)
        rung = []
        await until(lambda: rung.extend(doorbell.take()) or rung)
        task.cancel()
        assert not second.done()

    run(main)


def test_of_one_name_so_many_are_under_way_and_no_name_is_remembered():
    places = Places(2)
    with places.take("a"), places.take("a"):
        with pytest.raises(Refusal, match="under way") as refused, places.take("a"):
            pass
        assert (refused.value.code, refused.value.retry_after) == ("busy", 1)
        with places.take("b"):
            assert len(places) == 2
    with places.take("a"):
        pass
    assert len(places) == 0
