"""Answers of the listener for peers, held against its OpenAPI description."""

import json
from functools import cache

import jsonschema_rs

from replicator.gateway import openapi_sync
from replicator.limits import Limits
from replicator.protocol import codec

_ANSWERS = openapi_sync.DESCRIPTION["paths"]["/v1/sync"]["post"]["responses"]


def objection(status: int, media_type: str, body: bytes) -> str | None:
    """Return how an answer differs from what is described, or None.

    Only answer documents are looked at: what is no request of the protocol gets no such document.
    """
    if media_type not in (codec.JSON, codec.XML) or not body:
        return None
    tree = json.loads(body) if media_type == codec.JSON else codec.decode(codec.XML, body, Limits())
    if "status" not in tree:
        return None
    if str(status) not in _ANSWERS:
        return f"{status} is not described"
    error = next(iter(_validator(status).iter_errors(tree)), None)
    return None if error is None else f"{status}: {error.message[:200]}"


@cache
def _validator(status: int) -> jsonschema_rs.Draft202012Validator:
    schema = _ANSWERS[str(status)]["content"][codec.JSON]["schema"]
    components = {"components": openapi_sync.DESCRIPTION["components"]}
    return jsonschema_rs.Draft202012Validator({**schema, **components})
