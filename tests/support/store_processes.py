"""Processes that write to a store, for tests that need several or kill one.

``python -m tests.support.store_processes write URL NAME COUNT`` publishes posts one call after
another and prints the digests of each call once it returned. ``… fork URL`` uses a store, forks,
and lets parent and children write at the same time.
"""

import os
import sys

from replicator.adapters.sql.store import SqlStore
from replicator.protocol.ids import NodeId
from tests.support.posts import post, published

CHILDREN = 3
POSTS_EACH = 20


def write(url: str, name: str, count: int) -> None:
    """Publish ``count`` posts of node ``name``, one to three a call."""
    store = SqlStore(url)
    number = 0
    while number < count:
        batch = [
            post(each, node=NodeId(name), tags=["a"])
            for each in range(number, number + 1 + number % 3)
        ]
        store.add([published(each) for each in batch], now=1)
        sys.stdout.write("".join(f"{each.digest}\n" for each in batch))
        sys.stdout.flush()
        number += len(batch)


def fork(url: str) -> None:
    """Write from a parent and its children, which had the parent's connections open."""
    store = SqlStore(url)
    store.totals()
    children = []
    for number in range(CHILDREN):
        child = os.fork()
        if child == 0:
            # the first says so, as a prefork pool does; the others must be safe all the same
            status = 1
            try:
                if number == 0:
                    store.after_fork()
                _write_each(store, f"child-{number}")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    _write_each(store, "parent")
    statuses = [os.waitpid(child, 0)[1] for child in children]
    store.close()
    sys.exit(any(statuses))


def _write_each(store: SqlStore, name: str) -> None:
    for number in range(POSTS_EACH):
        one = post(number, node=NodeId(name))
        store.add([published(one)], now=1)
        assert store.held([one.digest])


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        fork(sys.argv[2])
