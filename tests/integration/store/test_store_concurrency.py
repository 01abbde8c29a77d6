"""Writers and readers of one database at the same time, in threads and in processes."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from replicator.adapters.sql.adding import add_posts
from replicator.adapters.sql.engine import Database
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Added, Query
from replicator.protocol.ids import Cursor, Digest
from tests.support.posts import POOL, post, published, received
from tests.support.store_processes import CHILDREN, POSTS_EACH

pytest_plugins = ["tests.support.store_fixtures"]

OpenStore = Callable[..., SqlStore]
SECONDS = 60.0


class Follower:
    """Follows a change log by its cursor and remembers what it saw."""

    def __init__(self, store: SqlStore, query: Query) -> None:
        self._store = store
        self._query = query
        self._cursor: Cursor | None = None
        self._more = True
        self.seen: list[Digest] = []

    def look(self) -> None:
        page = self._store.ref_page(self._query, self._cursor)
        self.seen += [ref.digest for ref in page.refs]
        self._cursor, self._more = page.cursor, page.more

    def look_until(self, done: Callable[[], bool]) -> None:
        """Look on until ``done``, and then once more to the end."""
        deadline = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < deadline
            self.look()
        self.look()
        while self._more:
            self.look()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def process(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.store_processes", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_reader_does_not_pass_a_transaction_that_is_still_open(
    database_url: str, open_store: OpenStore, threads: ThreadPoolExecutor
) -> None:
    store, follower = open_store(), Follower(open_store(), Query())
    wrote, may_commit = threading.Event(), threading.Event()
    database = Database(database_url)

    def slow() -> None:
        with database.writing() as connection:
            add_posts(connection, [published(post(1))], 1, Limits())
            wrote.set()
            assert may_commit.wait(SECONDS)

    first = threads.submit(slow)
    assert wrote.wait(SECONDS)
    second = threads.submit(store.add, [published(post(2))], 1)
    for _ in range(20):
        follower.look()
    assert follower.seen == []
    assert not second.done()
    may_commit.set()
    first.result(SECONDS)
    assert second.result(SECONDS) == [Added.STORED]
    follower.look()
    assert follower.seen == [post(1).digest, post(2).digest]
    database.close()


@pytest.mark.parametrize("scoped", [False, True], ids=["of everything", "of a pool"])
def test_a_follower_sees_each_post_of_many_threads_once(
    open_store: OpenStore, threads: ThreadPoolExecutor, scoped: bool
) -> None:
    store = open_store()

    def publish(writer: int) -> None:
        for start in range(0, 60, 4):
            numbers = range(start, start + 4)
            store.add([published(post(each, node=f"writer-{writer}")) for each in numbers], now=1)
            # every writer also meets the posts of the others again
            store.add([received(post(each, node="writer-0")) for each in numbers], now=1)

    query = Query(scopes=frozenset({POOL}) if scoped else None, limit=7)
    follower = Follower(open_store(), query)
    writers: list[Future[None]] = [threads.submit(publish, number) for number in range(5)]
    follower.look_until(lambda: all(each.done() for each in writers))
    for each in writers:
        each.result()
    assert len(follower.seen) == len(set(follower.seen)) == 300


def test_a_follower_sees_each_post_of_many_processes_once(
    database_url: str, open_store: OpenStore
) -> None:
    follower = Follower(open_store(), Query(limit=9))
    with ExitStack() as stack:
        writers = [
            stack.enter_context(process("write", database_url, f"writer-{number}", "60"))
            for number in range(3)
        ]
        follower.look_until(lambda: all(each.poll() is not None for each in writers))
        printed = [line for each in writers for line in (each.stdout or ())]
        assert [each.returncode for each in writers] == [0, 0, 0]
    assert sorted(follower.seen) == sorted(line.strip() for line in printed)


def test_what_was_acknowledged_survives_the_death_of_the_writer(
    database_url: str, open_store: OpenStore
) -> None:
    with process("write", database_url, "writer", "100000") as writer:
        assert writer.stdout is not None
        first = [writer.stdout.readline() for _ in range(30)]
        writer.send_signal(signal.SIGKILL)
        acknowledged = [line.strip() for line in first + writer.stdout.readlines()]
    whole = {Digest(line) for line in acknowledged if len(line) == 64}
    store = open_store()
    assert len(whole) >= 30
    assert store.held(whole) == whole
    follower = Follower(store, Query())
    follower.look_until(lambda: True)
    assert len(follower.seen) == len(set(follower.seen)) == store.totals().posts
    assert store.add([published(post(1))], now=1) == [Added.STORED]


def test_a_store_may_be_used_on_both_sides_of_a_fork(
    database_url: str, open_store: OpenStore
) -> None:
    with process("fork", database_url) as parent:
        assert parent.wait(SECONDS) == 0
    assert open_store().totals().posts == (CHILDREN + 1) * POSTS_EACH


def test_one_pull_of_two_that_race_is_saved(
    open_store: OpenStore, threads: ThreadPoolExecutor
) -> None:
    store = open_store()
    store.join_pools(post(1).content.id.partition("/")[0], [POOL])  # type: ignore[arg-type]
    (peer,) = store.peers()
    ahead = store.end_cursor()

    def pull(number: int) -> list[Added]:
        own = [received(post(number))]
        return store.record_pull(peer.id, None, ahead, posts=own, now=1)

    races = [threads.submit(pull, number) for number in range(8)]
    assert sum(race.exception() is None for race in races) == 1
    assert store.totals().posts == 1
