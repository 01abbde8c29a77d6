"""The characters that strings of the protocol hold: those of XML 1.0 without U+000D.

Pure. One rule for both encodings and for what is signed, so that every document and every post
can be written in either. Nothing is normalised: strings are compared by code point.
"""

import re
from typing import Final

# XML 1.0, production 2, without U+000D: an XML parser turns it into a line feed
_FORBIDDEN: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# The only ways to write a forbidden character in JSON: an escape, or U+FFFE and U+FFFF raw. Two
# patterns that begin with a letter each are searched ten times as fast as one that does not.
_ESCAPE: Final = re.compile(rb"\\[ubfr]")
_NONCHARACTER: Final = re.compile(rb"\xef\xbf[\xbe\xbf]")


def maybe_forbidden_in(document: bytes) -> bool:
    """Tell whether JSON text may hold a forbidden character; False is certain, and quick to know.

    True is not: an escaped backslash before one of our letters looks like an escape.
    """
    return bool(_ESCAPE.search(document) or _NONCHARACTER.search(document))


def forbidden_in(text: str) -> str | None:
    """Return the first character that may not stand in a string as ``U+XXXX``, or None."""
    found = _FORBIDDEN.search(text)
    return None if found is None else f"U+{ord(found.group()):04X}"


def cleaned(text: str, chars_max: int) -> str:
    """Return ``text`` fit for a document: cut, and forbidden characters shown as U+FFFD."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text[:chars_max])
