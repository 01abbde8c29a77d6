"""Two nodes over SQL stores whose sets are large and differ little."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from replicator.adapters.sql.migrate import migrate
from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.comparing import Difference, compare
from replicator.node.ports import Incoming, Store
from replicator.protocol.ids import Digest, KeyText
from replicator.protocol.signing import PrivateKey
from tests.support import posts
from tests.support.drifted import over
from tests.support.pool import Member, Pool
from tests.support.sql_counter import Read, counting

LIMITS = Limits()
_BATCH = 1_000


@dataclass(frozen=True)
class Two:
    """Two nodes, what is read from their databases, and what is in them."""

    pool: Pool
    alpha: Member
    beta: Member
    read: Read

    @property
    def key(self) -> KeyText:
        """The pool that the posts are in."""
        return self.pool.key.public

    def compared(self) -> Difference:
        """Compare once, as alpha does; count what is read for it."""
        self.read.reset()
        peer = self.alpha.peer(self.beta)
        return compare(self.alpha.node, peer, self.key, deadline=float("inf"))

    def drift(self, count: int, missing: int, text: str) -> tuple[set[Digest], set[Digest]]:
        """Give each side ``missing`` posts of its own; return their digests.

        They lie in the midst of the others and far from each other: each costs a path of its own.
        """
        only = []
        for member, side in ((self.alpha, 500), (self.beta, 501)):
            numbers = [count // missing * 1_000 * place + side for place in range(missing)]
            fill(member.store, numbers, self.key, text)
            only.append({posts.post(number, text=text).digest for number in numbers})
        return only[0], only[1]


def fill(store: Store, numbers: Sequence[int], pool: KeyText, text: str) -> int:
    """Store posts of a pool, whose numbers are their dates; return their bytes."""
    size = 0
    for start in range(0, len(numbers), _BATCH):
        made = [posts.post(number, text=text) for number in numbers[start : start + _BATCH]]
        store.add([Incoming(post, None, frozenset({pool})) for post in made], 0)
        size += sum(post.size for post in made)
    return size


@contextmanager
def two(urls: Sequence[str], key: PrivateKey, limits: Limits = LIMITS) -> Iterator[Two]:
    """Give two acquainted nodes of a pool over migrated databases."""
    pool = Pool()
    pool.key = key
    with ExitStack() as stack, counting() as read:
        members = []
        for name, url in zip(("alpha", "beta"), urls, strict=True):
            store = SqlStore(url, limits)
            stack.callback(store.close)
            members.append(over(pool, pool.add(name, limits=limits), store))
        pool.acquaint(*members)
        yield Two(pool, *members, read)


def filled(url: str, count: int, key: PrivateKey, text: str, limits: Limits = LIMITS) -> int:
    """Make a database with posts of a pool, a second apart; return their bytes."""
    migrate(url)
    store = SqlStore(url, limits)
    try:
        return fill(store, range(0, count * 1_000, 1_000), key.public, text)
    finally:
        store.close()


def path_of(url: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))
