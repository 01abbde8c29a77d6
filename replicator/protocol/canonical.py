"""RFC 8785 of a tree: the bytes that are signed where a reader may not know all members.

Pure. Trees hold strings, integers from 0 to 2^53-1, booleans, nulls, lists and dicts, so that only
the order of members is left to decide: RFC 8785 compares names by their UTF-16 code units. That is
the order of code points unless a name holds one beyond U+FFFF.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

# In UTF-8 only characters beyond U+FFFF begin so
_BEYOND: Final = re.compile(rb"[\xf0-\xf4]")


def canonical(tree: Mapping[str, Any]) -> bytes:
    """Return the RFC 8785 form of a tree."""
    encoded = msgspec.json.encode(tree, order="sorted")
    return encoded if _BEYOND.search(encoded) is None else msgspec.json.encode(_ordered(tree))


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return {name: _ordered(value[name]) for name in names}
    return [_ordered(one) for one in value] if isinstance(value, list | tuple) else value
