"""XML documents to the same plain trees as JSON, and back.

Pure. XML says nothing of types, so `SHAPES` gives the one shape that an element's name has
everywhere; a test compares it with the messages. A null is an absent element, an empty string an
empty element; text is exact, white space between elements is nothing. Everything XML offers
beyond that is refused before or right after parsing: document types and with them entities,
attributes, namespaces, comments, processing instructions, other encodings than UTF-8.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import msgspec
from lxml import etree

from replicator.errors import Malformed
from replicator.protocol.characters import forbidden_in
from replicator.protocol.ids import INTEGER_MAX

Tree = dict[str, Any]


class Shape(Enum):
    """What an element of a given name holds."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    RECORD = "members by name"
    TEXTS = "items of text"
    RECORDS = "items of members by name"


def _shapes(shape: Shape, names: str) -> dict[str, Shape]:
    return dict.fromkeys(names.split(), shape)


SHAPES: Final[Mapping[str, Shape]] = {
    **_shapes(
        Shape.TEXT,
        "type protocol name version scope after want cursor status code message result reason "
        "id digest author text thread title mimetype key value frame state",
    ),
    **_shapes(
        Shape.INTEGER,
        "since until limit published size time retry_after remaining floor serial "
        "message_bytes_max post_bytes_max items_max",
    ),
    **_shapes(Shape.BOOLEAN, "more declined"),
    **_shapes(Shape.RECORD, "model filter content document limits introduction announcement"),
    **_shapes(
        Shape.TEXTS,
        "nodes except_nodes tags threads ids digests types versions model_versions "
        "keys pools protocols features addresses",
    ),
    **_shapes(
        Shape.RECORDS,
        "refs models signatures attachments missing items introductions node_keys",
    ),
}
"""Name of an element → its shape, in every document of the protocol."""

ITEM: Final = "item"
"""The name of the elements of a list."""

# The declaration is optional; then the root begins, so that no document type can stand before it
_PROLOG: Final = re.compile(
    rb"""(?:<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*["']1\.0["']"""
    rb"""(?:[ \t\n]+encoding[ \t\n]*=[ \t\n]*["'][Uu][Tt][Ff]-8["'])?"""
    rb"""(?:[ \t\n]+standalone[ \t\n]*=[ \t\n]*["'](?:yes|no)["'])?[ \t\n]*\?>)?"""
    rb"""[ \t\r\n]*<(request|answer|node)[ \t\r\n/>]"""
)
_INTEGER: Final = re.compile(r"(?:0|[1-9][0-9]{0,15})\Z")
_BOOLEANS: Final = {"true": True, "false": False}
_WHITE: Final = " \t\r\n"
# In well-formed XML without CDATA a "<" begins markup. The tags we take have a name and nothing
# else; attributes, prefixes, comments, processing instructions and document types are found by not
# being that. Names and spaces are disjoint and taken possessively, so the search is linear; the
# same question as XPath takes minutes on some documents.
_ODD_MARKUP: Final = re.compile(rb"<(?!/?[^ \t\r\n<>/:=!?&][^ \t\r\n<>/:=!?&]*+[ \t\r\n]*+/?>)")


def decode(data: bytes, depth_max: int) -> Tree:
    """Return an XML document as the tree that the same document in JSON gives.

    Raises:
        Malformed: not UTF-8, no XML 1.0, another root than the members tell, anything of XML that
            the protocol leaves out, nesting beyond ``depth_max``, a member given twice, text
            where none belongs, or a number or boolean not in its one form.
    """
    root = _parse(data)
    tree = _record(root, depth_max)
    if root.tag != root_of(tree):
        raise Malformed(f"<{root.tag}> is not the root of this document")
    return tree


def count_parts(data: bytes) -> int:
    """Return how many elements and CDATA sections a document has, in linear time."""
    first, *others = data.split(b"<![CDATA[")
    rest = b"".join([first, *(part.partition(b"]]>")[2] for part in others)])
    return len(others) + rest.count(b"<") - rest.count(b"</")


def encode(tree: Mapping[str, Any]) -> bytes:
    """Return ``tree`` as XML, without white space between elements.

    Raises:
        ValueError: a string holds a character that may not stand in a document.
    """
    plain = msgspec.json.decode(msgspec.json.encode(tree))
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    _write(root_of(plain), plain, parts)
    document = "".join(parts)
    if found := forbidden_in(document):
        raise ValueError(f"character {found} cannot stand in a document")
    return document.encode()


def root_of(tree: Mapping[str, Any]) -> str:
    """Return the name of the root element: ``answer``, ``request`` or ``node``."""
    if "status" in tree:
        return "answer"
    return "request" if "type" in tree else "node"


# --- reading --------------------------------------------------------------------------------------


def _parse(data: bytes) -> etree._Element:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8 at byte {error.start}") from error
    prolog = _PROLOG.match(data)
    if prolog is None:
        raise Malformed("not XML 1.0 in UTF-8 with one of our roots and nothing before it")
    if _ODD_MARKUP.search(_without_cdata(data), prolog.start(1) - 1):
        raise Malformed("only elements and text are used: no attributes, prefixes, comments, ...")
    # A parser of its own per document: they are cheap, and threads share nothing
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        strip_cdata=True,  # of many sections lxml joins a text in quadratic time
        collect_ids=False,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise Malformed(f"not XML: line {error.lineno}, column {error.offset}") from error
    if b"\r" in data or b"&#" in data:
        _check_returns(root)
    return root


def _without_cdata(data: bytes) -> bytes:
    first, *others = data.split(b"<![CDATA[")
    return first + b"".join(other.partition(b"]]>")[2] for other in others)


def _check_returns(root: etree._Element) -> None:
    if any("\r" in text for text in root.itertext()):
        raise Malformed("character U+000D is not allowed")


def _text(element: etree._Element, depth: int) -> str:
    if len(element):
        raise Malformed(f"<{element.tag}> holds text, not elements")
    return element.text or ""


def _integer(element: etree._Element, depth: int) -> int:
    text = _text(element, depth)
    if _INTEGER.match(text) is None or (number := int(text)) > INTEGER_MAX:
        raise Malformed(f"<{element.tag}> is no integer from 0 to {INTEGER_MAX}")
    return number


def _boolean(element: etree._Element, depth: int) -> bool:
    found = _BOOLEANS.get(_text(element, depth))
    if found is None:
        raise Malformed(f"<{element.tag}> is neither true nor false")
    return found


def _record(element: etree._Element, depth: int) -> Tree:
    tree: Tree = {}
    for child in _children(element, depth):
        name = child.tag
        if name in tree:
            raise Malformed(f"<{name[:80]}> is given twice")
        reader = _READERS.get(name)
        tree[name] = _opaque(child, depth - 1) if reader is None else reader(child, depth - 1)
    if element.tag == "content":
        tree.setdefault("thread", None)
    return tree


def _texts(element: etree._Element, depth: int) -> list[str]:
    return [_text(child, depth - 1) for child in _items(element, depth)]


def _records(element: etree._Element, depth: int) -> list[Tree]:
    return [_record(child, depth - 1) for child in _items(element, depth)]


def _items(element: etree._Element, depth: int) -> list[etree._Element]:
    children = _children(element, depth)
    if any(child.tag != ITEM for child in children):
        raise Malformed(f"<{element.tag}> holds <item> elements only")
    return children


def _children(element: etree._Element, depth: int) -> list[etree._Element]:
    if depth < 1:
        raise Malformed("nested too deeply")
    children = list(element)
    between = [element.text, *(child.tail for child in children)]
    if any(text is not None and text.strip(_WHITE) for text in between):
        raise Malformed(f"<{element.tag}> holds elements, not text")
    return children


def _opaque(element: etree._Element, depth: int) -> str:
    """Stand in for a member that this version does not know: checked for depth, not read."""
    level = [element]
    while level:
        if depth < 1:
            raise Malformed("nested too deeply")
        level = [child for parent in level for child in parent]
        depth -= 1
    return element.text or ""


_READ_SHAPE: Final[Mapping[Shape, Callable[[etree._Element, int], Any]]] = {
    Shape.TEXT: _text,
    Shape.INTEGER: _integer,
    Shape.BOOLEAN: _boolean,
    Shape.RECORD: _record,
    Shape.TEXTS: _texts,
    Shape.RECORDS: _records,
}
_READERS: Final = {name: _READ_SHAPE[shape] for name, shape in SHAPES.items()}


# --- writing --------------------------------------------------------------------------------------


def _write(name: str, value: Any, parts: list[str]) -> None:
    if value is None:
        return
    parts.append(f"<{name}>")
    if isinstance(value, str):
        parts.append(_escaped(value))
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, dict):
        for member, child in value.items():
            _write(member, child, parts)
    else:
        for child in value:
            _write(ITEM, child, parts)
    parts.append(f"</{name}>")


def _escaped(text: str) -> str:
    if "&" not in text and "<" not in text and ">" not in text:
        return text
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
