"""A new node joins a pool with a long history: all of it arrives, and hardly anything twice."""

import os
import signal
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.adapters.memory.work import MemoryWorkState
from replicator.adapters.sql.migrate import migrate
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Incoming, Page, Query, Transport, WireAnswer
from replicator.node.pull import pull
from replicator.node.repair import repair
from replicator.protocol.ids import Cursor, Digest, GlobalId, KeyText, NodeId
from replicator.protocol.post import Content, Post
from replicator.protocol.signing import PrivateKey, sign_post
from tests.support.drifted import over
from tests.support.gateway import POOL_KEY, make_node, running
from tests.support.live_node import LiveNode
from tests.support.pool import NOW_MS, Member, Pool
from tests.support.waiting import eventually

AUTHOR = NodeId("author.example")
TEXT = "x" * 600
PAGES_IN_WORK = 2 + Limits().pages_ahead
"""Of a pull, not committed yet: one is being stored, one judged, one asked for."""


class Counted(SqlStore):
    """A store that counts how often it gave each post to be served."""

    def __init__(self, url: str, limits: Limits) -> None:
        super().__init__(url, limits)
        self.served: Counter[Digest] = Counter()

    def page(self, query: Query, after: Cursor | None) -> Page:
        """Return the next posts of the change log, counted."""
        page = super().page(query, after)
        self.served.update(post.digest for post in page.posts)
        return page

    def get(
        self,
        *,
        ids: Collection[GlobalId] = (),
        digests: Collection[Digest] = (),
        scopes: frozenset[KeyText] | None = None,
    ) -> list[Post]:
        """Return held posts, counted."""
        posts = super().get(ids=ids, digests=digests, scopes=scopes)
        self.served.update(post.digest for post in posts)
        return posts

    @property
    def twice(self) -> int:
        """How many times a post was served that had been served before."""
        return sum(self.served.values()) - len(self.served)


class Killed(BaseException):
    """The process that asked has died."""


class Deadly:
    """A transport in which the asker dies at a certain call."""

    def __init__(self, transport: Transport, calls: int) -> None:
        self._transport = transport
        self._calls_left = calls

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        """Pass a call on; die when its answer is there."""
        got = self._transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)
        self._calls_left -= 1
        if not self._calls_left:
            raise Killed
        return got

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        """Pass a reading on."""
        return self._transport.get(url, seconds=seconds, bytes_max=bytes_max)


def fill(store: SqlStore, count: int, key: PrivateKey) -> None:
    """Store posts that a member of the pool signed with the pool's key."""
    for start in range(0, count, 1_000):
        made = [signed(number, key) for number in range(start, min(count, start + 1_000))]
        pools = frozenset({key.public})
        store.add([Incoming(post, AUTHOR, pools) for post in made], NOW_MS)


def signed(number: int, key: PrivateKey) -> Post:
    """Return post ``number`` of the author, a second after the one before."""
    content = Content(
        attachments=(),
        author="author",
        id=GlobalId(f"{AUTHOR}/{number}"),
        published=1_600_000_000_000 + number * 1_000,
        tags=(),
        text=TEXT,
        thread=None,
        title=f"title {number}",
    )
    return sign_post(content, [key], Limits())


@contextmanager
def stored(folder: Path, name: str) -> Iterator[Counted]:
    """Open a store on a new database."""
    url = f"sqlite:///{folder}/{name}.db"
    migrate(url)
    store = Counted(url, Limits())
    try:
        yield store
    finally:
        store.close()


def catch_up(member: Member, mate: Member) -> None:
    """Do what ticks would have the node do, until a comparison finds nothing."""
    for _ in range(1_000):
        pulled = pull(member.node, mate.id)
        repaired = repair(member.node, mate.id)
        member.clock.advance(20)
        if not pulled.more and repaired.ended == "done" and not repaired.wanted:
            return
    raise AssertionError("it never catches up")


def test_a_new_node_gets_the_whole_history_though_it_is_killed_half_way(tmp_path: Path) -> None:
    count = 10_000
    pool = Pool()
    with stored(tmp_path, "old") as old_store, stored(tmp_path, "new") as new_store:
        fill(old_store, count, pool.key)
        old, new = over(pool, pool.add("old"), old_store), over(pool, pool.add("new"), new_store)
        pool.acquaint(old, new)
        old_store.served.clear()
        deadly = Deadly(pool.transport, calls=count // 500 // 2)
        new = watched_by(pool, new, deadly)
        with pytest.raises(Killed):
            catch_up(new, old)
        assert new.work.progresses([old.id])[old.id].remaining > count // 3
        new = watched_by(pool, new, pool.transport)
        catch_up(new, old)
        assert new_store.digests() == old_store.digests()
        assert old_store.twice <= Limits().items_max


def watched_by(pool: Pool, member: Member, transport: Transport) -> Member:
    """Return a member as after a restart: its database, an empty Redis, another transport."""
    work = MemoryWorkState(member.node.limits)
    node = replace(member.node, transport=transport, work=work)
    pool.nodes[member.address] = node
    return replace(member, node=node, work=work)


# --- the same with real processes -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_node_gets_100000_posts_though_all_its_processes_are_killed_half_way(
    tmp_path: Path,
) -> None:
    count = 100_000
    (tmp_path / "old").mkdir()
    old = make_node(tmp_path / "old")
    with stored(tmp_path, "history") as store, LiveNode(tmp_path / "new", "new.example") as new:
        fill(store, count, POOL_KEY)
        old = replace(old, store=store)
        (tmp_path / "pool.pem").write_bytes(POOL_KEY.to_pem(None))
        new.run("keys", "pool", "import", str(tmp_path / "pool.pem"), "--yes")
        with running(old) as live, live.worker():
            new.run("peers", "add", f"http://127.0.0.1:{live.sync_port}", "--yes")
            new.start()
            eventually(lambda: held(new) > count // 2, "half of it is there", seconds=300)
            kill(new)
            assert count // 2 < held(new) < count
            served = store.served.total()
            new.start()
            eventually(lambda: held(new) == count, "all of it is there", seconds=300)
        assert served - count // 2 < count // 2
        assert store.twice <= PAGES_IN_WORK * Limits().items_max


def held(node: LiveNode) -> int:
    """Return how many posts a node holds."""
    with closing(SqlStore(f"sqlite:///{node.home}/replicator.db", read_only=True)) as store:
        return store.totals().posts


def kill(node: LiveNode) -> None:
    """Kill every process of a node at once."""
    assert node.up is not None
    family = [one.pid for one in node.everything()]
    for pid in [node.up.pid, *family]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.up.wait()
