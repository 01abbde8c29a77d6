"""The local API's description (OpenAPI 3.1), served at /local/v1/openapi.json.

Data only. A test compares its paths and methods with the routes, and its parameters with those
that are read.
"""

from typing import Any, Final

_JSON: Final = "application/json"


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {_JSON: {"schema": schema}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": _body(schema)}


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): _answer(_ERRORS[status], _ref("Error")) for status in statuses}


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_ERRORS: Final = {
    400: "The request does not have the defined form; `field` names the place.",
    401: "The token is missing or wrong.",
    403: "The Host field names another host.",
    404: "There is no such post.",
    409: "The id is held with other fields.",
    410: "The cursor is not of this database; start again without one.",
    413: "The body, or the batch, is too large.",
    415: "The body is not application/json.",
    422: "A field of the post is not allowed; `field` names it.",
    503: "The node cannot do this for now; try again after Retry-After seconds.",
    507: "There is no room for another post; nothing was stored, reading goes on.",
}
_STRING: Final[dict[str, Any]] = {"type": "string"}
_INTEGER: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_TIME_TEXT: Final = "Milliseconds since the Unix epoch, or an ISO 8601 time with its zone."
_FILTERS: Final = [
    _parameter("nodes", _list(_STRING), "Only posts of these nodes; repeat for several."),
    _parameter("except_nodes", _list(_STRING), "Posts of all but these nodes."),
    _parameter("since", _STRING, f"Published at or after. {_TIME_TEXT}"),
    _parameter("until", _STRING, f"Published before. {_TIME_TEXT}"),
    _parameter("tags", _list(_STRING), "Posts with any of these tags."),
    _parameter("threads", _list(_STRING), "Posts of any of these threads (node-id/post-id)."),
    _parameter("after", _STRING, "The `cursor` of an earlier answer; without it, from the start."),
    _parameter("limit", {"type": "integer", "minimum": 1}, "Posts at most; 100 unless told."),
]
_WAIT: Final = _parameter(
    "wait", {"type": "integer", "minimum": 0, "default": 0}, "Seconds to wait for a change."
)
_GUARD: Final = (401, 403, 503)

_SCHEMAS: Final[dict[str, Any]] = {
    "Attachment": _object(
        {"digest": _STRING, "mimetype": _STRING, "name": _STRING, "size": _INTEGER},
        "digest",
        "mimetype",
        "name",
        "size",
    ),
    "Draft": _object(
        {
            "id": {**_STRING, "description": "Makes publishing idempotent; made if absent."},
            "title": _STRING,
            "text": _STRING,
            "author": _STRING,
            "tags": _list(_STRING),
            "thread": {"type": ["string", "null"]},
            "published": {"type": ["string", "integer", "null"], "description": _TIME_TEXT},
            "attachments": _list(_ref("Attachment")),
        }
    ),
    "Batch": _object({"posts": _list(_ref("Draft"))}, "posts"),
    "Result": _object(
        {
            "status": {"enum": ["stored", "known", "conflict", "refused"]},
            "id": _STRING,
            "digest": _STRING,
            "reason": _STRING,
            "field": _STRING,
            "notices": _list(_STRING),
        },
        "status",
        "notices",
    ),
    "Results": _object({"results": _list(_ref("Result"))}, "results"),
    "Content": _object(
        {
            "id": _STRING,
            "title": _STRING,
            "text": _STRING,
            "author": _STRING,
            "tags": _list(_STRING),
            "thread": {"type": ["string", "null"]},
            "published": _INTEGER,
            "attachments": _list(_ref("Attachment")),
        },
        *("id", "title", "text", "author", "tags", "thread", "published", "attachments"),
    ),
    "Post": _object(
        {
            "digest": _STRING,
            "content": _ref("Content"),
            "signatures": _list(_object({"key": _STRING, "value": _STRING}, "key", "value")),
        },
        "digest",
        "content",
        "signatures",
    ),
    "Posts": _object(
        {"posts": _list(_ref("Post")), "cursor": _STRING, "more": {"type": "boolean"}},
        "posts",
        "cursor",
        "more",
    ),
    "Changes": _object(
        {"changes": _list(_ref("Post")), "cursor": _STRING, "more": {"type": "boolean"}},
        "changes",
        "cursor",
        "more",
    ),
    "Status": _object(
        {
            "node": _STRING,
            "pools": _list(_STRING),
            "posts": _INTEGER,
            "peers": _INTEGER,
            "gaps": _INTEGER,
            "queued": {"type": ["integer", "null"]},
            "cursor": _STRING,
            "floor": {**_INTEGER, "description": "Posts dated before are not kept (ms)."},
            "full": {"type": "boolean", "description": "There is no room for another post."},
            "time": _INTEGER,
        },
        *("node", "pools", "posts", "peers", "gaps", "queued"),
        *("cursor", "floor", "full", "time"),
    ),
    "Error": _object(
        {
            "error": _object(
                {"code": _STRING, "message": _STRING, "field": _STRING}, "code", "message"
            )
        },
        "error",
    ),
}

DESCRIPTION: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Replicator, local API",
        "version": "1.0",
        "description": "Publish posts into this node and take replicated posts out of it.",
    },
    "security": [{"token": []}],
    "paths": {
        "/local/v1/posts": {
            "post": {
                "summary": "Publish one post, or a batch; answered after the commit",
                "requestBody": {
                    "required": True,
                    "content": _body({"anyOf": [_ref("Batch"), _ref("Draft")]}),
                },
                "responses": {
                    "200": _answer(
                        "A batch's results in order, or a post that was held already.",
                        {"anyOf": [_ref("Results"), _ref("Result")]},
                    ),
                    "201": _answer("The post is stored.", _ref("Result")),
                    **_errors(400, 409, 413, 415, 422, 507, *_GUARD),
                },
            },
            "get": {
                "summary": "Read posts by filter, in the order in which they arrived",
                "parameters": _FILTERS,
                "responses": {
                    "200": _answer("A page.", _ref("Posts")),
                    **_errors(400, 410, *_GUARD),
                },
            },
        },
        "/local/v1/posts/{node}/{id}": {
            "get": {
                "summary": "Read one post",
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": _STRING}
                    for name in ("node", "id")
                ],
                "responses": {
                    "200": _answer("The post.", _ref("Post")),
                    **_errors(400, 404, *_GUARD),
                },
            }
        },
        "/local/v1/changes": {
            "get": {
                "summary": "Follow the change log: answers at once, or waits for a change",
                "parameters": [*_FILTERS, _WAIT],
                "responses": {
                    "200": _answer("A page; empty when the time is up.", _ref("Changes")),
                    **_errors(400, 410, *_GUARD),
                },
            }
        },
        "/local/v1/status": {
            "get": {
                "summary": "Counts of the node; `cursor` is the present end of the change log",
                "responses": {"200": _answer("The counts.", _ref("Status")), **_errors(*_GUARD)},
            }
        },
        "/local/v1/openapi.json": {
            "get": {
                "summary": "This description",
                "security": [],
                "responses": {"200": _answer("OpenAPI 3.1.", {"type": "object"}), **_errors(403)},
            }
        },
    },
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": _SCHEMAS,
    },
}
