"""Identifiers: the text that people give and the types that documents are read with."""

import time

import msgspec
import pytest

from replicator.errors import Malformed
from replicator.protocol import ids

LONG_NODE = ".".join(["a" * 62] * 4)[:251]
KEY = "ed25519:" + "A" * 43

PARSERS = {
    "node": (ids.parse_node_id, ids.WireNodeId),
    "local": (ids.parse_local_id, None),
    "global": (ids.parse_global_id, ids.WireGlobalId),
    "key": (ids.parse_key, ids.WireKey),
    "digest": (ids.parse_digest, ids.WireDigest),
}

GOOD = [
    ("node", ["a", "0", "a-b", "a--b", "a.b", "0.1.2", "x" * 253, LONG_NODE, "xn--bcher-kva.ch"]),
    ("local", ["a", "A.z_9~-", "...", "-", ".a", "1" * 128]),
    ("global", ["a/1", "a.b-c/..x", f"{'x' * 253}/{'1' * 128}", "a/-"]),
    ("key", [KEY, "ed25519:" + "_-" * 21 + "8"]),
    ("digest", ["0123456789abcdef" * 4]),
]
BAD = [
    ("node", ["", ".", "a.", ".a", "a..b", "-a", "a-", "a.-b", "a-.b", "A", "a_b", "a b", "é"]),
    ("node", ["x" * 254, "a\n", "\na", "a\0", "a/b", "a\u0301", "\u0430", "a:1", "1/", "a" + "\r"]),
    ("local", ["", ".", "..", "a/b", "a b", "é", "a\n", "1" * 129, "a+b", "%41", "\0"]),
    ("global", ["", "a", "a/", "/1", "a/.", "a/..", "a/1/2", "A/1", "a/1\n", "a//1", "a./1"]),
    ("global", [f"{'x' * 254}/1", f"a/{'1' * 129}", "a/é"]),
    ("key", ["", KEY[:-1], KEY + "A", KEY + "=", "ed25519:" + "A" * 42 + "B", KEY.upper()]),
    ("key", ["A" * 43, "ed448:" + "A" * 43, KEY + "\n", KEY.replace("A", "+"), "ed25519:"]),
    ("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"]),
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in GOOD for text in texts])
def test_what_is_an_identifier_passes_both_ways_in(kind, text):
    parse, wire = PARSERS[kind]
    assert parse(text) == text
    if wire is not None:
        assert msgspec.convert(text, wire) == text
        assert msgspec.json.decode(msgspec.json.encode(text), type=wire) == text


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BAD for text in texts])
def test_what_is_none_is_refused_both_ways_in(kind, text):
    parse, wire = PARSERS[kind]
    with pytest.raises(Malformed):
        parse(text)
    if wire is not None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, wire)


@pytest.mark.parametrize(
    "text",
    ["a" * 10**6, "a-" * 10**6, "a." * 10**6, "-" * 10**6, "a" * 253 + "/" * 10**6],
)
def test_no_text_is_slow_to_refuse(text):
    began = time.perf_counter()
    for parse, _ in PARSERS.values():
        with pytest.raises(Malformed) as caught:
            parse(text)
        assert len(str(caught.value)) < 200
    assert time.perf_counter() - began < 0.5


def test_a_global_id_is_joined_and_taken_apart():
    joined = ids.global_id(ids.parse_node_id("a.example"), ids.parse_local_id("x"))
    assert joined == ids.parse_global_id("a.example/x")
    assert ids.origin_of(joined) == "a.example"
