"""PROTOCOL.md and the code say the same: its examples, tables and limits are read and compared."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from replicator import protocol
from replicator.errors import ErrorCode
from replicator.limits import PROTOCOL_FLOOR, Limits
from replicator.protocol import (
    announcement,
    codec,
    envelope_form,
    http_status,
    node_document,
    xml_codec,
)
from replicator.protocol.ids import INTEGER_MAX
from replicator.protocol.messages import (
    FILTER_ITEMS_MAX,
    FRAME_BYTES_MAX,
    REQUEST_TYPES,
    PutResult,
    RequestHead,
)
from replicator.protocol.post import SIGNING_LABEL, SignedContent, post_of
from replicator.protocol.xml_codec import Shape
from replicator.rules.negentropy import FRAME_BYTES_MIN
from tests.conformance.test_vectors import EXPECTED, load

LIMITS = Limits()
PAGE = Path(protocol.__file__).with_name("PROTOCOL.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
MEDIA_TYPES = {"json": codec.JSON, "xml": codec.XML}


def blocks(language: str, kind: str = "") -> list[str]:
    return [text for found, what, text in BLOCKS if (found, what) == (language, kind)]


def tree_of(language: str, kind: str, text: str) -> dict[str, Any]:
    if kind == "item":
        members = (
            '{"type":"","models":[%s]}'
            if language == "json"
            else ("<request><type/><models>%s</models></request>")
        )
        text = members % text
    return codec.decode(MEDIA_TYPES[language], text.encode(), LIMITS)


@pytest.mark.parametrize("kind", ["item", "request", "answer", "node"])
def test_each_example_is_the_same_document_in_both_encodings(kind):
    in_json, in_xml = blocks("json", kind), blocks("xml", kind)
    assert len(in_json) == len(in_xml) > 0
    for one, other in zip(in_json, in_xml, strict=True):
        assert tree_of("json", kind, one) == tree_of("xml", kind, other)


def test_the_example_requests_are_of_every_type():
    heads = [
        codec.read(tree_of("json", "request", text), RequestHead)
        for text in blocks("json", "request")
    ]
    assert [head.type for head in heads] == list(REQUEST_TYPES)


KINDS = {"items": "put", "missing": "get", "introductions": "roster", "frame": "reconcile"}


def test_the_example_answers_can_be_read():
    read = set()
    for text in blocks("json", "answer"):
        tree = tree_of("json", "answer", text)
        kind = next((kind for name, kind in KINDS.items() if name in tree), "pull")
        codec.read_answer(tree, EXPECTED[kind])
        read.add(kind)
    assert read == set(REQUEST_TYPES)


def test_the_example_of_a_comparison_is_a_vector():
    exchange = next(e for e in load("exchanges.json") if e["name"] == "reconcile-json")
    for side in ("request", "answer"):
        frame = json.loads(exchange[side]["body"])["frame"]
        assert PAGE.count(f'"frame": "{frame}"') == PAGE.count(f"<frame>{frame}</frame>") == 1


def test_the_example_post_is_the_first_vector():
    (text,) = blocks("json", "item")
    (item,) = tree_of("json", "item", text)["models"]
    signed = codec.read(item, SignedContent)
    post = post_of(signed.content, signed.signatures, LIMITS)
    (canonical,) = blocks("canonical")
    assert post.canonical == canonical.removesuffix("\n").encode()
    assert f"({post.size}), digest `{post.digest}`" in PAGE
    assert post.digest == load("posts.json")[0]["digest"]


def test_the_example_of_a_signature_base_is_a_vector():
    request = next(e for e in load("exchanges.json") if e["name"] == "pull-all-json")["request"]
    assert blocks("base") == [request["signature_bases"][0] + "\n"]
    assert blocks("body") == [request["body"] + "\n"]


@pytest.mark.parametrize("language", ["json", "xml"])
def test_the_example_of_a_node_document_verifies(language):
    (text,) = blocks(language, "node")
    assert node_document.read(MEDIA_TYPES[language], text.encode(), LIMITS).id == "bob.example"


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this heading."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in table.split("\n")[2:]
    ]


def test_the_errors_are_those_of_the_code():
    assert {row[0]: int(row[1]) for row in rows("`code`")} == dict(http_status.STATUS)
    assert {row[0] for row in rows("`code`")} == {code.value for code in ErrorCode}


def test_the_results_are_those_of_the_code():
    assert [row[0] for row in rows("`result`")] == [result.value for result in PutResult]


def test_the_shapes_are_those_of_the_code():
    words = {
        "string": Shape.TEXT,
        "integer": Shape.INTEGER,
        "boolean": Shape.BOOLEAN,
        "object": Shape.RECORD,
        "list of strings": Shape.TEXTS,
        "list of objects": Shape.RECORDS,
    }
    shapes = {name: words[row[0]] for row in rows("shape") for name in row[1].split()}
    assert shapes == dict(xml_codec.SHAPES)


def test_the_extensions_are_the_request_types_that_not_every_node_answers():
    extensions = [row[0] for row in rows("type")]
    assert ["pull", "get", "put", *extensions] == list(REQUEST_TYPES)


def test_the_envelope_fields_are_those_of_the_code():
    listed = tuple(row[0].lower() for row in rows("field"))
    assert listed == envelope_form.ENVELOPE_FIELDS
    for tag in (envelope_form.REQUEST_TAG, envelope_form.ANSWER_TAG):
        assert f"`{tag}`" in PAGE


def test_the_numbers_are_those_of_the_code():
    floor = [
        f"{PROTOCOL_FLOOR['message_bytes_max']:,} bytes after decompression",
        f"post of\n{PROTOCOL_FLOOR['post_bytes_max']:,} canonical bytes",
        f"{PROTOCOL_FLOOR['items_max']} items in a message",
        f"{LIMITS.header_bytes_max:,} bytes of header",
        f"{LIMITS.envelope_signatures_max} signing keys",
        f"{FILTER_ITEMS_MAX} entries in each list of a filter",
        f"nested {LIMITS.json_depth_max} levels",
        f"({INTEGER_MAX})",
        f"at most {LIMITS.post_tags_max} distinct strings of 1 to {LIMITS.tag_chars_max}",
        f"list of at most {LIMITS.post_attachments_max} of",
        f"a list of 1 to {LIMITS.post_signatures_max} of",
        f"more than {LIMITS.window_seconds} seconds",
        f"A frame has at most {FRAME_BYTES_MAX:,} bytes",
        f"of F bytes (at least {FRAME_BYTES_MIN:,})",
        f"a list of 1 to {LIMITS.node_keys_max} of `key`",
    ]
    for words in floor:
        assert words in PAGE
    for label in (SIGNING_LABEL, node_document.SIGNING_LABEL, announcement.SIGNING_LABEL):
        assert f"`{label.decode().strip()}`" in PAGE


def test_examples_in_json_are_json_for_others_too():
    for _, kind, text in BLOCKS:
        if kind in ("request", "answer") and text.startswith("{"):
            assert json.loads(text)
