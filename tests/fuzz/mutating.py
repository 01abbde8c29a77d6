"""How inputs are changed: by the fuzzer's own bytewise ways, and by pieces that have a meaning.

Bytes alone hardly ever make another document of one; its parts, exchanged and doubled, do.
"""

import random
import re
from collections.abc import Callable
from typing import Final

_PIECES: Final = re.compile(
    rb'"(?:[^"\\]|\\.)*"|<[^<>]*>|[A-Za-z0-9_.~+/-]+|\s+|[\x80-\xff]+|.', re.DOTALL
)
_OPENING: Final = frozenset((b"{", b"[", b",", b"<item>", b"<request>", b"<answer>", b"<content>"))
_OWN_WAY: Final = 0.4
_ANYWHERE: Final = 0.3
"""Of the other ways: a piece over whatever stands at some place."""
_PIECES_MAX: Final = 4_000
Mutate = Callable[[bytes, int], bytes]
Mutator = Callable[[bytes, int, int], bytes]


def mutator(tokens: tuple[bytes, ...], own_way: Mutate) -> Mutator:
    """Return a mutator for inputs made of pieces; ``own_way`` is the fuzzer's."""

    def mutate(data: bytes, bytes_max: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if not tokens or rng.random() < _OWN_WAY:
            return own_way(data, bytes_max)
        if rng.random() < _ANYWHERE:
            at = rng.randrange(len(data) + 1)
            return (data[:at] + rng.choice(tokens) + data[at + rng.randrange(12) :])[:bytes_max]
        pieces = _PIECES.findall(data)[:_PIECES_MAX]
        for _ in range(1 + rng.randrange(4)):
            _change(pieces, tokens, rng)
        return b"".join(pieces)[:bytes_max]

    return mutate


def _change(pieces: list[bytes], tokens: tuple[bytes, ...], rng: random.Random) -> None:
    at = rng.randrange(len(pieces) + 1)
    way = rng.randrange(7)
    if way == 0 or not pieces:
        pieces.insert(at, rng.choice(tokens))
    elif way == 1:
        pieces[at : at + 1 + rng.randrange(3)] = []
    elif way == 2:
        pieces[at : at + 1] = [rng.choice(tokens)]
    elif way == 3:
        pieces[at : at + 1] = [rng.choice(pieces)]
    elif way == 4:
        end = at + 1 + rng.randrange(12)
        pieces[at:at] = pieces[at:end] * (1 + rng.randrange(3))
    elif way == 5:
        # where something begins, so that what comes next stays where it may stand
        begun = [place + 1 for place, piece in enumerate(pieces) if piece in _OPENING]
        pieces.insert(rng.choice(begun or [at]), rng.choice(tokens))
    else:
        other = rng.randrange(len(pieces))
        pieces[at : at + 1] = [pieces[other]]
        pieces[other] = rng.choice(pieces)
