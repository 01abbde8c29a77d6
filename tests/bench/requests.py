"""`requests`: what one node answers through gateway and worker to a pool-mate that asks."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from replicator.node.context import Node
from replicator.node.conversation import call
from replicator.node.ports import Peer, Query
from replicator.protocol.messages import Pull, Put, PutAnswer
from tests.bench.catchup import fill
from tests.bench.figures import Figure, percentile
from tests.bench.nodes import BenchNode, Pool, up
from tests.bench.servers import Servers

_IDS = 500
_PUTS = 40
_ASKERS = 2
_PULLS = 200


def measure(servers: Servers, *, runs: int) -> Iterator[Figure]:
    """Yield ids per second of puts of known refs, and the times of a small pull."""
    pool = Pool(servers)
    with pool.node("sqlite") as node, up(node):
        fill(node, _IDS)
        with pool.asker(node) as asker:
            peer = asker.store.peer(node.node_id)
            assert peer is not None
            refs = _refs(node)
            call(asker, peer, Put(refs=refs))
            rates = tuple(_put_rate(asker, peer, Put(refs=refs)) for _ in range(runs))
            yield Figure(
                "requests", "put of known ids, batches of 500", "ids/s", rates, 20_000, 60_000
            )
            times = [_pull_times(asker, peer) for _ in range(runs)]
    halves = tuple(median(run) for run in times)
    yield Figure("requests", "one small signed pull, p50", "ms", halves, 30, 10, at_most=True)
    ends = tuple(percentile(run, 0.99) for run in times)
    yield Figure("requests", "one small signed pull, p99", "ms", ends)


def _refs(node: BenchNode) -> tuple[object, ...]:
    reader = node.reader()
    refs = reader.ref_page(Query(limit=_IDS), None).refs
    reader.close()
    return refs


def _put_rate(asker: Node, peer: Peer, put: Put) -> float:
    def ask(_: int) -> None:
        answer = call(asker, peer, put)
        assert isinstance(answer, PutAnswer)
        assert {item.result for item in answer.items} == {"known"}

    start = time.perf_counter()
    with ThreadPoolExecutor(_ASKERS) as threads:
        list(threads.map(ask, range(_PUTS)))
    return _PUTS * _IDS / (time.perf_counter() - start)


def _pull_times(asker: Node, peer: Peer) -> list[float]:
    """Return milliseconds of each of many pulls, one after the other."""
    times = []
    for _ in range(_PULLS):
        start = time.perf_counter()
        call(asker, peer, Pull(limit=10))
        times.append((time.perf_counter() - start) * 1000)
    return times
