"""Two members whose sets differ although every lane and cursor says that nothing is left."""

from dataclasses import replace
from typing import Any

from replicator.node.ports import Store
from replicator.node.repair import Repaired, repair
from tests.support.pool import Member, Pool, pair
from tests.support.watched import Watched


def drifted(
    here: int = 3, there: int = 2, common: int = 5, **options: Any
) -> tuple[Pool, Member, Member]:
    """Return a pool of two with posts in common, and posts that only one of them has."""
    pool, alpha, beta = pair(**options)
    alpha.publish_many(common, "common")
    pool.settle()
    if here:
        alpha.publish_many(here, "only alpha's")
    if there:
        beta.publish_many(there, "only beta's")
    synced(alpha, beta)
    return pool, alpha, beta


def synced(*members: Member) -> None:
    """Move lanes and cursors to the ends of the logs, and drop what rang."""
    for one in members:
        one.doorbell.take()
        for other in members:
            if one is not other:
                peer = one.peer(other)
                now = one.clock.now()
                one.store.move_lane(other.id, peer.pushed, one.store.last_change())
                one.store.record_pull(other.id, peer.pulled, other.store.end_cursor(), now=now)


def watched(pool: Pool, asker: Member, peer: Member) -> tuple[Watched, Member]:
    """Let a test watch what ``asker`` asks; return the transport and the asker with it."""
    transport = Watched(asker.node.transport, peer.node)
    node = replace(asker.node, transport=transport)
    pool.nodes[asker.address] = node
    seeing = replace(asker, node=node)
    pool.members[pool.members.index(asker)] = seeing
    return transport, seeing


def repair_from(pool: Pool, member: Member, mate: Member) -> Repaired:
    """Run one repair, and what it rang for."""
    report = repair(member.node, mate.id)
    pool.settle()
    return report


def over(pool: Pool, member: Member, store: Store) -> Member:
    """Return a member of a pool over another store than the one it was made with."""
    node = replace(member.node, store=store)
    pool.nodes[member.address] = node
    changed = replace(member, node=node, store=store)  # type: ignore[arg-type]
    pool.members[pool.members.index(member)] = changed
    return changed
