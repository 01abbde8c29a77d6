"""A client of protocol 1.0 by a stranger: written from PROTOCOL.md alone.

Only the standard library and an Ed25519 primitive; nothing of `replicator` may be imported here,
a test sees to it. It builds signed requests, checks signed answers, and checks posts.
"""

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HEAD = {"protocol": "1.0", "model": {"name": "post", "version": "1.0"}}
JSON, XML = "application/json", "application/xml"

# --- small things --------------------------------------------------------------------------------


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_text(key: Ed25519PrivateKey) -> str:
    return "ed25519:" + b64url(key.public_key().public_bytes_raw())


def verifies(key: str, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(unb64url(key.removeprefix("ed25519:"))).verify(
            signature, data
        )
    except InvalidSignature:
        return False
    return True


def digest_field(body: bytes) -> str:
    return "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"


# --- documents -----------------------------------------------------------------------------------


def write(media_type: str, root: str, tree: dict[str, Any]) -> bytes:
    if media_type == JSON:
        return json.dumps(tree).encode()
    top = ElementTree.Element(root)
    fill(top, tree)
    return ElementTree.tostring(top, encoding="utf-8", xml_declaration=True)


def fill(element: ElementTree.Element, value: Any) -> None:
    if isinstance(value, dict):
        for name, member in value.items():
            if member is not None:
                fill(ElementTree.SubElement(element, name), member)
    elif isinstance(value, list):
        for item in value:
            fill(ElementTree.SubElement(element, "item"), item)
    elif isinstance(value, bool):
        element.text = "true" if value else "false"
    else:
        element.text = str(value)


# The tables of "XML", by name: what is not listed is text
INTEGERS = {"since", "until", "limit", "published", "size", "time", "retry_after"}
INTEGERS |= {"remaining", "floor", "serial"}
INTEGERS |= {"message_bytes_max", "post_bytes_max", "items_max"}
BOOLEANS = {"more", "declined"}
RECORDS = {"model", "filter", "content", "document", "limits", "introduction"}
RECORDS |= {"announcement"}
TEXTS = {"nodes", "except_nodes", "tags", "threads", "ids", "digests", "types", "versions"}
TEXTS |= {"model_versions", "keys", "pools", "protocols", "features", "addresses"}
LISTS_OF_RECORDS = {"refs", "models", "signatures", "attachments", "missing", "items"}
LISTS_OF_RECORDS |= {"introductions", "node_keys"}


def read(media_type: str, body: bytes) -> dict[str, Any]:
    if media_type == JSON:
        tree: dict[str, Any] = json.loads(body)
        return tree
    return record(ElementTree.fromstring(body))  # noqa: S314 - what the test itself has made


def record(element: ElementTree.Element) -> dict[str, Any]:
    tree = {child.tag: value(child) for child in element}
    if element.tag == "content":
        tree.setdefault("thread", None)
    return tree


def value(element: ElementTree.Element) -> Any:
    name, text = element.tag, element.text or ""
    if name in INTEGERS:
        return int(text)
    if name in BOOLEANS:
        return text == "true"
    if name in RECORDS:
        return record(element)
    if name in LISTS_OF_RECORDS:
        return [record(item) for item in element]
    if name in TEXTS:
        return [item.text or "" for item in element]
    return text


# --- posts ---------------------------------------------------------------------------------------

ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def canonical(value: Any) -> str:
    """Return RFC 8785 of what content and node documents hold, names in ASCII."""
    if isinstance(value, dict):
        members = (f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(ESCAPES.get(character, character) for character in value) + '"'
    return "null" if value is None else str(value)


def check_post(item: dict[str, Any]) -> str:
    """Return the digest of a signed post; raise where a signature does not verify."""
    data = canonical(item["content"]).encode()
    for signature in item["signatures"]:
        raw = unb64url(signature["value"])
        if not verifies(signature["key"], raw, b"replicator:post:1.0\n" + data):
            raise ValueError("a post's signature does not verify")
    return hashlib.sha256(data).hexdigest()


def check_node(item: dict[str, Any]) -> str:
    """Return the id in a signed node document; raise where a key it lists does not sign it."""
    document = item["document"]
    data = b"replicator:node:1.0\n" + canonical(document).encode()
    signed = {one["key"]: unb64url(one["value"]) for one in item["signatures"]}
    for key in [*document["keys"], *document["pools"], *signed]:
        if not verifies(key, signed[key], data):
            raise ValueError("a signature of a node document does not verify")
    node: str = document["id"]
    return node


def check_announcement(item: dict[str, Any]) -> set[str]:
    """Return the keys that signed a key announcement; raise where it does not count."""
    said = item["announcement"]
    data = b"replicator:keys:1.0\n" + canonical(said).encode()
    signed = {one["key"]: unb64url(one["value"]) for one in item["signatures"]}
    states = {one["key"]: one["state"] for one in said["node_keys"]}
    current = {key for key, state in states.items() if state == "current"}
    if len(states) != len(said["node_keys"]) or len(signed) != len(item["signatures"]):
        raise ValueError("a key stands there twice")
    if not current or not current <= set(signed) <= set(states):
        raise ValueError("the wrong keys sign")
    if not set(states.values()) <= {"current", "retired", "revoked"}:
        raise ValueError("a state that is none")
    if any("until" in one and one["state"] != "current" for one in said["node_keys"]):
        raise ValueError("until for a key that is not current")
    if not all(verifies(key, value, data) for key, value in signed.items()):
        raise ValueError("a signature of an announcement does not verify")
    return set(signed)


# --- the envelope --------------------------------------------------------------------------------

REQUEST_FIELDS = ["content-digest", "content-type", "content-encoding", "replicator-sender"]
REQUEST_FIELDS += ["replicator-recipient", "replicator-keys", "replicator-in-reply-to"]


def bases_of(fields: dict[str, str], shared: tuple[int, str, str]) -> list[tuple[str, str]]:
    """Return (signature parameters, signature base) of each key in ``replicator-keys``."""
    created, nonce, tag = shared
    names = [name for name in REQUEST_FIELDS if name in fields]
    quoted = " ".join(f'"{name}"' for name in names)
    lines = "".join(f'"{name}": {fields[name]}\n' for name in names)
    found = []
    for member in fields["replicator-keys"].split(", "):
        keyid = member.partition(";")[0]
        parameters = f'({quoted});created={created};nonce="{nonce}";keyid="{keyid}"'
        parameters += f';alg="ed25519";tag="{tag}"'
        found.append((parameters, f'{lines}"@signature-params": {parameters}'))
    return found


def sign(
    fields: dict[str, str],
    body: bytes,
    keys: list[tuple[Ed25519PrivateKey, str]],
    shared: tuple[int, str, str],
) -> tuple[dict[str, str], str]:
    """Return the header fields of a message, and the digest of its first signature base."""
    listed = ", ".join(f"{key_text(key)};role={role}" for key, role in keys)
    fields = {"content-digest": digest_field(body), **fields, "replicator-keys": listed}
    bases = bases_of(fields, shared)
    inputs, signatures = [], []
    for number, ((key, _), (parameters, base)) in enumerate(zip(keys, bases, strict=True), 1):
        inputs.append(f"sig{number}={parameters}")
        raw = base64.b64encode(key.sign(base.encode())).decode()
        signatures.append(f"sig{number}=:{raw}:")
    fields |= {"signature-input": ", ".join(inputs), "signature": ", ".join(signatures)}
    return fields, hashlib.sha256(bases[0][1].encode()).hexdigest()


SHARED = re.compile(r';created=(\d+);nonce="([^"]+)";keyid="[^"]+";alg="ed25519";tag="([^"]+)"')


def check_message(headers: dict[str, str], wire_body: bytes) -> dict[str, str]:
    """Return what a message says about itself; raise `ValueError` where it is not signed so."""
    if headers["content-digest"] != digest_field(wire_body):
        raise ValueError("the body is another")
    found = SHARED.search(headers["signature-input"])
    if found is None:
        raise ValueError("no signature parameters")
    bases = bases_of(headers, (int(found[1]), found[2], found[3]))
    inputs = ", ".join(f"sig{number}={one}" for number, (one, _) in enumerate(bases, 1))
    if headers["signature-input"] != inputs:
        raise ValueError("signature-input is another than the fields and keys give")
    keys = [member.partition(";")[0] for member in headers["replicator-keys"].split(", ")]
    signatures = headers["signature"].split(", ")
    for number, (key, (_, base), member) in enumerate(zip(keys, bases, signatures, strict=True), 1):
        raw = base64.b64decode(member.removeprefix(f"sig{number}=:").removesuffix(":"))
        if not verifies(key, raw, base.encode()):
            raise ValueError(f"the signature of {key} does not verify")
    return {"tag": found[3], "base_digest": hashlib.sha256(bases[0][1].encode()).hexdigest()}
