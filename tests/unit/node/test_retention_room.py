"""A node without room for posts: it says so, loses nothing, and goes on when there is room."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from replicator.adapters.memory.store import MemoryStore
from replicator.errors import StoreFull
from replicator.limits import Limits
from replicator.node.fetch import fetch
from replicator.node.ports import Added, Incoming
from replicator.node.pull import pull
from replicator.node.reconciler import tick
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.messages import Put
from tests.support.pool import NOW_MS, Member, Pool, pair, read, send

DAY_SECONDS = 86_400
LONG_AGO = NOW_MS - 29 * DAY_SECONDS * 1000


class Disk(MemoryStore):
    """A store whose room a test changes; a disk ends without having told before."""

    ends = False

    def room(self, quota_bytes: int | None) -> None:
        self._quota_bytes = quota_bytes

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        if self.ends:
            raise StoreFull("the disk is full")
        return super().add(items, now)


def full_pair(**settings: Any) -> tuple[Pool, Member, Member, Disk]:
    """Return alpha, and beta, which holds a post that is a month old soon and has no room."""
    pool, alpha, beta = pair()
    disk = Disk(Limits())
    node = dataclasses.replace(beta.node, store=disk, **settings)
    pool.nodes[beta.address] = node
    beta = dataclasses.replace(beta, node=node, store=disk)
    pool.members[1] = beta
    pool.acquaint(alpha, beta)
    beta.publish("old", published=LONG_AGO)
    pool.settle()
    alpha.doorbell.take()
    disk.room(1)
    return pool, alpha, beta, disk


def posts_left_out(sender: Member, recipient: Member, kind: str) -> list[str]:
    missing = [post for post in sender.posts() if post.digest not in recipient.digests()]
    items = [codec.model_tree(post) if kind == "models" else post.ref for post in missing]
    answer = read(send(sender, recipient, codec.request_tree(Put(**{kind: tuple(items)}))))
    return [item["result"] for item in answer["items"]]


def test_publishing_without_room_stores_nothing_and_reading_goes_on() -> None:
    _, _, beta, disk = full_pair()
    before = beta.state()
    with pytest.raises(StoreFull, match="quota"):
        beta.publish("one", "two")
    assert beta.state() == before
    assert beta.texts() == {"old"}
    disk.room(None)
    assert [result.status for result in beta.publish("one", "two")] == ["stored", "stored"]


@pytest.mark.parametrize("kind", ["models", "refs"])
def test_a_put_to_a_node_without_room_is_for_later(kind: str) -> None:
    pool, alpha, beta, disk = full_pair()
    alpha.publish("new")
    assert posts_left_out(alpha, beta, kind) == ["later"]
    assert beta.texts() == {"old"}
    disk.room(None)
    pull(beta.node, alpha.id)
    pool.settle()
    assert beta.texts() == {"old", "new"}


@pytest.mark.parametrize("told", [True, False], ids=["quota", "end of the disk"])
def test_what_is_fetched_without_room_waits_and_counts_no_attempt(*, told: bool) -> None:
    _, alpha, beta, disk = full_pair()
    disk.room(None)
    alpha.publish("new")
    assert posts_left_out(alpha, beta, "refs") == ["wanted"]
    disk.room(1 if told else None)
    disk.ends = True
    for _ in range(20):
        assert fetch(beta.node, alpha.id).ended == "no room"
    assert (beta.work.queued(), beta.work.dead(9)) == ({alpha.id: 1}, [])
    disk.room(None)
    disk.ends = False
    assert fetch(beta.node, alpha.id).stored == 1


@pytest.mark.parametrize("kind", ["models", "refs"])
def test_a_disk_that_ends_while_a_put_is_stored_is_for_later(kind: str) -> None:
    _, alpha, beta, disk = full_pair()
    disk.room(None)
    disk.ends = True
    alpha.publish("new")
    assert posts_left_out(alpha, beta, kind) == ["later" if kind == "models" else "wanted"]
    disk.ends = False
    assert fetch(beta.node, alpha.id).stored == 1


def test_a_pull_without_room_passes_nothing_that_it_does_not_remember() -> None:
    _, alpha, beta, disk = full_pair()
    alpha.publish_many(700)
    for _ in range(3):
        pull(beta.node, alpha.id)
    assert beta.texts() == {"old"}
    assert beta.peer(alpha).pulled != alpha.store.end_cursor()
    disk.room(None)
    beta.work.flush()
    for _ in range(3):
        pull(beta.node, alpha.id)
        fetch(beta.node, alpha.id)
    assert len(beta.digests()) == len(alpha.digests()) == 701


def test_when_old_posts_make_room_everything_goes_on_by_itself() -> None:
    pool, alpha, beta, _ = full_pair(keep_days=30)
    alpha.publish("new")
    pool.settle()
    by_itself(pool, beta)
    assert beta.texts() == {"old"}
    pool.clock.advance(2 * DAY_SECONDS)
    alpha.publish("newer")
    by_itself(pool, beta)
    assert beta.texts() == {"new", "newer"}


def by_itself(pool: Pool, member: Member) -> None:
    """Let the beat of a node ring for ten minutes."""
    for _ in range(20):
        tick(member.node)
        pool.settle()
        upkeep(member.node)
        pool.clock.advance(30)
