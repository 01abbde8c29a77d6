"""What the XML reader takes and what it refuses."""

import contextlib
import itertools
import time
import types
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from replicator.errors import Malformed
from replicator.protocol import announcement, messages, node_document, post, xml_codec
from replicator.protocol.xml_codec import Shape

DEPTH = 32


def decode(data: bytes | str) -> dict[str, Any]:
    return xml_codec.decode(data.encode() if isinstance(data, str) else data, DEPTH)


def request(members: str) -> str:
    return f"<request><type>pull</type>{members}</request>"


def content(members: str) -> str:
    return request(f"<models><item><content>{members}</content></item></models>")


# --- the table -----------------------------------------------------------------------------------


def structs(*modules: types.ModuleType) -> Iterator[type[msgspec.Struct]]:
    for value in itertools.chain.from_iterable(vars(module).values() for module in modules):
        if isinstance(value, type) and issubclass(value, msgspec.Struct):
            yield value


def shape_of(kind: inspect.Type) -> Shape | None:
    """Return the shape of a field's type; None where the field takes any tree."""
    match kind:
        case inspect.UnionType(types=options):
            (kind,) = (option for option in options if not isinstance(option, inspect.NoneType))
            return shape_of(kind)
        case inspect.StrType() | inspect.LiteralType() | inspect.EnumType():
            return Shape.TEXT
        case inspect.IntType():
            return Shape.INTEGER
        case inspect.BoolType():
            return Shape.BOOLEAN
        case inspect.StructType():
            return Shape.RECORD
        case inspect.VarTupleType(item_type=item):
            return {Shape.TEXT: Shape.TEXTS, Shape.RECORD: Shape.RECORDS}.get(shape_of(item))
    return None


# Lists of any trees, so that each item is judged alone; and bytes that are passed on
UNTYPED = {
    "refs": Shape.RECORDS,
    "models": Shape.RECORDS,
    "content": Shape.RECORD,
    "document": Shape.RECORD,
    "announcement": Shape.RECORD,
    "introduction": Shape.RECORD,
    "introductions": Shape.RECORDS,
}


def test_the_shapes_are_those_of_the_messages():
    found: dict[str, Shape] = {"type": Shape.TEXT}
    for struct in structs(announcement, messages, node_document, post):
        for field in inspect.type_info(struct).fields:
            shape = shape_of(field.type) or UNTYPED[field.encode_name]
            assert found.setdefault(field.encode_name, shape) is shape, field.encode_name
    assert found == dict(xml_codec.SHAPES)


# --- reading -------------------------------------------------------------------------------------


def test_a_document_becomes_the_tree_that_json_gives():
    tree = decode(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<request>\n  <type>pull</type>\n  <model><name>post</name></model>\n"
        "  <filter>\n <since>5</since> <tags> <item>a</item>\n<item/></tags><nodes/></filter>\n"
        "  <limit>9007199254740991</limit>\n</request>\n"
    )
    assert tree == {
        "type": "pull",
        "model": {"name": "post"},
        "filter": {"since": 5, "tags": ["a", ""], "nodes": []},
        "limit": 9007199254740991,
    }


@pytest.mark.parametrize(
    "text",
    [" a ", "\n", "\t", " \n x\n", "a\n\nb", "\x7f\x85\u2028\ufffd\U0010ffff", "日本", "e\u0301"],
)
def test_text_is_exact(text):
    tree = decode(content(f"<text>{text}</text>"))
    assert tree["models"][0]["content"]["text"] == text


def test_character_data_may_be_escaped_in_any_way_of_xml():
    tree = decode(content("<text>&lt;&#60;&#x3c;<![CDATA[<!-- &amp; <?x?> ]]>&#10;&quot;</text>"))
    assert tree["models"][0]["content"]["text"] == '<<<<!-- &amp; <?x?> \n"'


def test_line_ends_are_line_feeds_as_xml_says():
    assert decode("<request>\r\n<type>a\r\nb\rc</type></request>") == {"type": "a\nb\nc"}


def test_an_absent_thread_is_null_and_an_empty_element_is_empty():
    first = decode(content("<title/>"))["models"][0]["content"]
    second = decode(content("<thread></thread><title></title>"))["models"][0]["content"]
    assert first == {"title": "", "thread": None}
    assert second == {"title": "", "thread": ""}


def test_an_unknown_element_is_not_looked_into():
    tree = decode(request("<future><since>soon</since><a><b/></a><a/>text</future><x>1.5</x>"))
    assert set(tree) == {"type", "future", "x"}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("<!DOCTYPE request><request><type/></request>", "not XML 1.0"),
        ('<!DOCTYPE request SYSTEM "file:///etc/passwd"><request/>', "not XML 1.0"),
        (
            '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
            "<request><type>&b;</type></request>",
            "not XML 1.0",
        ),
        ("<?pi?><request><type/></request>", "not XML 1.0"),
        ("<!-- c --><request><type/></request>", "not XML 1.0"),
        ("\ufeff<request><type/></request>", "not XML 1.0"),
        ("\x00<request><type/></request>", "not XML 1.0"),
        ('<?xml version="1.1"?><request><type/></request>', "not XML 1.0"),
        ('<?xml version="1.0" encoding="latin1"?><request><type/></request>', "not XML 1.0"),
        ('<?xml version="1.0" encoding="UTF-16"?><request><type/></request>', "not XML 1.0"),
        (' <?xml version="1.0"?><request><type/></request>', "not XML 1.0"),
        ("<question><type/></question>", "not XML 1.0"),
        ("<r:request xmlns:r='u'><type/></r:request>", "not XML 1.0"),
        ("", "not XML 1.0"),
        ("text", "not XML 1.0"),
        ('{"type":"pull"}', "not XML 1.0"),
        ("<request><type>&b;</type></request>", "not XML:"),
        ("<request><type>&nbsp;</type></request>", "not XML:"),
        ("<request><type></request>", "not XML:"),
        ("<request><type/></request><request/>", "not XML:"),
        ("<request><type/></request>x", "not XML:"),
        ("<request><type>\x01</type></request>", "not XML:"),
        ("<request><type>\x00</type></request>", "not XML:"),
        ("<request><type>&#0;</type></request>", "not XML:"),
        ("<request><type>&#xD800;</type></request>", "not XML:"),
        ("<request><type>\uffff</type></request>", "not XML:"),
        ("<request><type>]]></type></request>", "not XML:"),
        ("<request><!DOCTYPE x><type/></request>", "only elements"),
        ("<request><x:type/></request>", "only elements"),
        ("<request><type>&#13;</type></request>", "U\\+000D"),
        ("<request><x>&#xd;</x><type/></request>", "U\\+000D"),
        ("<request a='1'><type/></request>", "only elements"),
        ("<request><type a=''/></request>", "only elements"),
        ("<request><type xml:space='preserve'> </type></request>", "only elements"),
        ("<request><x><y z='1'/></x><type/></request>", "only elements"),
        ("<request><type>a<!-- c -->b</type></request>", "only elements"),
        ("<request><!-- c --><type/></request>", "only elements"),
        ("<request><type/></request><!-- c -->", "only elements"),
        ("<request><?pi x?><type/></request>", "only elements"),
        ("<request><type/></request><?pi x?>", "only elements"),
        ("<request xmlns='u'><type/></request>", "only elements"),
        ("<request xmlns:x='u'><type/></request>", "only elements"),
        ("<request><type xmlns:x='u'/></request>", "only elements"),
        ("<request><y xmlns:x='u'><x:type/></y><type/></request>", "only elements"),
        ("<request><type/><type/></request>", "given twice"),
        ("<request><type/><x/><x/></request>", "given twice"),
        ("<request>x<type/></request>", "not text"),
        ("<request><type/>x</request>", "not text"),
        ("<request>\u00a0<type/></request>", "not text"),
        (request("<tags><item/>x</tags>"), "not text"),
        (request("<tags>x</tags>"), "not text"),
        (request("<tags><tag/></tags>"), "<item>"),
        (request("<refs><id/></refs>"), "<item>"),
        (request("<scope><item/></scope>"), "holds text"),
        (request("<tags><item><item/></item></tags>"), "holds text"),
        ("<answer><type>pull</type></answer>", "not the root"),
        ("<node><type>pull</type></node>", "not the root"),
        ("<request><status>success</status></request>", "not the root"),
        ("<request><id/></request>", "not the root"),
    ],
)
def test_whatever_xml_offers_beyond_the_protocol_is_refused(document, complaint):
    with pytest.raises(Malformed, match=complaint):
        decode(document)


@pytest.mark.parametrize(
    "data",
    [
        b"<request><type>\xff</type></request>",
        b"<request><type>\xed\xa0\x80</type></request>",
        "<request><type>a</type></request>".encode("utf-16"),
        '<?xml version="1.0" encoding="UTF-16"?><request/>'.encode("utf-16"),
        b"<request><type>\xc0\xbc</type></request>",
    ],
)
def test_other_encodings_than_utf_8_are_refused(data):
    with pytest.raises(Malformed):
        decode(data)


@pytest.mark.parametrize(
    "number",
    [
        "",
        " 1",
        "1 ",
        "\n1",
        "+1",
        "-1",
        "-0",
        "00",
        "01",
        "1.0",
        "1e3",
        "0x1",
        "1_0",
        "\u0661",
        "9007199254740992",
        "9" * 5000,
        "NaN",
        "<x/>",
        "one",
    ],
)
def test_an_integer_has_one_form(number):
    with pytest.raises(Malformed):
        decode(request(f"<limit>{number}</limit>"))


@pytest.mark.parametrize("text", ["", "1", "0", "True", " true", "yes", "<item/>"])
def test_a_boolean_has_one_form(text):
    with pytest.raises(Malformed):
        decode(f"<answer><status>success</status><more>{text}</more></answer>")


@pytest.mark.parametrize("name", ["x", "filter", "model"])
def test_nesting_is_bounded(name):
    def nested(levels: int) -> str:
        # the root and the innermost element are two of the levels that JSON would count
        return request(f"<{name}>" * (levels - 1) + f"</{name}>" * (levels - 1))

    assert decode(nested(DEPTH))
    for levels in (DEPTH + 1, DEPTH + 2, 200, 5_000, 50_000):
        with pytest.raises(Malformed):
            decode(nested(levels))


def test_a_huge_text_is_no_harm():
    text = "x" * 1_000_000
    assert decode(content(f"<text>{text}</text>"))["models"][0]["content"]["text"] == text
    with pytest.raises(Malformed):
        decode(content(f"<text>{'x' * 11_000_000}</text>"))


MANY = 40_000


@pytest.mark.parametrize(
    "document",
    [
        "<request>" + "<!---->" * MANY + "<type/></request>",
        "<request>" + "<?a?>" * MANY + "<type/></request>",
        "<request>" + "<![CDATA[" * MANY + "</request>",
        "<request><type>" + "<![CDATA[]]>" * MANY + "</type></request>",
        "<request>" + "<x a='1'/>" * MANY + "<type/></request>",
        "<request " + " ".join(f"xmlns:a{number}='u'" for number in range(MANY)) + "/>",
        "<request " + " " * MANY * 10 + "<",
        "<request>" + "<" * MANY * 10,
        "<" + "request" * MANY + " ",
        "<request><type/>" + "".join(f"<a{number}/>" for number in range(MANY)) + "</request>",
        "<request><type/><x>" + "<a/>" * MANY + "</x></request>",
        "<request><type>" + "&#65;" * MANY + "</type></request>",
        "<request><type>" + "&a;" * MANY + "</type></request>",
    ],
    ids=range(13),
)
def test_no_document_takes_more_than_linear_time(document):
    began = time.process_time()
    with contextlib.suppress(Malformed):
        decode(document)
    assert time.process_time() - began < 2


def test_complaints_are_short():
    name = "n" * 9999
    for document in (
        request(f"<{name}/><{name}/>"),
        request(f"<{name}><x:y/></{name}>"),
        request(f"<tags><{name}/></tags>"),
    ):
        with pytest.raises(Malformed) as caught:
            decode(document)
        assert len(str(caught.value)) < 200


# --- writing -------------------------------------------------------------------------------------


def test_what_is_written_has_no_white_space_between_elements():
    tree = {"type": "pull", "filter": {"tags": ("a<&>", ""), "nodes": []}, "limit": 5, "x": None}
    assert xml_codec.encode(tree) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<request><type>pull</type><filter><tags>'
        b"<item>a&lt;&amp;&gt;</item><item></item></tags><nodes></nodes></filter>"
        b"<limit>5</limit></request>"
    )


def test_the_root_follows_from_the_members():
    assert xml_codec.root_of({"status": "success", "type": ""}) == "answer"
    assert xml_codec.root_of({"type": ""}) == "request"
    assert xml_codec.root_of({"id": ""}) == "node"


@pytest.mark.parametrize("character", ["\r", "\0", "\x1f", "\ufffe"])
def test_a_character_that_xml_cannot_hold_is_never_written(character):
    with pytest.raises(ValueError, match="cannot stand"):
        xml_codec.encode({"type": character})
