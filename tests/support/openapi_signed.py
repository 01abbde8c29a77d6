"""The listener for peers as a member sees it, for Schemathesis: its requests are signed for it.

The description that is published leaves the members of a request open, and says of the signature
only that it is there. Here members are described too, by the very classes that read them, and the
fields of the signature are left to `Signing`. Answers are described as they are published.
"""

import json
import re
import secrets
import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from requests import PreparedRequest
from requests.auth import AuthBase

from replicator.gateway import openapi_sync
from replicator.limits import Limits
from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Get, Pull, Put, Reconcile, Roster
from replicator.protocol.signing import PrivateKey

PATH = "/v1/sync"
FRAME = "YQ"
"""A comparison that is over."""
VARIABLE = "SCHEMATHESIS_SIGNER"
"""Names a file of `Signer`, for the process that Schemathesis is."""


@dataclass(frozen=True)
class Signer:
    """Who signs, for whom, and where answers are noted: a line each."""

    sender: str
    node_key: str
    pool_key: str
    recipient: str
    notes: str

    @classmethod
    def of(cls, sender: Identity, recipient: NodeId, notes: Path) -> "Signer":
        """Return the signer of an identity with one key of each kind."""
        node_key, pool_key = (
            key.to_pem().decode() for key in (*sender.node_keys, *sender.pool_keys)
        )
        return cls(str(sender.node_id), node_key, pool_key, str(recipient), str(notes))

    @classmethod
    def read(cls, path: str) -> "Signer":
        """Read a file that `write` wrote."""
        return cls(**json.loads(Path(path).read_text()))

    def write(self, path: Path) -> Path:
        """Write a file for another process."""
        path.write_text(json.dumps(asdict(self)))
        return path


class Signing(AuthBase):
    """Signs what is about to be sent, whatever it is."""

    def __init__(self, signer: Signer) -> None:
        keys = [PrivateKey.from_pem(pem.encode()) for pem in (signer.node_key, signer.pool_key)]
        self._identity = Identity(NodeId(signer.sender), (keys[0],), (keys[1],))
        self._recipient = NodeId(signer.recipient)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the fields of the envelope to a request for the one path that takes them."""
        if request.path_url != PATH or request.method != "POST":
            return request
        body, media_type = request.body or b"", request.headers.get("content-type", "")
        if not re.fullmatch("[!-~]([ -~]*[!-~])?", media_type):
            return request  # such a field has no signature
        signed = envelope.sign_request(
            self._identity.credentials(0),
            self._recipient,
            body if isinstance(body, bytes) else body.encode(),
            media_type,
            created=int(time.time()),
            nonce=secrets.token_bytes(16),
        )
        request.headers.update(signed.headers)
        return request


def description(pool: str) -> dict[str, Any]:
    """Return the description with the members of requests, within one pool."""
    tree: dict[str, Any] = deepcopy(openapi_sync.DESCRIPTION)
    sync = tree["paths"][PATH]["post"]
    sync["parameters"] = []
    request = {"$ref": "#/components/schemas/Request"}
    # to OpenAPI a document in XML is a string
    sync["requestBody"]["content"] = {codec.JSON: {"schema": request}}
    tree["paths"] = {PATH: tree["paths"][PATH]}
    _, members = msgspec.json.schema_components(
        (Pull, Get, Put, Reconcile, Roster), ref_template="#/components/schemas/{name}"
    )
    members = json.loads(json.dumps(members).replace(r"\\Z", "$"))
    for one in members.values():
        if "scope" in one["properties"]:
            one["properties"]["scope"] = {"const": pool}
    members["Reconcile"]["properties"]["frame"] = {"const": FRAME}
    tree["components"]["schemas"] |= members | {"Request": {"oneOf": _requests(members)}}
    return tree


def refused(pool: str) -> dict[int, list[dict[str, Any]]]:
    """Return requests that chance would not make, by the status of their answers."""
    head = {"protocol": "1.0", "model": {"name": "post", "version": "1.0"}}
    compared = {"type": "reconcile", **head, "since": 0, "frame": FRAME}
    other_pool = pool[:20] + ("A" if pool[20] != "A" else "B") + pool[21:]
    return {
        400: [{**compared, "scope": pool, "frame": ""}, {"type": "pull", **head, "model": {}}],
        403: [{**compared, "scope": other_pool}, {"type": "roster", **head, "scope": other_pool}],
        409: [
            {"type": "pull", **head, "protocol": "2.0"},
            {"type": "pull", **head, "model": {"name": "picture", "version": "1.0"}},
        ],
        410: [{"type": "pull", **head, "after": "A" * 32}],
        413: [{"type": "get", **head, "digests": ["5e" * 32] * 501}],
        501: [{"type": "fly", **head}],
    }


def _requests(members: dict[str, Any]) -> list[dict[str, Any]]:
    model = {"type": "object", "required": ["name", "version"]}
    model["properties"] = {"name": {"const": "post"}, "version": {"const": "1.0"}}
    head = {"protocol": {"const": "1.0"}, "model": model}
    found = []
    for name in ("Pull", "Get", "Put", "Reconcile", "Roster"):
        one = deepcopy(members[name])
        one["properties"] |= head
        one["required"] = [*one["required"], *head]
        found.append(one)
    refs, models = found[2], deepcopy(found[2])
    for one, there, absent in ((refs, "refs", "models"), (models, "models", "refs")):
        del one["properties"][absent]
        one["properties"][there] = {"type": "array", "items": {}}
        one["required"].append(there)
    return [*found, models]


def note(path: str, status: int, headers: dict[str, str], body: bytes) -> None:
    """Note status, media type, and whether the answer is signed as it must be."""
    try:
        message = envelope.parse(headers, Limits())
        envelope.check_digest(message, body)
        envelope.verify(message)
        kind = "signed"
    except Exception as error:
        kind = f"unsigned: {error!r}"
    with Path(path).open("a") as notes:
        notes.write(f"{status} {headers.get('content-type')} {kind}\n")
