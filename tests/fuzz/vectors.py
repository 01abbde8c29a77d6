"""Seeds from the committed test vectors."""

import base64
import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """Return one file of vectors."""
    vectors: list[dict[str, Any]] = json.loads((VECTORS / name).read_text(encoding="ascii"))
    return vectors


def bodies(media_type: str) -> list[bytes]:
    """Return every document of one encoding: messages, node documents and malformed ones."""
    found = [
        message["body"]
        for exchange in load("exchanges.json")
        for message in (exchange["request"], exchange["answer"])
        if message["headers"]["content-type"] == media_type
    ]
    found += [one["body"] for one in load("node_documents.json") if one["media_type"] == media_type]
    found += [one["document"] for one in load("malformed.json") if one["media_type"] == media_type]
    return [text.encode("utf-8", "surrogatepass") for text in found]


def envelopes() -> list[bytes]:
    """Return the header fields of every message, one field a line."""
    return [
        "\n".join(f"{name}: {value}" for name, value in message["headers"].items()).encode()
        for exchange in load("exchanges.json")
        for message in (exchange["request"], exchange["answer"])
    ]


def wires() -> list[bytes]:
    """Return every body that was compressed."""
    return [
        base64.b64decode(message["wire_base64"])
        for exchange in load("exchanges.json")
        for message in (exchange["request"], exchange["answer"])
        if "wire_base64" in message
    ]


def frames() -> list[bytes]:
    """Return Negentropy messages, as far as the vectors hold them whole."""
    return [
        bytes.fromhex(message)
        for comparison in load("negentropy.json")
        for message in comparison["messages"]
        if message.startswith("61") and len(message) != 64
    ]
