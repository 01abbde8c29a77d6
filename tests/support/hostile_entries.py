"""Queue entries as an attacker with access to the broker, or a broken program, would write them."""

import base64
import gzip
import json
import uuid
import zlib
from typing import Any

from replicator.adapters.queues import ROUTES

TASK = ROUTES["announce"].task
PEER = "beta.example"


def headers(**changes: Any) -> dict[str, Any]:
    """Return headers as the doorbell writes them; None for a name whose value is ``...``."""
    made = {
        "lang": "py",
        "task": TASK,
        "id": str(uuid.uuid4()),
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": None,
        "parent_id": None,
        "argsrepr": "",
        "kwargsrepr": "{}",
        "origin": "test",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
        **changes,
    }
    return {name: value for name, value in made.items() if value is not ...}


def body(args: Any = (PEER,), kwargs: Any = None, **embedded: Any) -> bytes:
    """Return a body of protocol 2."""
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **embedded}
    return json.dumps([args, kwargs if kwargs is not None else {}, embed]).encode()


def entry(data: bytes | str | None = None, head: Any = None, **changes: Any) -> bytes:
    """Return an entry of a Redis list; ``changes`` replace members, ``...`` removes one."""
    data = body() if data is None else data
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    tag = str(uuid.uuid4())
    made = {
        "body": text,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers() if head is None else head,
        "properties": {
            "correlation_id": tag,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "alpha.example.fanout"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return json.dumps({k: v for k, v in made.items() if v is not ...}).encode()


def properties(**changes: Any) -> bytes:
    """Return an entry whose properties are changed."""
    tree = json.loads(entry())
    tree["properties"].update(changes)
    tree["properties"] = {k: v for k, v in tree["properties"].items() if v is not ...}
    return json.dumps(tree).encode()


def nested(depth: int) -> Any:
    """Return lists within each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BOMB = gzip.compress(b"0" * 10_000_000)
SIGNATURE = {"task": TASK, "args": [PEER], "kwargs": {}, "options": {}, "subtask_type": None}

ENTRIES: dict[str, tuple[bytes, str]] = {
    # the twelve that are known to harm or to be dropped
    "bytes that are no text": (b"\x00\xff\xfe", "no UTF-8"),
    "no JSON": (b"{'a': 1}", "no JSON"),
    "a JSON list": (b"[1, 2]", "no JSON object"),
    "a body that is no base64": (entry("@@@"), "no base64"),
    "no properties": (entry(properties=...), "no properties"),
    "a body that is no JSON": (entry(b"\x80{"), "the body is no JSON"),
    "an unknown task": (entry(head=headers(task="os.system")), "the task is unknown"),
    "pickle": (entry(content_type="application/x-python-serialize"), "content type"),
    "a time that is none": (entry(head=headers(eta="soon")), "the header eta"),
    "empty headers": (entry(head={}), "the header task is missing"),
    "bad compression": (entry(head=headers(compression="application/x-gzip")), "compressed"),
    "arguments of another shape": (entry(b'{"a": 1}'), "the body is not a list"),
    # entries of other shapes
    "nothing": (b" ", "no JSON"),
    "a number": (b"17", "no JSON object"),
    "a deep nest": (b"[" * 12_000, "nested"),
    "a huge one": (entry(body(["x" * 1_100_000])), "bytes are more than"),
    "a large one": (entry(body(["x" * 20_000])), "the body has"),
    "headers that are a list": (entry(head=[1]), "no headers"),
    "no headers": (entry(headers=...), "no headers"),
    "a body that is an object": (entry(body={}), "no body"),
    "no delivery tag": (properties(delivery_tag=...), "delivery_tag"),
    "a delivery tag that is a list": (properties(delivery_tag=[1]), "delivery_tag"),
    "a long delivery tag": (properties(delivery_tag="x" * 300), "delivery_tag"),
    "a delivery tag of half a character": (properties(delivery_tag="\ud800"), "no Unicode"),
    "a routing key of half a character": (
        properties(delivery_info={"exchange": "", "routing_key": "\udfff"}),
        "no Unicode",
    ),
    "no delivery info": (properties(delivery_info=...), "delivery_info"),
    "a routing key that is a number": (
        properties(delivery_info={"exchange": "", "routing_key": 1}),
        "delivery_info",
    ),
    "another body encoding": (properties(body_encoding="rot13"), "body_encoding"),
    "a priority that is no number": (properties(priority=float("inf")), "no JSON"),
    "a priority that is huge": (properties(priority=10**30), "priority"),
    # deep enough for whoever pickles or writes it down, not for whoever reads it
    **{
        f"{place} {depth} deep": (made, "nested too deeply")
        for depth in (20, 480, 700)
        for place, made in (
            ("a property", properties(x=nested(depth))),
            (
                "a place",
                properties(
                    delivery_info={
                        "exchange": "",
                        "routing_key": "alpha.example.fanout",
                        "x": nested(depth),
                    }
                ),
            ),
            ("a header of a broker", entry(head=headers(**{"x-death": nested(depth)}))),
            ("a member", entry(x=nested(depth))),
        )
    },
    # texts that would be lines of their own in a log
    "an id of two lines": (entry(head=headers(id="a\n[CRITICAL] b")), "the header id"),
    "arguments with codes for a terminal": (
        entry(head=headers(argsrepr="\x1b[2J")),
        "the header argsrepr",
    ),
    # objects of kombu's own JSON, outside of the body
    **{
        f"a header that becomes a {kind}": (
            entry(head=headers(root_id={"__type__": kind, "__value__": value})),
            "become an object",
        )
        for kind, value in (("decimal", "x"), ("date", "2020-01-01"), ("uuid", {"hex": "z"}))
    },
    "headers that become a date": (
        entry(head={"__type__": "date", "__value__": "2020-01-01"}),
        "become an object",
    ),
    # what would be decoded by a name of theirs
    "msgpack": (entry(content_type="application/x-msgpack"), "content type"),
    "YAML": (entry(content_type="application/x-yaml"), "content type"),
    "data of no type": (entry(content_type="application/data"), "content type"),
    "no content type": (entry(content_type=...), "content type"),
    "a codec that decompresses": (
        entry(zlib.compress(b"0" * 10_000_000), content_encoding="zlib"),
        "content encoding",
    ),
    "a compression bomb": (entry(BOMB, headers(compression="application/x-gzip")), "compressed"),
    # objects of kombu's own JSON
    "a member that becomes an object": (
        entry(b'[["beta.example"], {}, {"__type__": ["x"], "__value__": 1}]'),
        "the body is no JSON",
    ),
    # what would make Celery do more, or later
    "a chain": (entry(body(chain=[SIGNATURE])), "another task is to follow"),
    "a chord": (entry(body(chord=SIGNATURE)), "another task is to follow"),
    "callbacks": (entry(body(callbacks=[SIGNATURE])), "another task is to follow"),
    "errbacks": (entry(body(errbacks=[SIGNATURE])), "another task is to follow"),
    "a chain in the headers": (entry(head=headers(chain=[SIGNATURE])), "a header is unknown"),
    "a group": (entry(head=headers(group="g")), "the header group"),
    "a task of Celery's": (
        entry(body([SIGNATURE, [[1]]]), headers(task="celery.map")),
        "the task is unknown",
    ),
    "a far time": (entry(head=headers(eta="2099-01-01T00:00:00+00:00")), "the header eta"),
    "a time to expire that is none": (entry(head=headers(expires={"a": 1})), "header expires"),
    "an hour as time limit": (entry(head=headers(timelimit=[3600, 3600])), "timelimit"),
    "retries below none": (entry(head=headers(retries=-1_000)), "the header retries"),
    "another name": (entry(head=headers(shadow="replicator.upkeep")), "the header shadow"),
    "stamps": (entry(head=headers(stamps={"a": ["b"]})), "the header stamps"),
    "no id": (entry(head=headers(id=...)), "the header id is missing"),
    "an id that is a list": (entry(head=headers(id=[1])), "the header id"),
    "the protocol before": (
        entry(
            json.dumps({"task": TASK, "id": "1", "args": [PEER], "kwargs": {}}).encode(), {"a": 1}
        ),
        "the header task is missing",
    ),
    # calls of ours with other arguments
    "too many arguments": (entry(body([PEER, PEER])), "takes 1 arguments"),
    "no arguments": (entry(body([])), "takes 1 arguments"),
    "an argument by name": (entry(body([], {"peer": PEER})), "takes 1 arguments"),
    "a number for a node": (entry(body([17])), "no node id"),
    "no node id": (entry(body(["No Such Node!"])), "no node id"),
    "an object for a node": (entry(body([{"peer": PEER}])), "no node id"),
    "a token with a space": (
        entry(body(["a b"]), headers(task=ROUTES["answer"].task)),
        "no token",
    ),
    "a long token": (entry(body(["x" * 200]), headers(task=ROUTES["answer"].task)), "no token"),
}
"""Name → entry and a part of the reason for which it is set aside."""
