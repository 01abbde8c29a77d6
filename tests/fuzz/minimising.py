"""Which inputs are worth keeping: those that walk through the product as no smaller one does."""

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from tests.fuzz.target import Target

Arc = tuple[str, int, int, int]
"""A step from one line of a file to another, and about how often it was made (a power of two)."""


def worth_keeping(
    target: Target, known: Iterable[bytes], candidates: Iterable[bytes]
) -> list[bytes]:
    """Return the candidates that add a step to those of ``known``; smaller ones are tried first."""
    seen: set[Arc] = set()
    for data in known:
        seen |= _arcs(target, data)
    kept: list[bytes] = []
    for data in sorted(candidates, key=lambda one: (len(one), one)):
        arcs = _arcs(target, data)
        if not arcs <= seen:
            seen |= arcs
            kept.append(data)
    return kept


def _arcs(target: Target, data: bytes) -> set[Arc]:
    counts: dict[tuple[str, int, int], int] = {}

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if "/replicator/" not in file:
            return None
        last = frame.f_code.co_firstlineno

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            arc = (file, last, frame.f_lineno)
            counts[arc] = counts.get(arc, 0) + 1
            last = frame.f_lineno
            return line

        return line

    before = sys.gettrace()
    sys.settrace(step)
    try:
        target.check(data)
    finally:
        sys.settrace(before)
    return {(*arc, min(count, 8).bit_length()) for arc, count in counts.items()}
