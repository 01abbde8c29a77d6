"""This node's own log: held posts are shown in a pool whose key came after them.

Backfills start here by what is there, not by an event: for each pool of ours whose posts were never
looked for in the own log, and, through the logs of peers, where the policy takes posts of peers.
For what they were started stands in the store, so that they start once. What is lost (a key, the
policy) is forgotten there, and starts them anew when it is back. Each says in its scope which pool
to show posts in, so that one never stands for others: there are as many as the node has pools.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from replicator.errors import CursorConflict, Refusal, StoreFull
from replicator.node.backfill import Aim, aim_of, start
from replicator.node.context import Node
from replicator.node.ports import Backfill, Incoming, Query
from replicator.protocol.ids import KeyText
from replicator.protocol.post import Post
from replicator.rules.trust import pools_of

_PUT_PEERS: Final = "put peers"
_POOL: Final = "pool "


def fill(node: Node) -> int:
    """Start what keys and policy call for, and go on through the own log, for a slice of time.

    Returns how many held posts were shown in a pool.
    """
    _start_missing(node)
    shown = 0
    deadline = node.clock.monotonic() + node.limits.slice_seconds
    for job in node.store.backfills(node.identity.node_id):
        with suppress(CursorConflict, StoreFull):  # somebody else does it; there is no room yet
            shown += _show_held(node, job, deadline)
    return shown


def _start_missing(node: Node) -> None:
    called = {_POOL + pool for pool in node.identity.reach(node.identity.pools)}
    if node.policy.put == "peers":
        called.add(_PUT_PEERS)
    before = node.store.filled()
    if called == before:
        return
    for name in sorted(called - before):
        _start(node, name)
    # noted after they were started: what dies between starts them once more
    node.store.note_filled(called, node.clock.now())


def _start(node: Node, name: str) -> None:
    if name == _PUT_PEERS:
        start(node, None, "put takes posts of peers")
        return
    query = Aim(scope=KeyText(name.removeprefix(_POOL))).text
    node.store.add_backfills([node.identity.node_id], query, "its key came", node.clock.now())


def _show_held(node: Node, job: Backfill, deadline: float) -> int:
    """Show held posts of a pool in it, as if they had come now; return how many."""
    pool, at, shown = aim_of(job).scope, job.cursor, 0
    while pool is not None:
        try:
            page = node.store.page(_page_query(node), at)
        except Refusal:  # the database was put back to an older state
            node.store.move_backfill(job, None, now=node.clock.now())
            return shown
        at = page.cursor
        incoming = _not_shown(node, page.posts, pool)
        is_late = node.clock.monotonic() >= deadline
        if incoming or is_late:
            now, remaining = node.clock.now(), page.remaining
            node.store.move_backfill(job, at, posts=incoming, remaining=remaining, now=now)
            shown += len(incoming)
            job = replace(job, cursor=at, posts=job.posts + len(incoming))
        if not page.more:
            break
        if is_late:
            return shown
    node.store.end_backfill(job)
    return shown


def _page_query(node: Node) -> Query:
    return Query(limit=node.limits.items_max, bytes_max=node.limits.batch_bytes_max)


def _not_shown(node: Node, posts: Sequence[Post], pool: KeyText) -> list[Incoming]:
    """Return posts of a pool that are not visible there, as this node gives them to itself.

    They are not announced: members have them already, or find them by comparing sets.
    """
    ours = {post.digest: post for post in posts if pools_of(post, {pool})}
    if not ours:
        return []
    shown = {ref.digest for ref in node.store.refs(digests=ours, scopes=frozenset({pool}))}
    own = node.identity.node_id
    return [
        Incoming(post, own, frozenset({pool}))
        for digest, post in ours.items()
        if digest not in shown
    ]
