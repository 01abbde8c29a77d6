"""`reconcile`: two nodes with a million posts each find out what differs.

Both are in this process, on SQLite, and speak the whole protocol (signed envelopes, JSON) with each
other; only HTTP is left out. Time runs from the first question to the last answer read, both sides'
work included. Filling the databases is not measured.
"""

import shutil
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console

from replicator.node.comparing import Difference
from replicator.protocol.signing import PrivateKey
from tests.bench.figures import Figure
from tests.bench.servers import Servers
from tests.support.two_sets import Two, filled, path_of, two

DIFFERENCES: Final = 100
_TEXT: Final = "text"


def measure(servers: Servers, console: Console, *, posts: int, runs: int) -> Iterator[Figure]:
    """Yield the figures of comparing two sets of ``posts``."""
    folder, key = servers.folder(), PrivateKey.generate()
    urls = [f"sqlite:///{folder}/{name}.db" for name in ("alpha", "beta")]
    start = time.perf_counter()
    filled(urls[0], posts, key, _TEXT)
    shutil.copy(path_of(urls[0]), path_of(urls[1]))
    console.print(f"reconcile: filled in {time.perf_counter() - start:.0f} s")
    with two(urls, key) as nodes:
        equal = [_timed(nodes) for _ in range(runs)]
        assert all(found.is_none for _, found, _ in equal)
        nodes.drift(posts, DIFFERENCES // 2, _TEXT)
        differing = [_timed(nodes) for _ in range(runs)]
        found = differing[0][1]
        assert found.complete
        assert len(found.have) + len(found.need) == DIFFERENCES
    name = f"{posts:,} posts, {DIFFERENCES} differences"
    yield _figure(name, "s", [seconds for seconds, _, _ in differing], 3, 0.5)
    yield _figure(name, "kB", [_bytes(found) / 1000 for _, found, _ in differing], 200, 60)
    yield _figure(name, "round trips", [found.rounds for _, found, _ in differing], 5, 5)
    yield _figure(name, "rows read", [rows for _, _, rows in differing])
    name = f"{posts:,} posts, equal sets"
    yield _figure(name, "ms", [seconds * 1000 for seconds, _, _ in equal], 500, 20)
    yield _figure(name, "bytes", [_bytes(found) for _, found, _ in equal], 1_000, 1_000)
    yield _figure(name, "rows read", [rows for _, _, rows in equal])


def _timed(nodes: Two) -> tuple[float, Difference, int]:
    start = time.perf_counter()
    found = nodes.compared()
    return time.perf_counter() - start, found, nodes.read.rows


def _bytes(found: Difference) -> int:
    return found.sent + found.received


def _figure(
    name: str, unit: str, runs: list[float], first: float | None = None, goal: float | None = None
) -> Figure:
    return Figure("reconcile", name, unit, tuple(runs), first, goal, at_most=True)
