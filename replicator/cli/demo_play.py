"""What the demo does, step by step: a pool of three nodes survives the death of one of them.

`Play` starts real nodes, publishes at all of them, kills every process of the last one while posts
flow, publishes on, starts it again, and is over when all databases hold exactly the published
posts. It looks at the nodes between any two steps; who watches is none of its business.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Final

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.loopback import free_ports
from replicator.adapters.sql.store import SqlStore
from replicator.cli import process_tree
from replicator.cli.demo_node import DemoFailed, DemoNode, Site
from replicator.cli.demo_posts import Draft
from replicator.cli.founding import found
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.signing import PrivateKey

NODES: Final = 3
FIRST: Final = 1_000
"""Posts that every node publishes at least before one of them is killed."""
WHILE_DOWN: Final = 300
"""Posts that each of the others publishes at least while it is down."""
CHUNK: Final = 200
CHUNK_BYTES_MAX: Final = 400_000
_LOOK_SECONDS: Final = 0.1
_MEMORY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo measured; ``problem`` is None where it showed what it is there to show."""

    posts: int
    counts: dict[str, int]
    digests: dict[str, str]
    seconds: float
    seconds_to_start: float
    seconds_to_equal: float
    killed_processes: int
    missing_when_killed: int
    published_while_down: int
    memory_bytes_max: int
    problem: str | None

    @property
    def posts_per_second(self) -> float:
        """Posts made equal on all nodes, per second from the first publish on."""
        return self.posts / self.seconds_to_equal if self.seconds_to_equal else 0.0


def found_pool(folder: Path) -> list[DemoNode]:
    """Make three nodes that share a pool key and know each other's ids and addresses."""
    ports = free_ports(2 * NODES, SystemRandom())
    sites = [
        Site(NodeId(f"node{number}.demo"), folder / f"node{number}", ports.pop(), ports.pop())
        for number in range(1, NODES + 1)
    ]
    pool_key = PrivateKey.generate().to_pem()
    for site in sites:
        _found_site(site, pool_key, [other for other in sites if other is not site])
    return [DemoNode(site) for site in sites]


def _found_site(site: Site, pool_key: bytes, others: Sequence[Site]) -> None:
    given: dict[str, str | int] = {
        "address": site.address,
        "gateway_listen": site.address.removeprefix("http://"),
        "local_listen": f"127.0.0.1:{site.local_port}",
        # Three nodes share this machine: one process each keeps two cores busy.
        "answers_processes": 1,
    }
    found(site.home, site.node_id, given, {})
    KeyFiles(site.home / "keys").import_pool_key(pool_key)
    store = SqlStore(site.database_url)
    for other in others:
        store.add_peer(other.node_id, other.address, int(time.time() * 1000))
    store.close()


class Play:
    """One run of the demo.

    Args:
        nodes: of `found_pool`; the last one will be killed.
        shares: the posts that each of them publishes.
        deadline_seconds: the whole run may take this long.
        watch: called often, with the phase in a few words.
    """

    def __init__(
        self,
        nodes: Sequence[DemoNode],
        shares: Sequence[Sequence[Draft]],
        deadline_seconds: float,
        watch: Callable[["Play"], None],
    ) -> None:
        self.nodes = nodes
        self.phase = ""
        self.memory_bytes = 0
        self.memory_bytes_max = 0
        self._shares = shares
        self._started = time.monotonic()
        self._deadline = self._started + deadline_seconds
        self._watch = watch
        self._memory_due = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._started

    @property
    def published(self) -> set[Digest]:
        """The digests of all posts that any node acknowledged."""
        return set().union(*(node.published for node in self.nodes))

    def run(self) -> Outcome:
        """Play to the end.

        Raises:
            DemoFailed: a node did not do its part; what became of the sets is not known.
        """
        victim = self.nodes[-1]
        self._start(self.nodes)
        seconds_to_start = self.seconds
        first, later = _split(self._shares)
        self._publish("publishing at all three", first)
        killed = victim.kill()  # at once: the last posts are acknowledged, and still on their way
        missing = len(self.published) - victim.count()
        before = len(self.published)
        self._publish(f"{victim.site.node_id} is dead: publishing on", later)
        while_down = len(self.published) - before
        self._start([victim])
        equal = self._wait_equal()
        return Outcome(
            posts=len(self.published),
            counts={node.site.node_id: node.count() for node in self.nodes},
            digests={node.site.node_id: set_digest(node.digests()) for node in self.nodes},
            seconds=self.seconds,
            seconds_to_start=seconds_to_start,
            seconds_to_equal=self.seconds - seconds_to_start,
            killed_processes=killed,
            missing_when_killed=missing,
            published_while_down=while_down,
            memory_bytes_max=self.memory_bytes_max,
            problem=None if equal else self._difference(),
        )

    def _start(self, nodes: Sequence[DemoNode]) -> None:
        self.phase = "starting " + ", ".join(node.site.node_id for node in nodes)
        for node in nodes:
            node.start()
        while not all(node.is_ready() for node in nodes):
            if self._is_late():
                raise DemoFailed(f"{self.phase}: not ready after {self.seconds:.0f} s")
            self._look(_LOOK_SECONDS)

    def _publish(self, phase: str, shares: Sequence[Sequence[Draft]]) -> None:
        self.phase = phase
        for index, chunk in _interleaved(shares):
            self._look(0.0)
            self.nodes[index].publish(chunk)

    def _wait_equal(self) -> bool:
        """Wait until every database holds exactly what was published; False: it is too late."""
        self.phase = "waiting for equal sets"
        wanted = self.published
        while not self._is_late():
            if all(node.count() == len(wanted) for node in self.nodes):
                expected = set_digest(sorted(wanted))
                if all(set_digest(node.digests()) == expected for node in self.nodes):
                    self.phase = "all three hold the same posts"
                    self._look(0.0)
                    return True
            self._look(_LOOK_SECONDS)
        return False

    def _difference(self) -> str:
        wanted = self.published
        parts = []
        for node in self.nodes:
            held = set(node.digests())
            if held != wanted:
                lacks, extra = len(wanted - held), len(held - wanted)
                parts.append(f"{node.site.node_id} lacks {lacks} posts and has {extra} others")
        return f"not equal after {self.seconds:.0f} s: " + "; ".join(parts)

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _look(self, seconds: float) -> None:
        now = time.monotonic()
        if now >= self._memory_due:
            pids = [process.pid for process in process_tree.descendants(os.getpid())]
            self.memory_bytes = process_tree.proportional_bytes([os.getpid(), *pids])
            self.memory_bytes_max = max(self.memory_bytes_max, self.memory_bytes)
            self._memory_due = now + _MEMORY_SECONDS
        self._watch(self)
        time.sleep(seconds)


def set_digest(digests: Sequence[Digest]) -> str:
    """Return one SHA-256 over the digests of a set in ascending order, a line each."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def _split(
    shares: Sequence[Sequence[Draft]],
) -> tuple[list[Sequence[Draft]], list[Sequence[Draft]]]:
    """Return what is published before the kill, and what the others publish after it."""
    first, later = [], []
    for share in shares[:-1]:
        place = max(FIRST, min(len(share) * 3 // 4, len(share) - WHILE_DOWN))
        first.append(share[:place])
        later.append(share[place:])
    return [*first, shares[-1]], later


def _interleaved(shares: Sequence[Sequence[Draft]]) -> Iterator[tuple[int, Sequence[Draft]]]:
    """Yield chunks of all shares so that all come to their end together, the last share first."""
    chunks = []
    for index, share in enumerate(shares):
        parts = list(_chunks(share))
        chunks += [
            ((place + 1) / len(parts), -index, index, part) for place, part in enumerate(parts)
        ]
    for _, _, index, part in sorted(chunks, key=lambda chunk: chunk[:2]):
        yield index, part


def _chunks(share: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    """Cut a share into requests, bounded in posts and in bytes."""
    start, total = 0, 0
    for place, draft in enumerate(share):
        if place > start and (place - start == CHUNK or total + len(draft) > CHUNK_BYTES_MAX):
            yield share[start:place]
            start, total = place, 0
        total += len(draft)
    if start < len(share):
        yield share[start:]
