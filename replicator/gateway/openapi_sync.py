"""The description (OpenAPI 3.1) of the listener for peers: POST /v1/sync, GET /v1/node, /healthz.

Data only. It is for whoever tests or guards the listener; no path serves
it. What the documents mean, and what a signature covers, PROTOCOL.md says. The members of a request
are left open here: the signature is checked before them.
"""

from typing import Any, Final

from replicator.gateway.openapi_parts import (
    INTEGER,
    JSON,
    KEY,
    NODE_ID,
    SIGNATURE,
    STRING,
    XML,
    Schema,
    answer,
    answered,
    body,
    list_of,
    parameter,
    ref,
)
from replicator.protocol import http_status
from replicator.protocol.messages import REQUEST_TYPES

_ERRORS: Final = {
    400: "`malformed`: the request does not have the defined form.",
    401: "`bad-signature` or `stale`: the request is not signed as it must be.",
    403: "`unknown-sender`, `key-changed` or `forbidden`: who asks may not.",
    409: "`version-mismatch` or `replayed`.",
    410: "`bad-cursor`: the cursor is not of this database.",
    413: "`too-large`: the header or the body is.",
    415: "`unsupported-media-type`: neither JSON nor XML, or not gzip.",
    500: "`unexpected`: a bug, logged at the node.",
    501: "The node does not know this type of request.",
    503: "`busy`: ask again after `retry_after` seconds.",
}
_TEXT: Final = "text/plain"
_FIELDS: Final = {
    "Content-Digest": "SHA-256 of the body (RFC 9530).",
    "Replicator-Sender": "Id of the node that asks.",
    "Replicator-Recipient": "Id of the node that is asked.",
    "Replicator-Keys": "The sender's node key and its pools, with their roles.",
    "Signature-Input": "What each key signed (RFC 9421).",
    "Signature": "The signatures.",
}
_VALUE: Final[Schema] = {"type": "string", "pattern": "^[!-~]([ -~]*[!-~])?$"}
_MODEL: Final = answered({"name": STRING, "version": STRING})
_VERSION: Final[Schema] = {"const": "1.0"}
_CODES: Final = [code.value for code in http_status.STATUS]

_SCHEMAS: Final[dict[str, Schema]] = {
    "Request": {
        "type": "object",
        "properties": {
            "type": {"enum": list(REQUEST_TYPES)},
            "protocol": _VERSION,
            "model": _MODEL,
        },
        "required": ["type", "protocol", "model"],
    },
    "Answer": answered({"status": STRING, "protocol": _VERSION, "model": _MODEL}),
    "Refusal": answered(
        {
            "status": {"enum": ["error", "not supported"]},
            "protocol": _VERSION,
            "model": _MODEL,
            "code": {"enum": _CODES},
            "message": STRING,
            "retry_after": INTEGER,
            "time": INTEGER,
            "types": list_of(STRING),
        },
        *("code", "retry_after", "time", "types"),
    ),
    "NodeDocument": answered(
        {
            "document": answered(
                {
                    "id": NODE_ID,
                    "keys": list_of(KEY, minItems=1),
                    "pools": list_of(KEY),
                    "protocols": list_of(STRING),
                    "models": list_of(_MODEL),
                    "types": list_of(STRING),
                    "features": list_of(STRING),
                    "limits": answered(
                        {
                            "message_bytes_max": INTEGER,
                            "post_bytes_max": INTEGER,
                            "items_max": INTEGER,
                        }
                    ),
                    "addresses": list_of(STRING),
                    "time": INTEGER,
                    "floor": INTEGER,
                    "announcement": {"type": "object"},
                },
                *("floor", "announcement"),
            ),
            "signatures": list_of(answered({"key": KEY, "value": SIGNATURE}), minItems=1),
        }
    ),
    "Error": answered({"error": answered({"code": {"enum": _CODES}, "message": STRING})}),
}


def _documents(description: str, name: str) -> dict[str, Any]:
    # a document in XML is a string to OpenAPI; PROTOCOL.md has its form
    return answer(description, (JSON, ref(name)), (XML, {"type": "string"}))


def _page_errors() -> dict[str, Any]:
    return {
        str(status): answer(_ERRORS[status], (JSON, ref("Error"))) for status in (400, 413, 503)
    }


_SYNC: Final[dict[str, Any]] = {
    "summary": "Ask this node something; request and answer are signed",
    "parameters": [
        {**parameter(name, _VALUE, description, "header"), "required": True}
        for name, description in _FIELDS.items()
    ],
    "requestBody": {
        "required": True,
        "content": body((JSON, ref("Request")), (XML, {"type": "string"})),
    },
    "responses": {
        "200": _documents("The answer, signed.", "Answer"),
        **{str(status): _documents(told, "Refusal") for status, told in _ERRORS.items()},
    },
}
_NODE: Final[dict[str, Any]] = {
    "summary": "What this node says of itself, signed with every key that it names",
    "responses": {"200": _documents("The node document.", "NodeDocument"), **_page_errors()},
}
_HEALTH: Final[dict[str, Any]] = {
    "summary": "Whether database and work state answer",
    "responses": {
        "200": answer("They do.", (_TEXT, {"const": "ok\n"})),
        **_page_errors(),
        "503": answer(
            "They do not, or too many ask.",
            (_TEXT, {"const": "unavailable\n"}),
            (JSON, ref("Error")),
        ),
    },
}

DESCRIPTION: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Replicator, between nodes",
        "version": "1.0",
        "description": "What any host may send to a node; see PROTOCOL.md for the documents.",
    },
    "paths": {
        "/v1/sync": {"post": _SYNC},
        "/v1/node": {"get": _NODE, "head": _NODE},
        "/healthz": {"get": _HEALTH, "head": _HEALTH},
    },
    "components": {"schemas": _SCHEMAS},
}
