"""What both OpenAPI descriptions are built of: schemas of ids and texts, bodies and parameters.

Data and pure functions. What a description allows is taken, as far as it does not depend on what
the node holds, so that generators of clients and of tests may rely on it; other ways to write a
time or an id of this node, which patterns cannot tell from wrong ones, are read too. The patterns
are those of `protocol.ids` in the words of ECMA 262, without what readers of OpenAPI do not share.
"""

from typing import Any, Final

from replicator.protocol.ids import INTEGER_MAX

Schema = dict[str, Any]

JSON: Final = "application/json"
XML: Final = "application/xml"

_NODE: Final = "[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
_POST: Final = "(?![.]{1,2}$)[A-Za-z0-9._~-]{1,128}"
_DATE: Final = "(19[7-9][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?"
_ZONE: Final = "(Z|-(0[0-9]|1[0-9]|2[0-3]):[0-5][0-9])"

STRING: Final[Schema] = {"type": "string"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
INTEGER: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": INTEGER_MAX}
NODE_ID: Final[Schema] = {
    "type": "string",
    "maxLength": 253,
    "pattern": f"^{_NODE}$",
    "examples": ["board.example"],
}
LOCAL_ID: Final[Schema] = {"type": "string", "pattern": f"^{_POST}$", "examples": ["welcome"]}
GLOBAL_ID: Final[Schema] = {
    "type": "string",
    "maxLength": 253,
    "pattern": f"^{_NODE}/{_POST}$",
    "examples": ["board.example/welcome"],
}
KEY: Final[Schema] = {
    "type": "string",
    "pattern": "^ed25519:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$",
}
SIGNATURE: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{85}[AQgw]$"}
DIGEST: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
CURSOR: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"}
TEXT: Final[Schema] = {
    "type": "string",
    "pattern": "^[^\\u0000-\\u0008\\u000b-\\u001f\\ufffe\\uffff]*$",
    "description": "Characters of XML 1.0 without U+000D.",
}
TIME: Final[Schema] = {
    "type": "string",
    "pattern": f"^([0-9]{{1,15}}|{_DATE}T{_CLOCK}{_ZONE})$",
    "examples": ["1714521600000", "2024-05-01T00:00:00Z"],
    "description": "Milliseconds since the Unix epoch, or an ISO 8601 time with its zone.",
}
"""Any ISO 8601 time with a zone is read, but no pattern says which days there are."""


def ref(name: str) -> Schema:
    """Return a reference to a schema of this description."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(schema: Schema, **bounds: int | bool) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema, **bounds}


def answered(properties: dict[str, Schema], *optional: str) -> Schema:
    """Return the schema of an object that answers hold; later versions may add members."""
    needed = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": needed}


def asked(properties: dict[str, Schema], *needed: str) -> Schema:
    """Return the schema of an object that requests hold: no member beside the listed ones."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(needed),
        "additionalProperties": False,
    }


def body(*pairs: tuple[str, Schema]) -> dict[str, Any]:
    """Return the content of a body from media types and schemas."""
    return {media_type: {"schema": schema} for media_type, schema in pairs}


def answer(description: str, *pairs: tuple[str, Schema]) -> dict[str, Any]:
    """Return one answer; without pairs nothing is said of its body."""
    return {"description": description, "content": body(*pairs)}


def parameter(name: str, schema: Schema, description: str, place: str = "query") -> dict[str, Any]:
    """Return one parameter; those of a path are always needed."""
    needed = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "schema": schema, "description": description, **needed}
