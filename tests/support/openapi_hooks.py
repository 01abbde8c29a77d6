"""What OpenAPI cannot say of the HTTP surfaces, for Schemathesis: it loads this file as its hooks.

Two parameters, or members of a filter, that exclude each other are refused as they should be, so a
request with both is no valid one. JSON Schema calls 1.0 an integer; what is signed here knows no
fractions. Where a signer is named, requests are signed by it before they are sent.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.openapi_signed import VARIABLE, Signer, Signing, note

_UNSPEAKABLE = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no document between nodes holds."""

_INTEGER_MAX = 2**53 - 1


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Change a made-up request so that what is called valid is valid."""
    return _mended(case)


@schemathesis.hook
def before_add_examples(context: HookContext, examples: list[Case]) -> None:
    """Do the same to the requests made of the description's examples."""
    for case in examples:
        _mended(case)


def _mended(case: Case) -> Case:
    if case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE:
        if case.query and "nodes" in case.query:
            case.query.pop("except_nodes", None)
        case.body = _whole(case.body)
        filtered = case.body.get("filter") if isinstance(case.body, dict) else None
        if isinstance(filtered, dict) and filtered.get("nodes"):
            filtered.pop("except_nodes", None)
    return case


def _whole(tree: Any) -> Any:
    match tree:
        case bool():
            return tree
        case dict():
            return {_whole(name): _whole(member) for name, member in tree.items()}
        case list():
            return [_whole(member) for member in tree]
        case int() | float() if VARIABLE in os.environ:
            whole = tree == int(tree) and 0 <= tree <= _INTEGER_MAX
            return int(tree) if whole else 0
        case float() if tree.is_integer():
            return int(tree)
        case str() if VARIABLE in os.environ:
            return _UNSPEAKABLE.sub("", tree)
    return tree


if VARIABLE in os.environ:
    SIGNER = Signer.read(os.environ[VARIABLE])
    schemathesis.auth.set_from_requests(Signing(SIGNER))

    @schemathesis.hook
    def after_call(context: HookContext, case: Case, response: Any) -> None:
        """Note each answer to what was signed."""
        if "Signature" in response.request.headers:
            headers = {name.lower(): values[0] for name, values in response.headers.items()}
            note(SIGNER.notes, response.status_code, headers, response.content)
