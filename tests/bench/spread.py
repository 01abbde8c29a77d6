"""`spread`: posts published at members of a pool of three until all three hold them.

Sustained: all three publish batches through their local API as fast as it takes them. Latency: one
node publishes single posts at a steady pace, and readers of all three stores note when each post
is there. Both count from before the publishing request until a separate reader sees the post.
"""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import Any

from rich.console import Console

from replicator.adapters.loopback import LOOPBACK
from replicator.cli.founding import TOKEN_FILE
from replicator.node.ports import Query
from replicator.protocol.ids import GlobalId
from tests.bench.corpus import drafts
from tests.bench.figures import Figure, percentile
from tests.bench.nodes import BenchNode, Pool, all_up
from tests.bench.servers import Servers
from tests.support.waiting import eventually

NODES = 3
_BATCH = 100
_POSTS_PER_SECOND = 100
_POLL_SECONDS = 0.004
_DEADLINE_SECONDS = 120.0
_WARM_POSTS = 30


class Publisher:
    """A board application at the local API of one node."""

    def __init__(self, node: BenchNode) -> None:
        token = (node.home / TOKEN_FILE).read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(LOOPBACK, node.local_port, timeout=30)

    def publish(self, posts: Sequence[dict[str, Any]]) -> None:
        """Publish posts in one request; return when they are committed."""
        body = json.dumps({"posts": list(posts)})
        self._connection.request("POST", "/local/v1/posts", body, self._headers)
        answer = self._connection.getresponse()
        results = json.loads(answer.read())["results"]
        if any(result["status"] != "stored" for result in results):
            raise RuntimeError(f"a post was not stored: {results}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def measure(
    servers: Servers, console: Console, *, seconds: float, posts: int, runs: int
) -> Iterator[Figure]:
    """Yield posts per second of ``posts`` published at all, and latencies at a steady pace."""
    pool = Pool(servers)
    with ExitStack() as stack:
        nodes = [stack.enter_context(pool.node("sqlite")) for _ in range(NODES)]
        for node in nodes:
            node.knows(*(other for other in nodes if other is not node))
        stack.enter_context(all_up(*nodes))
        publishers = [Publisher(node) for node in nodes]
        _sustained(nodes, publishers, _WARM_POSTS, seed=1)
        rates = tuple(_sustained(nodes, publishers, posts, seed=2 + run) for run in range(runs))
        yield Figure("spread", "sustained, published at all three", "posts/s", rates, 600, 2_000)
        latencies = [
            _latencies(nodes, publishers[0], seconds, seed=100 + run) for run in range(runs)
        ]
        for publisher in publishers:
            publisher.close()
    console.print(f"spread: {sum(map(len, latencies))} latencies", style="dim")
    name = "publish until stored on all three, 100 posts/s"
    halves = tuple(percentile(run, 0.5) for run in latencies)
    yield Figure("spread", f"{name}, p50", "ms", halves, 250, 60, at_most=True)
    ends = tuple(percentile(run, 0.99) for run in latencies)
    yield Figure("spread", f"{name}, p99", "ms", ends, 1_000, 250, at_most=True)


def _sustained(
    nodes: Sequence[BenchNode], publishers: Sequence[Publisher], posts: int, *, seed: int
) -> float:
    readers = [node.reader() for node in nodes]
    held = [reader.totals().posts for reader in readers]
    share = posts // NODES
    work = [list(drafts(node.node_id, share, seed)) for node in nodes]
    start = time.perf_counter()
    with ThreadPoolExecutor(NODES) as threads:
        list(threads.map(_publish_all, publishers, work))
    eventually(
        lambda: all(
            reader.totals().posts >= before + share * NODES
            for reader, before in zip(readers, held, strict=True)
        ),
        "all three hold all posts",
        seconds=_DEADLINE_SECONDS,
    )
    rate = share * NODES / (time.perf_counter() - start)
    for reader in readers:
        reader.close()
    return rate


def _publish_all(publisher: Publisher, posts: list[dict[str, Any]]) -> None:
    for start in range(0, len(posts), _BATCH):
        publisher.publish(posts[start : start + _BATCH])


def _latencies(
    nodes: Sequence[BenchNode], publisher: Publisher, seconds: float, *, seed: int
) -> list[float]:
    """Return milliseconds from publishing until the last of the three holds the post."""
    posts = list(drafts(nodes[0].node_id, int(seconds * _POSTS_PER_SECOND), seed))
    ids = {GlobalId(f"{nodes[0].node_id}/{post['id']}") for post in posts}
    done = Event()
    with ThreadPoolExecutor(NODES) as threads:
        watchers = [_Watcher(node, ids) for node in nodes]
        watched = [threads.submit(watcher.follow, done) for watcher in watchers]
        sent = _publish_steadily(nodes[0], publisher, posts)
        end = time.perf_counter() + _DEADLINE_SECONDS
        while not all(future.done() for future in watched) and time.perf_counter() < end:
            done.wait(0.05)
        done.set()
        seen = [future.result() for future in watched]
    missing = sum(len(ids - set(of_node)) for of_node in seen)
    if missing:
        raise RuntimeError(f"{missing} posts did not arrive everywhere")
    return [max(of_node[one] for of_node in seen) * 1000 - sent[one] * 1000 for one in ids]


def _publish_steadily(
    node: BenchNode, publisher: Publisher, posts: Sequence[dict[str, Any]]
) -> dict[GlobalId, float]:
    sent: dict[GlobalId, float] = {}
    start = time.perf_counter()
    for number, post in enumerate(posts):
        pause = start + number / _POSTS_PER_SECOND - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        sent[GlobalId(f"{node.node_id}/{post['id']}")] = time.perf_counter()
        publisher.publish([post])
    return sent


class _Watcher:
    """Follows a store from where it is now until it holds ``ids``."""

    def __init__(self, node: BenchNode, ids: set[GlobalId]) -> None:
        self._ids = ids
        self._reader = node.reader()
        self._cursor = self._reader.end_cursor()

    def follow(self, done: Event) -> dict[GlobalId, float]:
        """Return when each of the ids was seen first, in seconds of `time.perf_counter`."""
        seen: dict[GlobalId, float] = {}
        last = -1
        while len(seen) < len(self._ids) and not done.wait(_POLL_SECONDS):
            latest = self._reader.last_change()
            if latest == last:
                continue
            page = self._reader.ref_page(Query(limit=1_000), self._cursor)
            now = time.perf_counter()
            seen.update({ref.id: now for ref in page.refs if ref.id in self._ids})
            self._cursor = page.cursor
            last = -1 if page.more else latest
        self._reader.close()
        return seen
