"""Reads posts from a file of JSON lines, plain or gzipped, or from standard input.

A line that is no JSON object is reported with its number and passed over; what the members mean is
not decided here. Lines are bounded, so that a file without line ends does not fill the memory.
"""

import gzip
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from replicator.errors import ConfigurationError

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
"""No post's JSON is longer: 256 KiB of text, every character escaped, and room."""
STDIN: Final = "-"
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not empty: its JSON object, or why it is none.

    Args:
        number: counted from 1, empty lines included.
        post: the members as they stand in the file, unchecked; None with ``problem``.
        problem: what is wrong with the line, or None.
        offset: bytes of the file read so far (compressed ones of a gzipped file).
    """

    number: int
    post: dict[str, Any] | None
    problem: str | None
    offset: int


def read_lines(source: io.BufferedReader) -> Iterator[Line]:
    """Yield the lines of a stream; its first bytes tell whether it is gzipped.

    Raises:
        ConfigurationError: the gzip stream is damaged or cut off.
    """
    stream: io.BufferedIOBase = source
    if source.peek(2)[:2] == _GZIP_MAGIC:
        stream = gzip.GzipFile(fileobj=source)
    number = 0
    try:
        while raw := stream.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(raw) > LINE_BYTES_MAX:
                _skip_line(stream, raw)
                yield Line(number, None, f"longer than {LINE_BYTES_MAX} bytes", _offset(source))
            elif raw.strip():
                yield _line(number, raw, _offset(source))
    except (EOFError, gzip.BadGzipFile) as error:
        raise ConfigurationError(f"after line {number}: {error}") from error


@contextmanager
def opened(path: str) -> Iterator[tuple[io.BufferedReader, int | None]]:
    """Open a file (``-``: standard input); give its stream and, for a file, its size in bytes."""
    if path == STDIN:
        with open(sys.stdin.fileno(), "rb", closefd=False) as stdin:
            yield stdin, None
        return
    with Path(path).open("rb") as file:
        yield file, Path(path).stat().st_size


def _line(number: int, raw: bytes, offset: int) -> Line:
    try:
        value = json.loads(raw, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        return Line(number, None, f"not JSON: {error}", offset)
    if not isinstance(value, dict):
        return Line(number, None, "not a JSON object", offset)
    return Line(number, value, None, offset)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice in an object")
    return members


def _skip_line(stream: io.BufferedIOBase, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(LINE_BYTES_MAX)


def _offset(source: io.BufferedReader) -> int:
    return source.tell() if source.seekable() else 0
