"""Posts of 1 kB from a seed: words of a skewed vocabulary, so that they compress as text does."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

POST_BYTES: Final = 1024
"""Canonical bytes of one post, about."""
_TEXT_CHARS: Final = 790
_WORDS: Final = 4_000
_THREAD_POSTS: Final = 20


def drafts(node_id: str, count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the fields of ``count`` drafts; equal seeds give equal posts."""
    random = Random(seed)
    vocabulary = [_word(random) for _ in range(_WORDS)]
    weights = [1 / rank for rank in range(1, _WORDS + 1)]
    for number in range(count):
        words = random.choices(vocabulary, weights, k=_TEXT_CHARS // 4)
        yield {
            "id": f"{seed}-{number:07d}",
            "title": " ".join(words[:5]),
            "author": words[5],
            "tags": sorted(set(words[6:8])),
            "text": " ".join(words)[:_TEXT_CHARS],
            "thread": f"{node_id}/{seed}-{number // _THREAD_POSTS * _THREAD_POSTS:07d}",
            "published": 1_700_000_000_000 + number * 1000,
        }


def _word(random: Random) -> str:
    return "".join(
        random.choices("etaoinshrdlucmfwypvbgkqjxz", range(26, 0, -1), k=random.randint(2, 9))
    )
