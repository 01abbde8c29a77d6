"""What OpenAPI cannot say of the local API, for Schemathesis: it loads this file as its hooks.

Two query parameters that exclude each other are refused as they should be, so a request with both
is no valid one. JSON Schema calls 1.0 an integer; what is signed here knows no fractions.
"""

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext


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
    return case


def _whole(tree: Any) -> Any:
    match tree:
        case dict():
            return {name: _whole(member) for name, member in tree.items()}
        case list():
            return [_whole(member) for member in tree]
        case float() if tree.is_integer():
            return int(tree)
    return tree
