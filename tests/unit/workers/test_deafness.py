"""What counts as a deaf worker, look by look."""

from types import SimpleNamespace
from typing import Any

import pytest

from workers.consumer import NodeConsumer
from workers.deafness import LOOKS, Signs

SECONDS = 20.0
STEP = SECONDS / LOOKS


def looks(signs: Signs, count: int, start: float = 0.0, step: float = STEP, **sign: object) -> bool:
    """Look ``count`` times, a step apart; return what the last look said."""
    given = {"received": 7, "free": True, "waiting": True, **sign}
    said = [signs.look(start + number * step, **given) for number in range(count)]
    return said[-1]


def test_a_free_worker_that_hears_nothing_while_messages_wait_is_deaf_after_the_time() -> None:
    assert not looks(Signs(SECONDS), LOOKS)
    assert looks(Signs(SECONDS), LOOKS + 1)


@pytest.mark.parametrize(
    "sign", [{"free": False}, {"waiting": False}], ids=["busy", "nothing waits"]
)
def test_without_one_of_the_signs_no_worker_is_deaf(sign: dict[str, bool]) -> None:
    assert not looks(Signs(SECONDS), 10 * LOOKS, **sign)


@pytest.mark.parametrize(
    "sign",
    [{"free": False}, {"waiting": False}, {"received": 8}],
    ids=["busy once", "queue empty once", "a message came"],
)
def test_one_look_without_the_signs_starts_the_time_again(sign: dict[str, int]) -> None:
    signs = Signs(SECONDS)
    assert not looks(signs, LOOKS)
    assert not looks(signs, 1, start=SECONDS, **sign)
    later = {"received": sign.get("received", 7)}
    assert not looks(signs, LOOKS - 1, start=SECONDS + STEP, **later)
    assert looks(signs, 3, start=2 * SECONDS, **later)


def test_a_process_that_was_frozen_gets_its_time_again() -> None:
    signs = Signs(SECONDS)
    assert not looks(signs, LOOKS)
    assert not looks(signs, LOOKS, start=10 * SECONDS)
    assert looks(signs, 1, start=11 * SECONDS)


def test_who_puts_malformed_entries_aside_hears_its_queues() -> None:
    consumer: Any = SimpleNamespace(_received=3, _shelf=SimpleNamespace(count=0))
    received: Any = NodeConsumer.received
    before = received.fget(consumer)
    consumer._shelf.count += 1
    assert received.fget(consumer) == before + 1
