"""A pool whose key comes late gets the posts that are held already, with no step of an operator."""

from dataclasses import replace

import pytest

from replicator.errors import StoreUnavailable
from replicator.limits import Limits
from replicator.node.backfill import aim_of, start
from replicator.node.own_log import fill
from replicator.node.ports import Incoming, Query
from replicator.node.pull import pull
from replicator.node.repair import repair
from replicator.node.upkeep import upkeep
from replicator.protocol.ids import KeyText
from replicator.protocol.messages import Filter
from replicator.protocol.signing import PrivateKey
from tests.support.pool import NOW_MS, Member, Pool
from tests.support.relayed import relayed, with_pools


def late(count: int, **options: object) -> tuple[Pool, Member, PrivateKey]:
    """Return a node that holds posts of two pools and has the key of one alone."""
    pool, other = Pool(), PrivateKey.generate()
    author = pool.add("author", pools=[pool.key, other])
    here = pool.add("here", **options)  # type: ignore[arg-type]
    pool.acquaint(author, here)
    author.publish_many(count)
    pull(here.node, author.id)
    pool.settle()
    upkeep(here.node)
    assert here.digests() == author.digests()
    return pool, here, other


def visible(member: Member, pool: KeyText) -> int:
    return len(member.store.refs(digests=member.digests(), scopes=frozenset({pool})))


def test_held_posts_are_shown_in_a_pool_whose_key_came_later() -> None:
    pool, here, other = late(700)
    here = with_pools(pool, here, pool.key, other)
    assert visible(here, other.public) == 0
    assert upkeep(here.node).shown == 700
    assert visible(here, other.public) == visible(here, pool.key.public) == 700
    assert here.store.backfills() == []
    last = here.store.last_change()
    assert upkeep(here.node).shown == 0
    assert here.store.last_change() == last


def test_they_are_served_and_reconciled_there_and_not_announced() -> None:
    pool, here, other = late(30)
    here = with_pools(pool, here, pool.key, other)
    upkeep(here.node)
    newcomer = pool.add("newcomer", pools=[other])
    pool.acquaint(here, newcomer)
    assert here.doorbell.take() == []
    pull(newcomer.node, here.id)
    assert newcomer.digests() == here.digests()
    with here.store.reconciled(other.public, 0) as items:
        assert len(items) == 30
    report = repair(newcomer.node, here.id)
    assert (report.wanted, report.given, report.ended) == (0, 0, "done")


def test_a_reader_of_that_pool_whose_cursor_is_past_them_sees_them() -> None:
    pool, here, other = late(5)
    query = Query(scopes=frozenset({other.public}))
    end = here.store.page(query, None).cursor
    here = with_pools(pool, here, pool.key, other)
    upkeep(here.node)
    assert len(here.store.page(query, end).posts) == 5


class SlowClock:
    """A clock whose monotonic time passes as it is looked at."""

    def __init__(self, member: Member, seconds: float) -> None:
        self._clock, self._seconds = member.clock, seconds

    def now(self) -> int:
        return self._clock.now()

    def monotonic(self) -> float:
        self._clock.advance(self._seconds)
        return self._clock.monotonic()


def test_a_long_log_takes_several_rounds_and_goes_on_where_it_was() -> None:
    pool, here, other = late(700)
    here = with_pools(pool, here, pool.key, other)
    slow = replace(here.node, clock=SlowClock(here, Limits().slice_seconds + 1))
    assert upkeep(slow).shown == 500
    (job,) = here.store.backfills()
    assert (job.peer, job.posts) == (here.id, 500)
    assert job.cursor is not None
    assert job.remaining == 200
    assert upkeep(slow).shown == 200
    assert here.store.backfills() == []


def test_a_database_that_was_put_back_has_its_log_looked_through_anew() -> None:
    pool, here, other = late(5)
    here = with_pools(pool, here, pool.key, other)
    here.store.note_filled({f"pool {key}" for key in here.node.identity.pools}, NOW_MS)
    here.store.add_backfills([here.id], f'{{"scope":"{other.public}"}}', "why", NOW_MS)
    (job,) = here.store.backfills()
    strange = Pool().add("strange")
    strange.publish("one")
    here.store.move_backfill(job, strange.store.end_cursor(), now=NOW_MS)
    assert upkeep(here.node).shown == 0
    assert upkeep(here.node).shown == 5


def test_a_pool_that_was_left_is_filled_again_when_it_is_joined_again() -> None:
    pool, here, other = late(5)
    both = with_pools(pool, here, pool.key, other)
    upkeep(both.node)
    left = with_pools(pool, both, pool.key)
    upkeep(left.node)
    assert left.store.filled() == {f"pool {pool.key.public}"}
    writer = pool.add("writer", pools=[pool.key, other])
    pool.acquaint(writer, left)
    writer.publish("meanwhile")
    pull(left.node, writer.id)
    assert visible(left, other.public) == 5
    again = with_pools(pool, left, pool.key, other)
    assert upkeep(again.node).shown == 1
    assert visible(again, other.public) == 6


def test_ways_through_the_own_log_are_not_joined_however_many_pools_come() -> None:
    pool = Pool()
    others = [PrivateKey.generate() for _ in range(5)]
    limits = Limits(backfills_per_peer_max=2)
    author = pool.add("author", pools=[pool.key, *others])
    here = pool.add("here", limits=limits)
    pool.acquaint(author, here)
    author.publish_many(4)
    pull(here.node, author.id)
    here = with_pools(pool, here, pool.key, *others)
    here.store._quota_bytes = 1
    assert upkeep(here.node).shown == 0
    scopes = {aim_of(job).scope for job in here.store.backfills(here.id)}
    assert scopes == {key.public for key in others}
    assert len(here.store.backfills()) == 5
    here.store._quota_bytes = None
    assert upkeep(here.node).shown == 20
    assert [visible(here, key.public) for key in others] == [4] * 5


def test_for_what_ways_were_started_is_noted_once_they_stand() -> None:
    scene = relayed(shares_pool=True, limits=Limits(backfills_per_peer_max=2))
    here = scene.here
    here.store.record_pull(scene.relay.id, None, here.store.end_cursor(), now=NOW_MS)
    for tag in "abc":
        start(here.node, Filter(tags=(tag,)), "before")
    oldest = here.store.backfills(scene.relay.id)[0]

    def dies(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    whole, here.store.add_backfills = here.store.add_backfills, dies  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        fill(here.node)
    assert "put peers" not in here.store.filled()
    here.store.add_backfills = whole  # type: ignore[method-assign]
    fill(here.node)
    assert "put peers" in here.store.filled()
    ways = here.store.backfills(scene.relay.id)
    assert ways[0] == oldest
    assert [aim_of(way).filter for way in ways[1:]] == [None]
    assert ways[1].reason == "put takes posts of peers"


def test_posts_that_the_pool_did_not_sign_are_not_shown_in_it() -> None:
    pool, here, other = late(3)
    stranger = pool.add("stranger")
    stranger.publish("of the first pool alone")
    here.store.add(
        [Incoming(post, stranger.id, frozenset({pool.key.public})) for post in stranger.posts()],
        NOW_MS,
    )
    here = with_pools(pool, here, pool.key, other)
    assert upkeep(here.node).shown == 3
    assert visible(here, other.public) == 3
    assert visible(here, pool.key.public) == 4


def test_without_room_the_own_log_waits_and_upkeep_is_well() -> None:
    pool, here, other = late(3)
    here = with_pools(pool, here, pool.key, other)
    here.store._quota_bytes = 1
    assert upkeep(here.node).shown == 0
    here.store._quota_bytes = None
    assert upkeep(here.node).shown == 3


def test_a_replaced_pool_is_filled_like_one_of_ours() -> None:
    pool, here, other = late(4)
    heir = PrivateKey.generate()
    heirs = {other.public: heir.public}
    identity = replace(here.node.identity, pool_keys=(pool.key, heir), heirs=heirs)
    node = replace(here.node, identity=identity)
    assert upkeep(node).shown == 4
    assert visible(here, other.public) == 4
    assert visible(here, heir.public) == 0
    assert upkeep(node).shown == 0
