"""What the JSON reader takes and what it refuses."""

import json
import time

import pytest

from replicator.errors import Malformed
from replicator.protocol import json_codec

DEPTH = 32


def decode(data: bytes | str) -> object:
    return json_codec.decode(data.encode() if isinstance(data, str) else data, DEPTH)


def nested(levels: int) -> bytes:
    """Return an object that nests ``levels`` deep, itself included."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_a_document_becomes_plain_builtins():
    tree = decode(' {"a": "x", "b": [1, 0, true, {"c": ""}], "d": {}}\n')
    assert tree == {"a": "x", "b": [1, 0, True, {"c": ""}], "d": {}}


@pytest.mark.parametrize(
    "document",
    [
        '{"a":1,"a":1}',
        '{"a":null,"a":1}',
        '{"a":{"b":{"c":1,"d":2,"c":3}}}',
        '{"a":[{"b":[{"c":1,"c":1}]}]}',
        '{"a":1,"\\u0061":2}',
    ],
)
def test_a_member_given_twice_is_refused_at_every_depth(document):
    with pytest.raises(Malformed, match="given twice"):
        decode(document)


@pytest.mark.parametrize(
    "number",
    [
        "-1",
        "-0",
        "1.0",
        "1e3",
        "1E400",
        "1e999",
        "0.1",
        "NaN",
        "Infinity",
        "-Infinity",
        "9007199254740992",
        "9" * 5000,
        "-" + "9" * 5000,
        "1" * 17,
    ],
)
def test_a_number_that_is_no_plain_integer_up_to_2_to_the_53_is_refused(number):
    for document in (f'{{"a":{number}}}', f'{{"unknown":[[{number}]]}}'):
        with pytest.raises(Malformed, match="no integer"):
            decode(document)


@pytest.mark.parametrize("number", [0, 7, 2**53 - 1])
def test_plain_integers_pass(number):
    assert decode(f'{{"a":{number}}}') == {"a": number}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":1,}',
        b'{"a":1}{',
        b'{"a":1} x',
        b'{"a":1}\0',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1/* no */}',
        b'{"a":"\n"}',
        b'{"a":"\0"}',
        b'{"a":"\\x41"}',
        b'{"a":"\\u12"}',
        b'{"a":tru}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xf5\x80\x80\x80"}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b'\xc2\xa0{"a":1}',
    ],
)
def test_what_is_no_json_object_in_utf_8_is_refused(document):
    with pytest.raises(Malformed):
        decode(document)


@pytest.mark.parametrize(
    "text",
    [
        "\\u0000",
        "\\u001f",
        "\\b",
        "\\f",
        "\\r",
        "\\u000D",
        "\\ud800",
        "\\uDC00",
        "\\udc00\\ud800",
        "\\uffff",
        "\\uFFFE",
        "\ufffe",
        "\uffff",
        "\\ud83d\\ud83d\\ude00",
        "\\ud800x",
    ],
)
def test_a_forbidden_character_is_refused_wherever_it_stands(text):
    for document in (
        f'{{"a":"{text}"}}',
        f'{{"a":"before {text} after"}}',
        f'{{"{text}":1}}',
        f'{{"a":[["x",{{"{text}":[]}}]]}}',
        f'{{"a":[["x",["{text}"]]]}}',
    ):
        with pytest.raises(Malformed, match="is not allowed"):
            decode(document)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\\n\\t\\/\\\\", "\n\t/\\"),
        ("\\\\b \\\\u0000 \\\\r", "\\b \\u0000 \\r"),
        ("\\u00e9\\ud83d\\ude00", "é😀"),
        ("\x7f\x80\x85\u2028\ufffd\ue000\U0010ffff", "\x7f\x80\x85\u2028\ufffd\ue000\U0010ffff"),
    ],
)
def test_allowed_characters_pass_however_they_are_written(text, value):
    assert decode(f'{{"a":"{text}"}}') == {"a": value}


def test_nesting_is_bounded():
    assert decode(nested(DEPTH))
    for levels in (DEPTH + 1, 500, 100_000):
        with pytest.raises(Malformed, match="nested"):
            decode(nested(levels))
        with pytest.raises(Malformed, match="nested"):
            decode(b'{"a":' * levels + b"1" + b"}" * levels)


def test_a_null_counts_as_an_absent_member_but_for_thread():
    tree = decode('{"a":null,"b":{"thread":null,"c":null},"d":[{"e":null}]}')
    assert tree == {"b": {"thread": None}, "d": [{}]}


def test_many_equal_names_are_refused_in_linear_time():
    members = ",".join(f'"{number}":1' for number in range(60_000))
    began = time.perf_counter()
    with pytest.raises(Malformed, match="given twice"):
        decode(f'{{{members},"59999":1}}')
    assert time.perf_counter() - began < 2


def test_complaints_are_short():
    for document in (f'{{"{"n" * 9999}":1,"{"n" * 9999}":1}}', f'{{"a":-{"9" * 9999}}}'):
        with pytest.raises(Malformed) as caught:
            decode(document)
        assert len(str(caught.value)) < 200


def test_what_is_written_is_compact_utf_8():
    data = json_codec.encode({"a": "é\u2028/\x7f", "b": (1, True, None)})
    assert data == '{"a":"é\u2028/\x7f","b":[1,true,null]}'.encode()
    assert json.loads(data) == {"a": "é\u2028/\x7f", "b": [1, True, None]}
