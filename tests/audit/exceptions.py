"""Every exception from ruff's security rules (S) carries its reason where it stands.

Pure. Exceptions are ``noqa`` comments, and the entries of ruff's lists in pyproject.toml. A reason
is a comment behind the codes on their line; in pyproject.toml also one on the lines just above.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

_NOQA: Final = re.compile(
    r"#\s*(?:(?:(?:ruff|flake8):\s*)?noqa|ruff:\s*(?:disable|ignore|file-ignore))\b(?P<rest>.*)",
    re.IGNORECASE,
)
_CODES: Final = re.compile(r":\s*(?P<codes>[A-Z]+[0-9]*(?:[,\s]+[A-Z]+[0-9]+)*)")
_REASON: Final = re.compile(r"\s+(?:#|-)\s*\w.{3,}")
_SECURITY: Final = re.compile(r"S[0-9]*")
_QUOTED: Final = re.compile(r'"(S[0-9]*)"')
_COMMENT: Final = re.compile(r"#\s*\w.{3,}")


def unexplained_in_code(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield line numbers and texts of security exceptions without a reason in Python code.

    A ``noqa`` that names no rule excepts from all of them, and is never explained.
    """
    for number, line in enumerate(lines, 1):
        found = _NOQA.search(line)
        if found is None:
            continue
        codes = _CODES.match(found["rest"])
        if codes is None:
            yield number, line.strip()
            continue
        named = re.split(r"[,\s]+", codes["codes"])
        reason = _REASON.match(found["rest"], codes.end())
        if any(_SECURITY.fullmatch(code) for code in named) and reason is None:
            yield number, line.strip()


def unexplained_in_settings(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the same of ruff's lists of ignored rules in pyproject.toml."""
    section = ""
    above = False
    selected = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("["):
            section = text
        if not section.startswith("[tool.ruff.lint"):
            continue
        if text.startswith("select"):
            selected = True
        explained = above or _COMMENT.search(text) is not None
        if not selected and not text.startswith("#") and _QUOTED.search(text) and not explained:
            yield number, text
        if text.endswith("]"):
            selected = False
        above = text.startswith("#")
