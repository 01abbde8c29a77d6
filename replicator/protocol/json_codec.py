"""JSON documents to plain trees and back, with everything refused that two readers could read
differently.

Pure. The standard library's parser does the work because it alone shows every member of an object
and every number as it was written; each refusal is `Malformed`. Plain builtins come out: str, int
(0 to 2^53-1), bool, list, dict. A null counts as an absent member, as in XML; only ``thread``,
which content always holds, keeps it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec

from replicator.errors import Malformed
from replicator.protocol.characters import forbidden_in, maybe_forbidden_in
from replicator.protocol.ids import INTEGER_MAX

Tree = dict[str, Any]

_DIGITS_MAX: Final = len(str(INTEGER_MAX))
_LOOK_PARTS: Final = 10_000
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""Also one without an end: nothing is looked at twice, whatever the bytes are."""


def decode(data: bytes, depth_max: int) -> Tree:
    """Return a JSON object as a plain tree.

    Raises:
        Malformed: not UTF-8, a byte order mark, no JSON (RFC 8259), data after it, no object,
            nesting beyond ``depth_max``, a member given twice, a number that is no plain integer
            from 0 to 2^53-1, or a character that strings may not hold.
    """
    try:
        tree = _parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise Malformed("not JSON that can be read: nested too deeply") from error
    if type(tree) is not dict:
        raise Malformed("the document is not a JSON object")
    _check(tree, depth_max, check_characters=maybe_forbidden_in(data))
    return tree


def count_parts(data: bytes) -> int:
    """Return how many values a document has at least, whatever else it is: in linear time."""
    most = _count(data)
    # of the marks in texts only a careful look tells; few documents have so many
    return most if most < _LOOK_PARTS else _count(_STRING.sub(b"", data))


def _count(data: bytes) -> int:
    return sum(map(data.count, (b",", b"[", b"{")))


def encode(tree: Mapping[str, Any]) -> bytes:
    """Return ``tree`` as JSON; `msgspec.Raw` values are passed on as they are."""
    return msgspec.json.encode(tree)


def _parse(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_float=_no_integer,
        parse_constant=_no_integer,
    )


def _object(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise Malformed(f"member {_first_repeated(pairs)[:80]!r} is given twice")
    if None in tree.values():
        return {n: value for n, value in pairs if value is not None or n == "thread"}
    return tree


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise ValueError("no name is repeated")


def _integer(token: str) -> int:
    if len(token) > _DIGITS_MAX or token[0] == "-" or (number := int(token)) > INTEGER_MAX:
        _no_integer(token)
    return number


def _no_integer(token: str) -> NoReturn:
    raise Malformed(f"number {token[:24]} is no integer from 0 to {INTEGER_MAX}")


def _check(tree: Tree, depth_max: int, *, check_characters: bool) -> None:
    level: list[Any] = [tree]
    for _ in range(depth_max):
        if check_characters:
            _check_characters(level)
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise Malformed(f"nested deeper than {depth_max} levels")


def _check_characters(parents: list[Any]) -> None:
    for parent in parents:
        strings = [*parent, *parent.values()] if type(parent) is dict else parent
        for value in strings:
            if type(value) is str and (found := forbidden_in(value)):
                raise Malformed(f"character {found} is not allowed")
