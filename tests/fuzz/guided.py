"""One fuzzer: a process that runs one target, guided by the coverage of the product's code.

Started by `tests.fuzz.running`, with the target's name, optionally ``--planted=NAME``, and options
of libFuzzer. Ends as libFuzzer ends: 0, or another status with the harmful input kept.
"""

import importlib
import sys
from typing import Final

import atheris

from tests.fuzz.mutating import mutator

_INSTRUMENTED: Final = ["replicator", "tests"]


def _own_way(data: bytes, bytes_max: int) -> bytes:
    """Change an input as libFuzzer does; `atheris.Mutate` does not find the running fuzzer."""
    changed: bytes = sys.modules["atheris.core_with_libfuzzer"].Mutate(data, bytes_max)
    return changed


def main(arguments: list[str]) -> None:
    """Fuzz until the budget is spent or an input breaks a promise."""
    name, *options = arguments
    bugs = [one.partition("=")[2] for one in options if one.startswith("--planted=")]
    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        registry = importlib.import_module("tests.fuzz.registry")
        planted = importlib.import_module("tests.fuzz.planted") if bugs else None
    for bug in bugs:
        planted.PLANTED[bug][1]()  # type: ignore[union-attr]
    target = registry.TARGETS[name]
    own = [one for one in options if not one.startswith("--planted=")]
    atheris.Setup(
        [sys.argv[0], f"-max_len={target.bytes_max}", *own],
        target.judge,
        custom_mutator=mutator(target.tokens, _own_way),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
