"""`catchup`: an empty node takes all posts of another one over HTTP, every signature verified.

Both nodes are complete and real, on this machine: gateway, both workers, beat and Valkey each. The
source's store is filled before, and not measured. Time runs from ringing for the first pull until
the target's database holds every post.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console

from replicator.bootstrap import close_node, open_node
from replicator.node.context import Node
from replicator.node.conversation import prepare
from replicator.node.publish import publish, read_draft
from replicator.protocol import codec
from replicator.protocol.messages import Pull, PullAnswer
from tests.bench.corpus import drafts
from tests.bench.figures import Figure
from tests.bench.nodes import BenchNode, Pool, up
from tests.bench.parts import Parts
from tests.bench.servers import Servers
from tests.support.waiting import eventually

_BATCH = 1_000
_DEADLINE_SECONDS = 300.0
_SAMPLED_PAGES = 8


@dataclass(frozen=True, slots=True)
class _Run:
    rate: float
    peak_bytes: int
    target_messages: int
    source_messages: int
    cpu: dict[str, float]


def measure(
    servers: Servers, database: str, parts: Parts | None, console: Console, *, posts: int, runs: int
) -> Iterator[Figure]:
    """Yield the figures of catching up ``posts`` on one kind of database."""
    pool = Pool(servers)
    with pool.node(database) as source, up(source):
        fill(source, posts)
        done = [_run(pool, source, database, posts, console) for _ in range(runs)]
        wire = _wire_bytes(pool, source, database)
    lane = f"catchup {database}"
    rates = tuple(run.rate for run in done)
    yield Figure(lane, f"{posts:,} posts of 1 kB", "posts/s", rates, 3_500, 7_000)
    if parts is not None:
        shares = tuple(rate / parts.limit(database) * 100 for rate in rates)
        yield Figure(lane, "of the limit of the parts", "%", shares, 25, 50)
    yield Figure(lane, "on the wire per post", "bytes", (wire,), 1_300, 700, at_most=True)
    peaks = tuple(run.peak_bytes / 1e6 for run in done)
    yield Figure(lane, "peak memory of a worker", "MB", peaks, 250, 150, at_most=True)
    for name, counts in (
        ("target", [run.target_messages for run in done]),
        ("source", [run.source_messages for run in done]),
    ):
        per_thousand = tuple(count / posts * 1000 for count in counts)
        figure = f"Celery messages per 1,000 posts, {name}"
        yield Figure(lane, figure, "messages", per_thousand, 20, 5, at_most=True)


def fill(node: BenchNode, posts: int, seed: int = 1) -> None:
    """Publish ``posts`` at a node that is up and knows nobody, straight into its store."""
    opened = open_node(node.settings())
    try:
        todo = [read_draft(node.node_id, fields) for fields in drafts(node.node_id, posts, seed)]
        for start in range(0, posts, _BATCH):
            publish(opened, todo[start : start + _BATCH])
    finally:
        close_node(opened)


def _run(pool: Pool, source: BenchNode, database: str, posts: int, console: Console) -> _Run:
    with pool.node(database) as target, up(target):
        before = source.messages()
        cpu_before = _cpu(target, source)
        target.knows(source)
        reader = target.reader()
        start = time.perf_counter()
        target.ring("pull", source.node_id)
        eventually(
            lambda: reader.last_change() >= posts, "all posts are there", seconds=_DEADLINE_SECONDS
        )
        seconds = time.perf_counter() - start
        held = reader.totals().posts
        reader.close()
        if held != posts:
            raise RuntimeError(f"{held} posts arrived instead of {posts}")
        cpu = {name: used - cpu_before[name] for name, used in _cpu(target, source).items()}
        run = _Run(
            posts / seconds,
            max(target.peak_bytes(), source.peak_bytes()),
            target.messages(),
            source.messages() - before,
            cpu,
        )
    used = ", ".join(f"{name} {value / posts * 1e6:.0f}" for name, value in cpu.items())
    console.print(f"catchup {database}: {run.rate:,.0f} posts/s; CPU µs/post: {used}", style="dim")
    return run


def _cpu(target: BenchNode, source: BenchNode) -> dict[str, float]:
    return {
        f"{role} {name}": used
        for role, node in (("target", target), ("source", source))
        for name, used in node.cpu_seconds().items()
    }


def _wire_bytes(pool: Pool, source: BenchNode, database: str) -> float:
    """Return bytes per post of request and answer, headers included, over the first pages."""
    with pool.asker(source, database) as node:
        return _sample(node, source)


def _sample(node: Node, source: BenchNode) -> float:
    peer = node.store.peer(source.node_id)
    assert peer is not None
    cursor, used, posts = None, 0, 0
    for _ in range(_SAMPLED_PAGES):
        sent = prepare(node, peer, Pull(after=cursor, limit=500, want="models"))
        got = node.transport.post(
            sent.url, sent.headers, sent.body, seconds=20, bytes_max=node.limits.message_bytes_max
        )
        answer = codec.read_answer(codec.decode(codec.JSON, got.body, node.limits), PullAnswer)
        assert isinstance(answer, PullAnswer)
        used += (
            len(sent.body)
            + _size(dict(sent.headers))
            + len(got.wire_body)
            + _size(dict(got.headers))
        )
        posts += len(answer.models or ())
        cursor = answer.cursor
        if not answer.more:
            break
    return used / posts


def _size(headers: dict[str, str]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())
