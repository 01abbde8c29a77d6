"""Bugs to be planted, so that a fuzzer which finds nothing is known to look.

Each replaces one function of the product, in the process of a fuzzer that was told so, and names
the target that must find it.
"""

import re
from collections.abc import Callable
from typing import Final

from replicator.protocol import canonical, compression, ids, json_codec, xml_codec
from replicator.protocol import negentropy_form as negentropy
from replicator.protocol.cursor import Position
from tests.fuzz import words


def _any_integer() -> None:
    """Numbers of JSON have no bound."""
    json_codec._integer = int  # type: ignore[assignment]


def _any_return() -> None:
    """A carriage return that is written as a reference is taken."""
    xml_codec._check_returns = lambda root: None


def _any_order() -> None:
    """Bounds of one time may go back in a Negentropy message."""
    strict = negentropy._read_bound

    def lax(message: bytes, at: int, before: negentropy.Bound) -> tuple[negentropy.Bound, int]:
        return strict(message, at, (before[0], b""))

    negentropy._read_bound = lax


def _any_tail() -> None:
    """Bytes after a compressed body are ignored."""
    strict = compression.inflate

    def lax(wire_body: bytes, bytes_max: int) -> bytes:
        for end in (len(wire_body), len(wire_body) - 1):
            try:
                return strict(wire_body[:end], bytes_max)
            except compression.Refusal:
                if end < len(wire_body):
                    raise
        return b""

    compression.inflate = lax


def _staircase() -> None:
    """A crash behind comparisons that only somebody who sees each of them taken gets through."""
    strict = words.decode_cursor

    def broken(cursor: ids.Cursor) -> Position:
        if "#" not in cursor:
            return strict(cursor)
        if "%" not in cursor:
            return strict(cursor)
        if "?" not in cursor:
            return strict(cursor)
        if "!" not in cursor:
            return strict(cursor)
        raise IndexError("planted")

    words.decode_cursor = broken


def _any_plane() -> None:
    """Member names are ordered by code point."""
    canonical._BEYOND = re.compile(rb"(?!)")  # type: ignore[misc]


PLANTED: Final[dict[str, tuple[str, Callable[[], None]]]] = {
    "any-integer": ("json", _any_integer),
    "any-return": ("xml", _any_return),
    "any-order": ("frame", _any_order),
    "any-tail": ("gzip", _any_tail),
    "any-plane": ("signed", _any_plane),
    "staircase": ("cursor", _staircase),
}
"""Name of a bug → the target that must find it, and what plants it."""
