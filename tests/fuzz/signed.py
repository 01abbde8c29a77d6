"""Target ``signed``: node documents and key announcements whose signatures do verify.

A changed input would end at its first signature, so here it is signed anew, with the private keys
of the vectors, as whoever holds keys may sign anything. The input is a document or an announcement
without signatures, in JSON.
"""

import json
from typing import Any, Final

import msgspec
import rfc8785

from replicator.errors import Malformed
from replicator.limits import Limits
from replicator.protocol import announcement, codec, node_document
from replicator.protocol.announcement import Announcement
from replicator.protocol.canonical import canonical
from replicator.protocol.signing import PrivateKey, b64url
from tests.fuzz import vectors
from tests.fuzz.documents import JSON_TOKENS
from tests.fuzz.target import Target, require

LIMITS: Final = Limits()
_KEYS: Final = {
    key.public: key
    for key in (
        *(
            PrivateKey.from_seed(bytes.fromhex(one["seed_hex"]))
            for one in vectors.load("keys.json")
        ),
        PrivateKey.from_seed(bytes(32)),
        PrivateKey.from_seed(b"\1" * 32),
    )
}
_NOW: Final = 1_767_225_600_000


def read_signed(data: bytes) -> bool:
    """Judge one document that its keys signed."""
    try:
        tree = codec.decode(codec.JSON, data, LIMITS)
    except Malformed:
        return False
    if "node_keys" in tree:
        return _read_announcement(tree) is not None
    said = tree.get("announcement")
    if isinstance(said, dict):
        tree["announcement"] = _announced(said)
    return _read_document(tree)


def _read_announcement(tree: codec.Tree) -> Announcement | None:
    signed = _announced(tree)
    try:
        said, signers = announcement.read_tree(signed, LIMITS)
    except Malformed:
        return None
    listed = [entry.key for entry in said.keys]
    current = {entry.key for entry in said.keys if entry.state == "current"}
    require(1 <= len(listed) <= LIMITS.node_keys_max, "keys beyond the bound")
    require(len(set(listed)) == len(listed), "a key stands there twice")
    require(current and current <= signers <= set(listed), "a current key did not sign")
    for now in (0, _NOW, 2**53 - 1):
        require(announcement.current_keys(said.keys, now) <= current, "current without being so")
    if signers <= set(_KEYS) and msgspec.to_builtins(said) == tree:
        again = announcement.sign(said, [_KEYS[key] for key in listed if key in signers])
        require(announcement.read_tree(again, LIMITS) == (said, signers), "signed as another")
    return said


def _read_document(tree: codec.Tree) -> bool:
    keys = [key for name in ("keys", "pools") for key in _list(tree.get(name))]
    signed = {"document": tree, "signatures": _signatures(node_document.SIGNING_LABEL, tree, keys)}
    try:
        document = node_document.read_tree(signed)
    except Malformed:
        return False
    require({*document.keys, *document.pools} <= set(_KEYS), "a listed key did not sign")
    kept = node_document.compact(signed)
    require(node_document.read(codec.JSON, kept, LIMITS) == document, "kept as another document")
    found = announcement.of_document(document, LIMITS)
    require(found is None or found[0].id == document.id, "an announcement of another node")
    # XML leaves out what it does not know, and what was left out was signed
    if msgspec.to_builtins(document) == tree:
        written = codec.encode(codec.XML, signed)
        require(node_document.read(codec.XML, written, LIMITS) == document, "XML tells another")
    return True


def _announced(content: codec.Tree) -> codec.Tree:
    entries = _list(content.get("node_keys"))
    keys = [entry.get("key") for entry in entries if isinstance(entry, dict)]
    signatures = _signatures(announcement.SIGNING_LABEL, content, keys)
    return {"announcement": content, "signatures": signatures}


def _signatures(label: bytes, content: codec.Tree, keys: list[Any]) -> list[dict[str, str]]:
    signed = rfc8785.dumps(content)
    require(canonical(content) == signed, "not as RFC 8785 says")
    data = label + signed
    known = dict.fromkeys(key for key in keys if isinstance(key, str) and key in _KEYS)
    return [{"key": str(key), "value": b64url(_KEYS[key].sign(data))} for key in known]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _seeds() -> list[bytes]:
    said = [one["signed"]["announcement"] for one in vectors.load("announcements.json")]
    first, *others = _KEYS
    made = {"id": "a.example", "serial": 1, "node_keys": [{"key": first, "state": "current"}]}
    listed = {"current": others[0], "retired": others[1], "revoked": others[2]}
    whole = {
        "id": "a.example",
        "serial": 2,
        "node_keys": [{"key": key, "state": state} for state, key in listed.items()]
        + [{"key": first, "state": "current", "until": _NOW}],
    }
    documents = [json.loads(one["canonical"]) for one in vectors.load("node_documents.json")]
    plain = {**documents[0], "id": "a.example", "keys": [first], "pools": [others[0]]}
    with_keys = [{**plain, "announcement": one} for one in (made, whole)]
    found = [*said, made, whole, *documents, plain, *with_keys]
    return [json.dumps(one, separators=(",", ":")).encode() for one in found]


_TOKENS: Final = (
    *JSON_TOKENS,
    *(f'"{key}"'.encode() for key in _KEYS),
    *b'"current" "retired" "revoked" "state" "until" "serial" "key" "floor":1 "x":[]'.split(),
    '"\ufb00":1,"\U0001f600":1,'.encode(),
)
SIGNED: Final = Target("signed", read_signed, _seeds, _TOKENS)
