"""The local API's description (OpenAPI 3.1), served at /local/v1/openapi.json.

Data only, and the bounds of the node that serves it. A test compares its paths and methods with
the routes, and its parameters with those that are read; another sends what it allows and what it
forbids.
"""

from typing import Any, Final

from replicator.gateway.openapi_parts import (
    BOOLEAN,
    CURSOR,
    DIGEST,
    GLOBAL_ID,
    INTEGER,
    JSON,
    KEY,
    LOCAL_ID,
    NODE_ID,
    SIGNATURE,
    STRING,
    TEXT,
    TIME,
    Schema,
    answer,
    answered,
    asked,
    body,
    list_of,
    parameter,
    ref,
)
from replicator.limits import Limits
from replicator.protocol.messages import FILTER_ITEMS_MAX

_ERRORS: Final = {
    400: "The request does not have the defined form; `field` names the place.",
    401: "The token is missing or wrong.",
    403: "The Host field names another host.",
    404: "There is no such post.",
    409: "The id is held with other fields.",
    410: "The cursor is not of this database; start again without one.",
    413: "The header, the body or the batch is too large.",
    415: "The body is not application/json.",
    422: "A field of the post is not allowed; `field` names it.",
    501: "This process reads no pool key; publish at another gateway of the node.",
    503: "The node cannot do this for now; try again after Retry-After seconds.",
    507: "There is no room for another post; nothing was stored, reading goes on.",
}
_EVERYWHERE: Final = (400, 403, 413, 503)
_GUARD: Final = (401, *_EVERYWHERE)


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): answer(_ERRORS[status], (JSON, ref("Error"))) for status in statuses}


def _lists(schema: Schema) -> Schema:
    return list_of(schema, maxItems=FILTER_ITEMS_MAX)


def _filters(limits: Limits) -> list[dict[str, Any]]:
    limit = {"type": "integer", "minimum": 1, "maximum": limits.items_max}
    before = "The `cursor` of an earlier answer; without it, from the start."
    return [
        parameter("nodes", _lists(NODE_ID), "Only posts of these nodes; repeat for several."),
        parameter(
            "except_nodes", _lists(NODE_ID), "Posts of all but these nodes; not beside `nodes`."
        ),
        parameter("since", TIME, "Published at or after."),
        parameter("until", TIME, "Published before."),
        parameter("tags", _lists(STRING), "Posts with any of these tags."),
        parameter("threads", _lists(GLOBAL_ID), "Posts of any of these threads."),
        parameter("after", CURSOR, before),
        parameter("limit", limit, "Posts at most; 100 unless told."),
    ]


def _wait(limits: Limits) -> dict[str, Any]:
    schema = {
        "type": "integer",
        "minimum": 0,
        "maximum": int(limits.local_wait_seconds),
        "default": 0,
    }
    return parameter("wait", schema, "Seconds to wait for a change.")


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_OUTCOME: Final = answered(
    {
        "status": {"enum": ["stored", "known", "conflict", "refused"]},
        "id": GLOBAL_ID,
        "digest": DIGEST,
        "reason": STRING,
        "field": STRING,
        "notices": list_of(STRING),
    },
    *("id", "digest", "reason", "field"),
)
_STATE: Final = answered(
    {
        "node": NODE_ID,
        "pools": list_of(KEY),
        "posts": INTEGER,
        "peers": INTEGER,
        "gaps": INTEGER,
        "queued": _or_null(INTEGER),
        "cursor": CURSOR,
        "floor": {**INTEGER, "description": "Posts dated before are not kept (ms)."},
        "full": {**BOOLEAN, "description": "There is no room for another post."},
        "time": INTEGER,
    }
)


def _schemas(limits: Limits) -> dict[str, Schema]:
    tag = {**TEXT, "minLength": 1, "maxLength": limits.tag_chars_max}
    attachment = {"digest": DIGEST, "mimetype": TEXT, "name": TEXT, "size": INTEGER}
    attachments = list_of(ref("Attachment"), maxItems=limits.post_attachments_max)
    texts = {"title": TEXT, "text": TEXT, "author": TEXT}
    published = {"anyOf": [TIME, INTEGER, {"type": "null"}]}
    own = {**LOCAL_ID, "description": "Makes publishing idempotent; made if absent."}
    draft = {
        "id": own,
        **texts,
        "tags": list_of(tag, maxItems=limits.post_tags_max),
        "thread": _or_null({"anyOf": [LOCAL_ID, GLOBAL_ID]}),
        "published": published,
        "attachments": attachments,
    }
    page = {"cursor": CURSOR, "more": BOOLEAN}
    signature = answered({"key": KEY, "value": SIGNATURE})
    return {
        "Attachment": asked(attachment, *attachment),
        "Draft": asked(draft),
        # each is judged alone: one that does not have the form of a draft is one refused result
        "Batch": asked({"posts": list_of({}, maxItems=limits.items_max)}, "posts"),
        "Result": _OUTCOME,
        "Results": answered({"results": list_of(ref("Result"))}),
        "Content": answered(
            {
                "id": GLOBAL_ID,
                **texts,
                "tags": list_of(tag),
                "thread": _or_null(GLOBAL_ID),
                "published": INTEGER,
                "attachments": attachments,
            }
        ),
        "Post": answered(
            {"digest": DIGEST, "content": ref("Content"), "signatures": list_of(signature)}
        ),
        "Posts": answered({"posts": list_of(ref("Post")), **page}),
        "Changes": answered({"changes": list_of(ref("Post")), **page}),
        "Status": _STATE,
        "Error": answered(
            {"error": answered({"code": STRING, "message": STRING, "field": STRING}, "field")}
        ),
    }


def describe(limits: Limits) -> dict[str, Any]:
    """Return the description of the local API of a node with these bounds."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Replicator, local API",
            "version": "1.0",
            "description": "Publish posts into this node and take replicated posts out of it.",
        },
        "security": [{"token": []}],
        "paths": {
            "/local/v1/posts": {"post": _PUBLISH, "get": _posts(limits)},
            "/local/v1/posts/{node}/{id}": {"get": _POST},
            "/local/v1/changes": {"get": _changes(limits)},
            "/local/v1/status": {"get": _STATUS},
            "/local/v1/openapi.json": {"get": _DESCRIPTION},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(limits),
        },
    }


_PUBLISH: Final[dict[str, Any]] = {
    "summary": "Publish one post, or a batch; answered after the commit",
    "requestBody": {
        "required": True,
        "content": body((JSON, {"anyOf": [ref("Batch"), ref("Draft")]})),
    },
    "responses": {
        "200": answer(
            "A batch's results in order, or a post that was held already.",
            (JSON, {"anyOf": [ref("Results"), ref("Result")]}),
        ),
        "201": answer("The post is stored.", (JSON, ref("Result"))),
        **_errors(409, 415, 422, 501, 507, *_GUARD),
    },
}
_POST: Final[dict[str, Any]] = {
    "summary": "Read one post",
    "parameters": [
        parameter("node", NODE_ID, "The node of the post's origin.", "path"),
        parameter("id", LOCAL_ID, "The post's id there.", "path"),
    ],
    "responses": {"200": answer("The post.", (JSON, ref("Post"))), **_errors(404, *_GUARD)},
}
_STATUS: Final[dict[str, Any]] = {
    "summary": "Counts of the node; `cursor` is the present end of the change log",
    "responses": {"200": answer("The counts.", (JSON, ref("Status"))), **_errors(*_GUARD)},
}
_DESCRIPTION: Final[dict[str, Any]] = {
    "summary": "This description",
    "security": [],
    "responses": {
        "200": answer("OpenAPI 3.1.", (JSON, {"type": "object"})),
        **_errors(*_EVERYWHERE),
    },
}


def _posts(limits: Limits) -> dict[str, Any]:
    return {
        "summary": "Read posts by filter, in the order in which they arrived",
        "parameters": _filters(limits),
        "responses": {"200": answer("A page.", (JSON, ref("Posts"))), **_errors(410, *_GUARD)},
    }


def _changes(limits: Limits) -> dict[str, Any]:
    page = answer("A page; empty when the time is up.", (JSON, ref("Changes")))
    return {
        "summary": "Follow the change log: answers at once, or waits for a change",
        "parameters": [*_filters(limits), _wait(limits)],
        "responses": {"200": page, **_errors(410, *_GUARD)},
    }
