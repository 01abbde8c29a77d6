"""What a message of this project's broker looks like. Pure; anything else is set aside.

Whoever can write to the broker can write anything into a queue, and what Celery does with it goes
far: it decompresses, follows codecs by name, runs tasks of its own (chains, maps), enqueues what a
message names as its chain or callbacks, holds what is to run later in memory, and ends on some
entries altogether. So every message is compared with what this node's doorbell, its beat and
Celery's own retry of a lost task write, before Celery looks at it. Members are listed, not
searched for what is known to be bad.

Sources: Celery's documentation, "Message Protocol", version 2; kombu's virtual transport for the
entry that stands in a Redis list.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from replicator.errors import Malformed

CONTENT_TYPE: Final = "application/json"
CONTENT_ENCODING: Final = "utf-8"
TEXT_CHARS_MAX: Final = 2_048
"""Of a header: Celery cuts what it shows of arguments to half of it."""
ID_CHARS_MAX: Final = 255
DEPTH_MAX: Final = 16
"""Lists and objects within each other. Ours have four; a few hundred end a worker that hands the
message to its pool, stores it for redelivery, or writes it down."""
PRIORITY_MAX: Final = 255
RETRIES_MAX: Final = 2
"""As `workers.base.NodeTask` retries the task of a pool child that died."""
_EMBEDDED: Final = frozenset(("callbacks", "errbacks", "chain", "chord"))
_FROM_BROKER: Final = re.compile(r"x-[a-z0-9-]{1,64}|redelivered")
"""What RabbitMQ and kombu add to a message that was delivered before."""
_KOMBU_TYPE: Final = "__type__"
"""Marks what kombu's reader makes an object of."""


def read_entry(raw: bytes, bytes_max: int) -> dict[str, Any]:
    """Return an entry of a Redis list, or what was published to a channel, ready for kombu.

    Raises:
        Malformed: kombu could not read it, or would do more than to read it.
    """
    tree = parse(raw, bytes_max)
    _check_entry(tree)
    check_content(tree.get("content-type"), tree.get("content-encoding"), tree["headers"])
    return tree  # type: ignore[no-any-return]  # an object, as was checked


def _check_entry(tree: Any) -> None:
    if not isinstance(tree, dict):
        raise Malformed("the entry is no JSON object")
    body, headers, properties = (tree.get(name) for name in ("body", "headers", "properties"))
    if not isinstance(body, str) or not isinstance(headers, dict):
        raise Malformed("the entry has no body, or no headers")
    if not isinstance(properties, dict):
        raise Malformed("the entry has no properties")
    _check_properties(properties)
    if properties.get("body_encoding") is not None:
        _check_base64(body)


def read_unacknowledged(raw: bytes, bytes_max: int) -> None:
    """Check what kombu stored of a message that its worker never acknowledged.

    Raises:
        Malformed: it cannot be put back into a queue.
    """
    tree = parse(raw, bytes_max)
    if not isinstance(tree, list) or [type(part) for part in tree] != [dict, str, str]:
        raise Malformed("the record is no message with its exchange and routing key")
    # kombu logs the whole of what it fails to put back
    _check_entry(tree[0])


def parse(raw: bytes, bytes_max: int) -> Any:
    """Return JSON that kombu's own reader reads alike: without anything it would make objects of.

    Raises:
        Malformed: it is too long, no JSON in UTF-8, nested too deeply, or holds a text that
            cannot be written in UTF-8: what kombu stores by such a tag would end the worker.
    """
    if len(raw) > bytes_max:
        raise Malformed(f"{len(raw)} bytes are more than {bytes_max}")
    try:
        tree = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
        if b"\\u" in raw:  # the only way to half a character; none of ours has it
            json.dumps(tree, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the bytes are no UTF-8") from error
    except UnicodeEncodeError as error:
        raise Malformed("a text is no Unicode") from error
    except ValueError as error:
        raise Malformed("the bytes are no JSON") from error
    except RecursionError as error:
        raise Malformed("the JSON is nested too deeply") from error
    check_nesting(tree)
    return tree


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def check_nesting(tree: Any) -> None:
    """Check that a tree is as flat as ours, level by level, and holds no object of kombu's.

    Raises:
        Malformed: it is not.
    """
    level = [tree]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if _KOMBU_TYPE in value:
                    raise Malformed("a value is to become an object")
                below.extend(value.values())
            elif isinstance(value, list | tuple):
                below.extend(value)
        if not below:
            return
        level = below
    raise Malformed("values are nested too deeply")


def _check_properties(properties: Mapping[str, Any]) -> None:
    tag, place = properties.get("delivery_tag"), properties.get("delivery_info")
    if not isinstance(tag, str) or not 0 < len(tag) <= ID_CHARS_MAX:
        raise Malformed("delivery_tag is no text of a fit length")
    if not isinstance(place, dict) or not all(
        isinstance(place.get(name), str) for name in ("exchange", "routing_key")
    ):
        raise Malformed("delivery_info does not name exchange and routing key")
    if properties.get("body_encoding") not in ("base64", None):
        raise Malformed("body_encoding is another one than base64")
    priority = properties.get("priority")
    if priority is not None and not _whole(priority, PRIORITY_MAX):
        raise Malformed("priority is no number of a fit size")


def _check_base64(body: str) -> None:
    try:
        base64.b64decode(body.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Malformed("the body is no base64") from error


def check_content(kind: object, encoding: object, headers: Mapping[Any, Any]) -> None:
    """Check what kombu does with a body before anybody sees it.

    Raises:
        Malformed: the body is compressed, or is to be read as something else than JSON in UTF-8.
    """
    if headers.get("compression") is not None:
        raise Malformed("the body is compressed")
    if kind != CONTENT_TYPE:
        raise Malformed(f"the content type is not {CONTENT_TYPE}")
    # the name of any codec is taken otherwise, of those that decompress too
    if encoding != CONTENT_ENCODING:
        raise Malformed(f"the content encoding is not {CONTENT_ENCODING}")


def check_headers(headers: Mapping[Any, Any]) -> str:
    """Check the headers of a task message; return the task's name.

    Raises:
        Malformed: one is missing, unknown, or says what no message of ours says.
    """
    for name in ("task", "id"):
        if name not in headers:
            raise Malformed(f"the header {name} is missing")
    check_nesting(headers)
    for name, value in headers.items():
        check = HEADERS.get(name) if isinstance(name, str) else None
        if check is None and isinstance(name, str) and _FROM_BROKER.fullmatch(name):
            continue
        if check is None:
            raise Malformed("a header is unknown")
        if not check(value):
            raise Malformed(f"the header {name} does not have a value of ours")
    return str(headers["task"])


def check_body(body: Any) -> tuple[list[Any], dict[str, Any]]:
    """Check the decoded body of a task message; return positional and keyword arguments.

    Raises:
        Malformed: it is of another shape, or has more work than the task itself to be enqueued.
    """
    if not isinstance(body, list | tuple) or len(body) != 3:  # protocol 2
        raise Malformed("the body is not a list of arguments, keyword arguments and what follows")
    arguments, keywords, embedded = body
    if not isinstance(arguments, list) or not isinstance(keywords, dict):
        raise Malformed("the arguments are no list, or the keyword arguments no object")
    if not isinstance(embedded, dict) or not _EMBEDDED.issuperset(embedded):
        raise Malformed("what follows the task is unknown")
    if any(value is not None for value in embedded.values()):
        raise Malformed("another task is to follow the task")
    return arguments, keywords


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_CHARS_MAX and value.isprintable()


def _text_or_none(value: object) -> bool:
    return value is None or _text(value)


def _id(value: object) -> bool:
    # in one line of a log: no line ends, no codes for a terminal, no half characters
    return isinstance(value, str) and 0 < len(value) <= ID_CHARS_MAX and value.isprintable()


def _none(value: object) -> bool:
    return value is None


def _empty(value: object) -> bool:
    return value is None or value == [] or value == {}


def _time(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, str) or len(value) > ID_CHARS_MAX:
        return False
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return False
    offset = time.utcoffset()
    return offset is not None and not offset


def _whole(value: object, highest: int) -> bool:
    return type(value) is int and 0 <= value <= highest


HEADERS: Final[Mapping[str, Callable[[object], bool]]] = {
    "task": _id,
    "id": _id,
    "root_id": lambda value: value is None or _id(value),
    "parent_id": lambda value: value is None or _id(value),
    "lang": lambda value: value == "py",
    "expires": _time,
    "retries": lambda value: _whole(value, RETRIES_MAX),
    "ignore_result": lambda value: value is None or isinstance(value, bool),
    "argsrepr": _text_or_none,
    "kwargsrepr": _text_or_none,
    "origin": _text_or_none,
    "replaced_task_nesting": lambda value: _whole(value, 0),
    # set by Celery's beat
    "celery_beat_task": lambda value: isinstance(value, bool),
    # of no use here: a task under another name, of a group, later, for longer, with marks
    "shadow": _none,
    "group": _none,
    "group_index": _none,
    "eta": _none,
    "timelimit": lambda value: value is None or value == [None, None],
    "stamped_headers": _empty,
    "stamps": _empty,
    "compression": _none,
    # tracing
    "traceparent": _text,
    "tracestate": _text,
    "baggage": _text,
}
"""The headers of a task message, each with what its value may be."""
