"""The posts of the demo: generated from a seed, or a file of JSON lines split by thread.

Pure, but for reading the file. The same seed gives the same posts on every machine. A thread's
posts all belong to one node, as in life, where people answer on the board they read.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from replicator.cli.post_lines import opened, read_lines
from replicator.errors import ConfigurationError

Draft = bytes
"""A post as the local API takes it, one JSON object: a file of objects would be twice as large."""

_START: Final = datetime(2024, 3, 1, 6, 0, tzinfo=UTC)
_BOARDS: Final = {
    "gardening": ("tomatoes", "compost", "frost", "seedlings", "slugs", "the greenhouse", "roses"),
    "cycling": ("gears", "the chain", "headwind", "tyres", "the climb", "brakes", "rain jackets"),
    "cooking": ("sourdough", "the oven", "cast iron", "lentils", "knives", "stock", "pickles"),
    "astronomy": ("the eyepiece", "Jupiter", "light pollution", "the mount", "comets", "filters"),
    "trains": ("the timetable", "night trains", "signals", "the branch line", "steam", "delays"),
    "radio": ("the antenna", "short wave", "solder", "repeaters", "noise", "the tuner", "masts"),
}
_NAMES: Final = ("Ada", "Bela", "Chidi", "Dagny", "Emre", "Farah", "Goran", "Hana", "Ines", "Jun")
_SURNAMES: Final = ("Aho", "Brandt", "Castro", "Dia", "Endo", "Fischer", "Gupta", "Horvat", "Ito")
_OPENERS: Final = (
    "Has anybody had luck with {thing}?",
    "After three weeks I have to say something about {thing}.",
    "A word of warning about {thing}.",
    "I always thought {thing} did not matter much.",
    "My neighbour swears by {thing}, and I begin to see why.",
)
_MIDDLES: Final = (
    "The first try went wrong because I was in a hurry.",
    "Last year {thing} cost me a whole weekend, and most of my patience.",
    "It works better when you leave it alone over night.",
    "I read that {thing} should be checked every month, which nobody here does.",
    "With {thing} it is the small things: clean it, wait, look again.",
    "Somebody at the club showed me another way, and it took ten minutes.",
    "The old ones were heavier, but they lasted.",
    "I kept notes for {number} days and the difference is hard to miss.",
    "There is a shop near the station that still repairs such things.",
    "You can hear it before you see it, if you know what to listen for.",
)
_CLOSERS: Final = (
    "What do you use?",
    "Pictures follow when the weather is better.",
    "Thanks for reading this far.",
    "I will report back in {number} days.",
    "Corrections are welcome.",
)


def generate(seed: str, count: int) -> Iterator[Draft]:
    """Yield ``count`` posts: threads of a few replies each, tagged by board, about 1 kB long."""
    chance = Random(seed)  # noqa: S311  # made-up posts, no secret
    moment = _START
    threads: list[tuple[str, str, str]] = []
    for index in range(count):
        moment += timedelta(seconds=chance.randrange(5, 900))
        local = f"demo-{hashlib.sha256(f'{seed}:{index}'.encode()).hexdigest()[:16]}"
        if threads and chance.random() < 0.7:
            root, board, title = chance.choice(threads[-12:])
            yield _draft(_post(chance, local, moment, board, (root, f"Re: {title}")))
            continue
        board = chance.choice(tuple(_BOARDS))
        title = f"{chance.choice(_BOARDS[board]).capitalize()}, again"
        threads.append((local, board, title))
        yield _draft(_post(chance, local, moment, board, (None, title)))


def _draft(post: dict[str, Any]) -> Draft:
    return json.dumps(post, ensure_ascii=False).encode()


def _post(
    chance: Random, local: str, moment: datetime, board: str, thread: tuple[str | None, str]
) -> dict[str, Any]:
    root, title = thread
    return {
        "author": f"{chance.choice(_NAMES)} {chance.choice(_SURNAMES)}",
        "id": local,
        "published": moment.isoformat().replace("+00:00", "Z"),
        "tags": [board] if root is None else [board, "reply"],
        "text": _text(chance, _BOARDS[board]),
        "thread": root,
        "title": title,
    }


def _text(chance: Random, things: tuple[str, ...]) -> str:
    def fill(sentence: str) -> str:
        return sentence.format(thing=chance.choice(things), number=chance.randrange(2, 60))

    paragraphs = []
    for _ in range(chance.randrange(2, 5)):
        sentences = [chance.choice(_OPENERS)]
        sentences += chance.sample(_MIDDLES, chance.randrange(2, 6))
        sentences.append(chance.choice(_CLOSERS))
        paragraphs.append(" ".join(fill(sentence) for sentence in sentences))
    return "\n\n".join(paragraphs) + "\n"


def split(path: str, shares: int) -> list[list[Draft]]:
    """Return the posts of a file in ``shares`` parts, whole threads each, in the file's order.

    Raises:
        ConfigurationError: a line is no JSON object; the message names it.
    """
    parts: list[list[Draft]] = [[] for _ in range(shares)]
    with opened(path) as (source, _):
        for line in read_lines(source):
            if line.post is None:
                raise ConfigurationError(f"{path}, line {line.number}: {line.problem}")
            parts[_share(line.post, shares)].append(_draft(line.post))
    return parts


def _share(post: dict[str, Any], shares: int) -> int:
    root = str(post.get("thread") or post.get("id"))
    return int.from_bytes(hashlib.sha256(root.encode()).digest()[:4], "big") % shares
