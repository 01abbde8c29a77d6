"""Write negentropy.json: comparisons as the reference implementation of Negentropy V1 makes them.

    python -m tests.vectors.make_negentropy <path of Negentropy.js> <driver in C++>

Both drivers stand in tests/conformance (negentropy_reference.js and .cpp). The sets follow from a
seed; of long messages only the SHA-256 is kept.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.conformance.negentropy_talk import Recipe, Reference, Talk, reference, talk

HERE = Path(__file__).parent
DRIVER = HERE.parent / "conformance" / "negentropy_reference.js"
SHORT_BYTES = 400
"""A message of no more stands in the file whole."""
FRAMES = (0, 4_096, 16_384, 262_144)
MS = 1_767_225_600_000
"""A time in ms: beyond 32 bits, which the reference in JavaScript does not know."""
YEAR = 31_536_000_000

Case = tuple[Recipe, int, int]


def cases_of_32_bits() -> Iterator[Case]:
    """Yield what both references can compare: recipe, the client's frame, the server's."""
    for count in (0, 1, 31, 32, 33, 300):
        yield Recipe(f"small {count}", count, only_client=100, only_server=100), 0, 0
    for name, client, server in (("equal", 0, 0), ("disjoint", 500, 500), ("client", 1000, 0)):
        yield Recipe(f"{name}", 1_000, only_client=client, only_server=server), 0, 4_096
        yield Recipe(f"{name} back", 1_000, only_client=server, only_server=client), 4_096, 0
    for spread in (1, 3, 1_000):
        for frame in FRAMES:
            yield Recipe(f"clustered {spread}", 2_500, spread=spread), frame, frame
    for same_bytes in (1, 8, 28):
        yield Recipe(f"alike {same_bytes}", 200, spread=1, same_bytes=same_bytes), 0, 0
    for frame in FRAMES:
        yield Recipe("large", 5_000, only_client=100, only_server=200), frame, frame


def cases_of_64_bits() -> Iterator[Case]:
    """Yield what the reference in C++ can compare alone: times in milliseconds."""
    for frame in FRAMES:
        yield Recipe("year", 4_000, base=MS, spread=YEAR, only_server=30), frame, frame
    yield Recipe("same ms", 1_000, base=MS, spread=1, only_client=100), 4_096, 4_096
    yield Recipe("latest", 500, base=2**53 - 1_000, spread=1_000), 0, 0


def listed(digests: list[bytes]) -> dict[str, Any]:
    """Return how many digests there are, and the SHA-256 of them in order."""
    hashed = hashlib.sha256(b"".join(sorted(digests))).hexdigest()
    return {"count": len(digests), "sha256": hashed}


def told(found: Talk) -> dict[str, Any]:
    """Return a comparison as it stands in the file; messages of client and server in turn."""
    return {
        "messages": [
            message.hex() if len(message) <= SHORT_BYTES else hashlib.sha256(message).hexdigest()
            for message in found.messages
        ],
        "bytes": [len(message) for message in found.messages],
        "have": listed(found.have),
        "need": listed(found.need),
    }


def vector(case: Case, client: Reference, server: Reference) -> dict[str, Any]:
    """Let the reference compare the sets of a case with itself."""
    recipe, *frames = case
    for side, items, frame in zip((client, server), recipe.sets(), frames, strict=True):
        side.set(items, frame)
    return {"sets": asdict(recipe), "frames": frames, **told(talk(client, server))}


def main(javascript: str, cpp: str) -> None:
    """Write the file."""
    by_javascript = ["node", str(DRIVER), javascript]
    vectors = []
    for command, cases in ((by_javascript, cases_of_32_bits()), ([cpp], cases_of_64_bits())):
        with reference(command) as client, reference(command) as server:
            language = "JavaScript" if command is by_javascript else "C++"
            vectors += [{"by": language, **vector(case, client, server)} for case in cases]
    # One comparison a line: the file stays readable
    lines = ",\n".join(json.dumps(one) for one in vectors)
    (HERE / "negentropy.json").write_text(f"[\n{lines}\n]\n", encoding="ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
