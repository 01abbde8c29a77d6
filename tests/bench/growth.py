"""What a post costs as a store grows: stored in batches, read in pages, compared by fingerprints.

One database grows; at each size the same work is measured, so that the ratio says what growth
costs. Posts come in order of time, as they do when a node catches up.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from statistics import median
from typing import Final

import msgspec
from rich.console import Console

from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Incoming, Query
from replicator.protocol.cursor import decode_cursor, encode_cursor
from replicator.protocol.ids import GlobalId, KeyText, NodeId
from replicator.protocol.post import Post, post_of
from tests.bench.figures import Figure
from tests.bench.parts import BATCH, signed_posts
from tests.bench.servers import Servers

_BATCHES: Final = 40
_READS: Final = 20
_PARTS: Final = 16


@dataclass(frozen=True, slots=True)
class _Costs:
    """Seconds of one batch stored, one page of posts, one page of refs, one comparison begun."""

    add: float
    page: float
    refs: float
    fingerprints: float


def measure(
    servers: Servers, database: str, console: Console, sizes: tuple[int, int]
) -> Iterator[Figure]:
    """Measure a store that holds each of two numbers of posts."""
    batches = _batches()
    with servers.database(database) as url:
        store = SqlStore(url)
        costs = []
        for size in sizes:
            while store.last_change() < size:
                store.add(next(batches), 0)
            costs.append(_costs(store, batches))
            console.print(f"growth, {database}: measured at {size:,} posts")
        store.close()
    for size, cost in zip(sizes, costs, strict=True):
        figure = partial(_figure, f"at {size:,} posts, {database}")
        yield figure("add, batches of 500", "posts/s", BATCH / cost.add)
        yield figure("page of 500 posts", "ms", cost.page * 1000)
        yield figure("page of 500 refs", "ms", cost.refs * 1000)
        yield figure("16 fingerprints of all", "ms", cost.fingerprints * 1000)
    small, large = costs
    name = f"cost per post added, {sizes[1]:,} posts stored against {sizes[0]:,}, {database}"
    yield Figure("growth", name, "x", (large.add / small.add,), first=2.0, goal=1.5, at_most=True)


def _figure(where: str, what: str, unit: str, value: float) -> Figure:
    return Figure("growth", f"{what}, {where}", unit, (value,))


def _batches() -> Iterator[list[Incoming]]:
    """Yield batches of posts without end; signatures are those of one post: nobody verifies."""
    model = signed_posts(1)[0]
    pool = model.signatures[0].key
    numbers = count()
    while True:
        yield [
            Incoming(_post(model, next(numbers)), NodeId("other"), frozenset({pool}))
            for _ in range(BATCH)
        ]


def _post(model: Post, number: int) -> Post:
    content = msgspec.structs.replace(
        model.content,
        id=GlobalId(f"bench/{number}"),
        published=1_700_000_000_000 + number * 1000,
    )
    return post_of(content, model.signatures, Limits())


def _costs(store: SqlStore, batches: Iterator[list[Incoming]]) -> _Costs:
    given = [next(batches) for _ in range(_BATCHES)]
    (pool,) = given[0][0].pools
    return _Costs(
        add=median(_seconds(partial(store.add, batch, 0)) for batch in given),
        page=median(_seconds(work) for work in _reads(store, store.page)),
        refs=median(_seconds(work) for work in _reads(store, store.ref_page)),
        fingerprints=median(_seconds(partial(_compare, store, pool)) for _ in range(_READS)),
    )


def _reads(store: SqlStore, read: Callable[..., object]) -> Iterator[Callable[[], object]]:
    """Yield reads of pages from places all over the log; post ``n`` has the sequence ``n + 1``."""
    log_id, last = decode_cursor(store.end_cursor()).log_id, store.last_change()
    for number in range(_READS):
        sequence = 1 + (last - 2 * BATCH) * number // _READS
        (entry,) = store.refs(ids=[GlobalId(f"bench/{sequence - 1}")])
        yield partial(read, Query(limit=BATCH), encode_cursor(log_id, sequence, entry.digest))


def _compare(store: SqlStore, pool: KeyText) -> None:
    with store.reconciled(pool, 0) as items:
        size = len(items) // _PARTS
        for begin in range(0, size * _PARTS, size):
            items.total(begin, begin + size)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
