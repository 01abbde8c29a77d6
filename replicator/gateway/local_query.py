"""The parameters of the local API's GET requests, read strictly.

Pure. Lists are given by repeating a parameter; an unknown or doubled parameter is an error, so
that a misspelt filter never quietly matches everything.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from replicator.gateway.local_errors import ApiError
from replicator.protocol.ids import CURSOR_PATTERN, Cursor
from replicator.protocol.messages import Filter

LISTS: Final = ("nodes", "except_nodes", "tags", "threads")
TIMES: Final = ("since", "until")
LIMIT_DEFAULT: Final = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """What a GET of posts or changes asks for.

    Args:
        filter: as in a pull; None is everything.
        after: the cursor to go on from; None is the beginning.
        limit: posts at most.
        wait: seconds a long poll may take; 0 answers at once.
    """

    filter: Filter | None
    after: Cursor | None
    limit: int
    wait: float


def read_selection(
    pairs: Iterable[tuple[str, str]], *, limit_max: int, wait_max: float | None = None
) -> Selection:
    """Read query parameters.

    Args:
        pairs: names and values as they came, in order.
        limit_max: the largest ``limit``.
        wait_max: the largest ``wait`` in seconds; None where there is no such parameter.

    Raises:
        ApiError: 400 ``bad-parameter``, with the parameter's name as its field.
    """
    allowed = {*LISTS, *TIMES, "after", "limit"} | ({"wait"} if wait_max is not None else set())
    lists: dict[str, list[str]] = {}
    single: dict[str, str] = {}
    for name, value in pairs:
        if name not in allowed:
            raise _bad(name, f"there is no parameter {name[:40]!r} here")
        if name in LISTS:
            lists.setdefault(name, []).append(value)
        elif name in single:
            raise _bad(name, f"{name} is given twice")
        else:
            single[name] = value
    return Selection(
        filter=_filter(lists, {name: _time(name, single) for name in TIMES if name in single}),
        after=_cursor(single.get("after")),
        limit=_number("limit", single.get("limit", str(min(LIMIT_DEFAULT, limit_max))), limit_max),
        wait=_number("wait", single.get("wait", "0"), wait_max or 0.0, lowest=0),
    )


def _bad(name: str, message: str) -> ApiError:
    return ApiError(400, "bad-parameter", message, field=name[:40])


def _filter(lists: dict[str, list[str]], times: dict[str, int]) -> Filter | None:
    members = {**lists, **times}
    if "nodes" in members and "except_nodes" in members:
        raise _bad("except_nodes", "nodes and except_nodes exclude each other")
    for name, value in members.items():
        try:
            msgspec.convert({name: value}, Filter)
        except msgspec.ValidationError as error:
            raise _bad(name, f"{name}: {str(error).partition(' - at ')[0]}") from None
    return msgspec.convert(members, Filter) if members else None


def _time(name: str, single: dict[str, str]) -> int:
    """Read ms since the epoch, or an ISO 8601 time with its zone."""
    text = single[name]
    if re.fullmatch("[0-9]{1,16}", text):
        return int(text)
    try:
        # "+" in a query means a blank: 2024-05-01T00:00:00+02:00 arrives with one
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _bad(name, f"{name} is neither ms since the epoch nor an ISO time with its zone")
    return round(moment.timestamp() * 1000)


def _cursor(text: str | None) -> Cursor | None:
    if text is not None and re.match(CURSOR_PATTERN, text) is None:
        raise _bad("after", "after is no cursor; take it from an earlier answer")
    return None if text is None else Cursor(text)


def _number(name: str, text: str, highest: float, *, lowest: int = 1) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
        raise _bad(name, f"{name} is not a number from {lowest} to {highest:g}")
    return int(text)
