"""How it stands with a peer, in words: every state of a breaker, and progress."""

import random

import pytest

from replicator.cli.output import counted
from replicator.cli.peer_words import (
    breaker_values,
    breaker_words,
    duration,
    progress_values,
    progress_words,
    state_of,
)
from replicator.limits import Limits
from replicator.node.ports import Progress
from replicator.rules.breaker import Breaker, End, Failure, busy, failed, probing, succeeded

NOW = 1_700_000_000_000
LIMITS = Limits()


def broken(end: End, reason: str = "no answer", failures: int = 1) -> Breaker:
    breaker = Breaker()
    for number in range(failures):
        at = NOW - 1000 * (failures - 1 - number)
        breaker = failed(breaker, Failure(end, reason, at, at), LIMITS, random.Random(1))
    return breaker


OPEN = broken("unreachable", failures=3)


@pytest.mark.parametrize(
    ("breaker", "now", "state", "said"),
    [
        (Breaker(), NOW, "well", "well"),
        (OPEN, NOW, "open", "unreachable, 3 failures, the last one at 2023-11-14T22:13:20Z"),
        (broken("refused"), NOW, "open", "refused, 1 failure, "),
        (broken("malformed"), NOW, "open", "malformed, "),
        (broken("unsupported"), NOW, "open", "unsupported, "),
        (OPEN, NOW + 400_000, "half-open", "half-open, to be probed now; unreachable"),
        (
            probing(OPEN, NOW + 400_000, LIMITS),
            NOW + 400_001,
            "half-open",
            "half-open, a probe is out",
        ),
        (
            busy(Breaker(), 60, NOW, LIMITS),
            NOW,
            "busy",
            "it asked for a pause until 2023-11-14T22:14:20Z",
        ),
        (busy(OPEN, 60, NOW, LIMITS), NOW, "busy", "(unreachable, 3 failures"),
        (succeeded(OPEN, NOW), NOW, "ramping", "batches of "),
        (succeeded(Breaker(), NOW, slow=True), NOW, "slow", "few slots"),
    ],
)
def test_every_state_of_a_breaker_has_its_words(
    breaker: Breaker, now: int, state: str, said: str
) -> None:
    assert state_of(breaker, now) == state
    assert said in breaker_words(breaker, now, LIMITS)


def test_an_open_breaker_says_why_and_when_the_next_try_is() -> None:
    words = breaker_words(OPEN, NOW, LIMITS)
    assert "no answer" in words
    assert "next try at 2023-11-14T22:13:2" in words


def test_what_a_stranger_gave_as_a_reason_stays_one_line_without_control_characters() -> None:
    words = breaker_words(broken("refused", "\x1b[2J\n" + "x" * 400), NOW, LIMITS)
    assert words.isprintable()
    assert len(words) < 350


def test_a_breaker_for_programs_has_times_or_nulls() -> None:
    values = breaker_values(OPEN)
    assert (values["failures"], values["end"], values["busy_until"]) == (3, "unreachable", None)
    assert values["failed_at"] == "2023-11-14T22:13:20.000Z"


def test_progress_has_a_rate_and_the_time_left() -> None:
    values = progress_values(Progress(NOW, NOW + 20_000, 5_000, 45_000))
    assert (values["posts_per_second"], values["seconds_left"]) == (250.0, 180)
    said = progress_words(values)
    assert said == "5,000 posts so far, 45,000 log entries left, 250.0 posts/s, about 3 min left"


@pytest.mark.parametrize("progress", [Progress(NOW, NOW, 0, 9), Progress(NOW, NOW - 5, 3, 9)])
def test_progress_that_has_just_begun_has_no_rate(progress: Progress) -> None:
    values = progress_values(progress)
    assert values["posts_per_second"] is values["seconds_left"] is None
    assert progress_words(values).endswith("9 log entries left")


def test_progress_without_posts_has_no_end() -> None:
    assert progress_values(Progress(NOW, NOW + 1000, 0, 9))["seconds_left"] is None


def test_numbers_agree_with_their_nouns() -> None:
    said = [counted(1, "post"), counted(2000, "post"), counted(0, "try", "tries")]
    assert said == ["1 post", "2,000 posts", "0 tries"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7200, "2 h"), (90_061, "1 d 1 h")],
)
def test_a_length_of_time_has_two_units(seconds: int, said: str) -> None:
    assert duration(seconds) == said
