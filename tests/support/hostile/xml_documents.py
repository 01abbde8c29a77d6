"""XML documents that are none, or that use of XML what the protocol leaves out."""

from replicator.protocol import codec
from tests.support.hostile.arena import Case, case, of_kind

MALFORMED = (400, "malformed")
SUCCESS = (200, "success")
MISMATCH = (409, "version-mismatch")
UNKNOWN = (501, "not supported")
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
HEAD = (
    "<type>pull</type><protocol>1.0</protocol>"
    "<model><name>post</name><version>1.0</version></model>"
)
PULL = f"<request>{HEAD}</request>"


def _more(text: str) -> str:
    """Return a pull with more in it."""
    return f"<request>{HEAD}{text}</request>"


def _typed(text: str) -> str:
    return PULL.replace("<type>pull</type>", text)


def _doctype(subset: str, text: str = "&x;") -> str:
    return f"<!DOCTYPE request {subset}>" + _typed(f"<type>{text}</type>")


def _laughs(levels: int, width: int) -> str:
    entities = ['<!ENTITY x0 "ha">']
    for level in range(1, levels):
        inner = f"&x{level - 1};" * width
        entities.append(f'<!ENTITY x{level} "{inner}">')
    return _doctype(f"[{''.join(entities)}]", f"&x{levels - 1};")


LAUGHS = _laughs(10, 10).encode()
_TEXTS: dict[str, tuple[str | bytes, tuple[int, str]]] = {
    # nothing, and something else
    "an empty body": (b"", MALFORMED),
    "white space only": (" \n", MALFORMED),
    "a declaration only": (DECLARATION, MALFORMED),
    "JSON": ('{"type":"pull"}', MALFORMED),
    "another root": (PULL.replace("request>", "question>"), MALFORMED),
    "the root of an answer": (PULL.replace("request>", "answer>"), MALFORMED),
    "the root of a node document": (PULL.replace("request>", "node>"), MALFORMED),
    "a root in capitals": (PULL.replace("request>", "REQUEST>"), MALFORMED),
    "an empty root": ("<request/>", MALFORMED),
    "two roots": (PULL + PULL, MALFORMED),
    "text after the root": (PULL + "x", MALFORMED),
    "a NUL after the root": (PULL + "\0", MALFORMED),
    "text before the root": ("x" + PULL, MALFORMED),
    "no end": (PULL[:-10], MALFORMED),
    "cut in half": (PULL[: len(PULL) // 2], MALFORMED),
    "ends that cross": (PULL.replace("</name><version>", "<version></name>"), MALFORMED),
    # encodings
    "a byte order mark": ("\ufeff" + PULL, MALFORMED),
    "UTF-16": (PULL.encode("utf-16"), MALFORMED),
    "UTF-16 that says so": (PULL.encode("utf-16-le"), MALFORMED),
    "UTF-32": (PULL.encode("utf-32"), MALFORMED),
    "UTF-16 declared over UTF-8": (DECLARATION.replace("UTF-8", "UTF-16") + PULL, MALFORMED),
    "Latin-1 declared": (DECLARATION.replace("UTF-8", "ISO-8859-1") + PULL, MALFORMED),
    "UTF-7 declared": (DECLARATION.replace("UTF-8", "UTF-7") + PULL, MALFORMED),
    "EBCDIC": (PULL.encode("cp500"), MALFORMED),
    "Latin-1 bytes": (_more("<x>é</x>").encode("latin-1"), MALFORMED),
    "UTF-8 longer than needed": (_more("<x>?</x>").encode().replace(b"?", b"\xc0\xbc"), MALFORMED),
    "a surrogate in UTF-8": (_more("<x>?</x>").encode().replace(b"?", b"\xed\xa0\x80"), MALFORMED),
    "XML 1.1": (DECLARATION.replace("1.0", "1.1", 1) + PULL, MALFORMED),
    "two declarations": (DECLARATION + DECLARATION + PULL, MALFORMED),
    "a declaration after white space": (" " + DECLARATION + PULL, MALFORMED),
    # document types and entities
    "an empty document type": ("<!DOCTYPE request>" + PULL, MALFORMED),
    "a document type in small letters": ("<!doctype request>" + PULL, MALFORMED),
    "an internal entity": (_doctype('[<!ENTITY x "pull">]'), MALFORMED),
    "an entity of a file": (_doctype('[<!ENTITY x SYSTEM "file:///etc/passwd">]'), MALFORMED),
    "an entity of a URL": (_doctype('[<!ENTITY x SYSTEM "http://127.0.0.1:1/">]'), MALFORMED),
    "a public entity": (_doctype('[<!ENTITY x PUBLIC "a" "http://127.0.0.1:1/">]'), MALFORMED),
    "a parameter entity": (
        _doctype('[<!ENTITY % x SYSTEM "http://127.0.0.1:1/x.dtd"> %x;]', "pull"),
        MALFORMED,
    ),
    "a parameter entity that builds another": (
        _doctype("[<!ENTITY % a '<!ENTITY x \"pull\">'> %a;]"),
        MALFORMED,
    ),
    "an external document type": (_doctype('SYSTEM "http://127.0.0.1:1/x.dtd"', "pull"), MALFORMED),
    "a public document type": (_doctype('PUBLIC "-//X//EN" "file:///x.dtd"', "pull"), MALFORMED),
    "a billion laughs": (_laughs(10, 10), MALFORMED),
    "an entity that holds itself": (_doctype('[<!ENTITY x "&y;"><!ENTITY y "&x;">]'), MALFORMED),
    "quadratic blow-up": (
        _doctype(f'[<!ENTITY x "{"a" * 50_000}">]', "&x;" * 50_000),
        MALFORMED,
    ),
    "default attributes by a document type": (
        _doctype('[<!ATTLIST type x CDATA "y">]', "pull"),
        MALFORMED,
    ),
    "a notation": (_doctype('[<!NOTATION n SYSTEM "sh">]', "pull"), MALFORMED),
    "a document type inside the root": (_more("<!DOCTYPE x>"), MALFORMED),
    "an entity that nobody declared": (_typed("<type>&x;</type>"), MALFORMED),
    "an entity of HTML": (_more("<x>&nbsp;</x>"), MALFORMED),
    "a character reference to NUL": (_more("<x>&#0;</x>"), MALFORMED),
    "a character reference to U+0001": (_more("<x>&#1;</x>"), MALFORMED),
    "a character reference to U+000D": (_more("<want>&#13;</want>"), MALFORMED),
    "a character reference to a surrogate": (_more("<x>&#xD800;</x>"), MALFORMED),
    "a character reference to U+FFFE": (_more("<x>&#xFFFE;</x>"), MALFORMED),
    "a character reference beyond Unicode": (_more("<x>&#x110000;</x>"), MALFORMED),
    "a character reference of 100,000 digits": (_more(f"<x>&#{'9' * 100_000};</x>"), MALFORMED),
    "an ampersand alone": (_more("<x>a & b</x>"), MALFORMED),
    # what the protocol leaves out
    "an external schema": (
        PULL.replace(
            "<request>",
            '<request xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xsi:noNamespaceSchemaLocation="http://127.0.0.1:1/x.xsd">',
        ),
        MALFORMED,
    ),
    "XInclude": (
        _more('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'),
        MALFORMED,
    ),
    "a style sheet": ('<?xml-stylesheet href="http://127.0.0.1:1/"?>' + PULL, MALFORMED),
    "a processing instruction": (_more("<?php system('id') ?>"), MALFORMED),
    "a processing instruction after the root": (PULL + "<?x?>", MALFORMED),
    "a comment": (_more("<!-- x -->"), MALFORMED),
    "a comment in text": (_typed("<type>pu<!-- -->ll</type>"), MALFORMED),
    "a comment after the root": (PULL + "<!-- -->", MALFORMED),
    "a default namespace": (PULL.replace("<request>", '<request xmlns="urn:x">'), MALFORMED),
    "a prefix": (_more('<r:x xmlns:r="urn:x"/>'), MALFORMED),
    "a prefix without a namespace": (_more("<r:x/>"), MALFORMED),
    "an attribute": (_typed('<type x="y">pull</type>'), MALFORMED),
    "an attribute in an unknown member": (_more('<x y="z"/>'), MALFORMED),
    "xml:space": (_typed('<type xml:space="preserve">pull</type>'), MALFORMED),
    "10,000 attributes": (
        _more(f"<x {' '.join(f'a{n}=' + chr(34) * 2 for n in range(10_000))}/>"),
        MALFORMED,
    ),
    "CDATA that is text": (_typed("<type><![CDATA[pull]]></type>"), SUCCESS),
    "CDATA that hides elements": (_typed("<type><![CDATA[<x/>]]></type>"), UNKNOWN),
    "CDATA that does not end": (_typed("<type><![CDATA[pull</type>"), MALFORMED),
    "CDATA between members": (_more("<![CDATA[x]]>"), MALFORMED),
    "text between members": (_more("x"), MALFORMED),
    "a no-break space between members": (_more("\u00a0"), MALFORMED),
    # size and depth
    "33 levels": (_more("<x>" * 32 + "</x>" * 32), MALFORMED),
    "20 levels": (_more("<x>" * 20 + "</x>" * 20), SUCCESS),
    "100,000 levels": (_more("<x>" * 100_000 + "</x>" * 100_000), MALFORMED),
    "300,000 opened elements": ("<request>" + "<x>" * 300_000, MALFORMED),
    "a text of 900,000 characters": (_more(f"<x>{'x' * 900_000}</x>"), SUCCESS),
    "a name of 60,000 characters": (_more(f"<{'x' * 60_000}/>"), MALFORMED),
    "60,000 members": (_more("".join(f"<x{n}/>" for n in range(60_000))), SUCCESS),
    "80,000 members": (_more("".join(f"<x{n}/>" for n in range(80_000))), MALFORMED),
    "100,000 items": (_more(f"<x>{'<item/>' * 100_000}</x>"), MALFORMED),
    "a mebibyte": (_more(f"<x>{'x' * 1024 * 1024}</x>"), (413, "too-large")),
    # members
    "type twice": (_more("<type>pull</type>"), MALFORMED),
    "an unknown member twice": (_more("<x/><x/>"), MALFORMED),
    "no type": (_typed(""), MALFORMED),
    "an empty type": (_typed("<type/>"), UNKNOWN),
    "elements in text": (_typed("<type><x>pull</x></type>"), MALFORMED),
    "white space in text": (_typed("<type> pull </type>"), UNKNOWN),
    "type in capitals": (_typed("<TYPE>pull</TYPE>"), MALFORMED),
    "protocol 2.0": (PULL.replace("<protocol>1.0", "<protocol>2.0"), MISMATCH),
    "a number with white space": (_more("<limit> 1</limit>"), MALFORMED),
    "a number with a sign": (_more("<limit>+1</limit>"), MALFORMED),
    "a number with a zero before it": (_more("<limit>01</limit>"), MALFORMED),
    "an empty number": (_more("<limit/>"), MALFORMED),
    "a number with a fraction": (_more("<limit>1.0</limit>"), MALFORMED),
    "-0": (_more("<since>-0</since>"), MALFORMED),
    "NaN": (_more("<limit>NaN</limit>"), MALFORMED),
    "1e400": (_more("<limit>1e400</limit>"), MALFORMED),
    "2^53": (_more("<since>9007199254740992</since>"), MALFORMED),
    "a number of 900,000 digits": (_more(f"<since>{'9' * 900_000}</since>"), MALFORMED),
    "digits of another script": (_more("<limit>\u0661</limit>"), MALFORMED),
    "a boolean in capitals": (_more("<more>True</more>"), MALFORMED),
    "another word than item in a list": (
        _more("<filter><nodes><node>a</node></nodes></filter>"),
        MALFORMED,
    ),
    "text in a list": (_more("<filter><nodes>a</nodes></filter>"), MALFORMED),
    "a name with a colon": (_more("<x:y/>"), MALFORMED),
    "a name that begins with a digit": (_more("<1x/>"), MALFORMED),
    "a name in Cyrillic letters": (_more("<l\u0456mit>x</l\u0456mit>"), SUCCESS),
}


def _case(name: str, text: str | bytes, expected: tuple[int, str]) -> Case:
    body = text if isinstance(text, bytes) else text.encode()
    return case(name, lambda arena: arena.request(body, codec.XML), expected)


CASES = of_kind("XML", [_case(name, *given) for name, given in _TEXTS.items()])
