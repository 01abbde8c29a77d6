"""How every store keeps peers, their lanes and pulls, gaps, and the keys pinned for nodes."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from replicator.errors import CursorConflict
from replicator.limits import Limits
from replicator.node.ports import Added, LanePage, Peer, Store
from replicator.protocol.ids import NodeId
from replicator.protocol.post import Ref
from tests.support.posts import HERE, NODE_KEY, OTHER_POOL, POOL, THERE, key, post, published
from tests.support.posts import received as received_from

pytest_plugins = ["tests.support.store_fixtures"]

NOBODY = NodeId("nobody.example")
EVERYTHING = 1 << 40


def lane(store: Store, peer: Peer, *, limit: int = 500, bytes_max: int = EVERYTHING) -> LanePage:
    return store.lane(peer, frozenset({POOL, OTHER_POOL}), limit, bytes_max)


def walk(store: Store, peer: Peer, *, limit: int) -> list[Ref]:
    """Follow a lane to its end."""
    found: list[Ref] = []
    while (page := lane(store, peer, limit=limit)).upto > peer.pushed:
        assert list(page.positions) == sorted(page.positions)
        assert len(page.positions) == len(page.refs) <= limit
        assert all(peer.pushed < position <= page.upto for position in page.positions)
        found += page.refs
        peer = replace(peer, pushed=page.upto)
    return found


# lanes


def test_a_lane_announces_what_was_published_here_in_a_pool_of_both(store: Store) -> None:
    store.add([published(post(1)), published(post(2), pools=[OTHER_POOL])], now=1)
    store.add([published(post(3), pools=[key("a third")]), published(post(4), pools=[])], now=1)
    store.add([received_from(post(5)), published(post(6), entry=[])], now=1)
    page = store.lane(Peer(THERE), frozenset({POOL}), 500, EVERYTHING)
    assert page == LanePage((post(1).ref,), (1,), 6)
    assert lane(store, Peer(THERE)) == LanePage((post(1).ref, post(2).ref), (1, 2), 6)
    assert store.lane(Peer(THERE), frozenset(), 500, EVERYTHING) == LanePage((), (), 6)
    assert store.lane(Peer(THERE), frozenset({key("unheard of")}), 5, 9).upto == 6


def test_a_lane_skips_what_came_from_its_peer(store: Store) -> None:
    brought = replace(received_from(post(1)), entry_pools=frozenset({POOL}))
    store.add([brought, published(post(2))], now=1)
    assert lane(store, Peer(THERE)).refs == (post(2).ref,)
    assert lane(store, Peer(NOBODY)).refs == (post(1).ref, post(2).ref)


def test_a_lane_passes_over_any_number_of_received_posts_at_once(store: Store) -> None:
    store.add([received_from(post(number)) for number in range(300)], now=1)
    assert lane(store, Peer(THERE), limit=5) == LanePage((), (), 300)
    store.add([published(post(300))], now=1)
    assert lane(store, Peer(THERE), limit=5) == LanePage((post(300).ref,), (301,), 301)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_lane_in_parts_is_the_whole_lane(store: Store, limit: int) -> None:
    brought = [
        replace(received_from(post(number)), entry_pools=frozenset({POOL})) for number in range(4)
    ]
    own = [published(post(number), pools=[POOL, OTHER_POOL]) for number in range(4, 9)]
    mixed = [each for pair in zip(brought, own, strict=False) for each in pair] + own[4:]
    store.add(mixed, now=1)
    assert walk(store, Peer(THERE), limit=limit) == [each.post.ref for each in own]


def test_a_lane_stays_within_its_bytes_but_gives_at_least_one(store: Store) -> None:
    posts = [post(number, text="x" * 500) for number in range(3)]
    store.add([published(each) for each in posts], now=1)
    page = lane(store, Peer(THERE), bytes_max=posts[0].size * 2)
    assert page == LanePage((posts[0].ref, posts[1].ref), (1, 2), 2)
    assert lane(store, Peer(THERE), bytes_max=1) == LanePage((posts[0].ref,), (1,), 1)


def test_a_lane_at_the_end_stays_there(store: Store) -> None:
    assert lane(store, Peer(THERE)) == LanePage((), (), 0)
    store.add([published(post(1))], now=1)
    assert lane(store, Peer(THERE, pushed=1)) == LanePage((), (), 1)


def test_a_post_published_again_into_a_further_pool_is_announced_there(store: Store) -> None:
    store.add([published(post(1))], now=1)
    store.add([published(post(1), pools=[POOL, OTHER_POOL])], now=2)
    page = store.lane(Peer(THERE), frozenset({OTHER_POOL}), 500, EVERYTHING)
    assert page == LanePage((post(1).ref,), (2,), 2)
    assert store.lane(Peer(THERE), frozenset({POOL}), 500, EVERYTHING).refs == (post(1).ref,)


def test_a_received_post_does_not_become_one_to_announce(store: Store) -> None:
    store.add([received_from(post(1), pools=[])], now=1)
    store.add([published(post(1), pools=[POOL])], now=2)
    store.add([replace(received_from(post(1)), entry_pools=frozenset({POOL}))], now=3)
    assert lane(store, Peer(NOBODY)).refs == ()


def test_a_post_that_lost_is_not_announced(store: Store) -> None:
    small, large = sorted((post(1, text="a"), post(1, text="b")), key=lambda one: one.digest)
    store.add([published(large)], now=1)
    store.add([published(small)], now=2)
    assert walk(store, Peer(THERE), limit=1) == [small.ref]


def test_a_lane_moves_by_compare_and_set(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    store.move_lane(THERE, 0, 7)
    for node, before in ((THERE, 0), (THERE, 8), (NOBODY, 0)):
        with pytest.raises(CursorConflict):
            store.move_lane(node, before, 9)
    peer = store.peer(THERE)
    assert peer is not None
    assert peer.pushed == 7


# peers


def test_a_peer_is_added_once_and_keeps_its_address(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    store.add_peer(THERE, "https://there.example", now=2)
    store.add_peer(THERE, None, now=3)
    store.add_peer(HERE, None, now=4)
    assert store.peer(THERE) == Peer(THERE, "https://there.example", added_at=1)
    assert store.peers() == [
        Peer(HERE, added_at=4),
        Peer(THERE, "https://there.example", added_at=1),
    ]
    assert store.peer(NOBODY) is None


def test_a_new_membership_starts_the_cursors_again(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    assert store.join_pools(THERE, [POOL])
    cursor = store.end_cursor()
    store.move_lane(THERE, 0, 5)
    store.record_pull(THERE, None, cursor, now=1)
    assert not store.join_pools(THERE, [POOL])
    assert not store.join_pools(THERE, [])
    assert store.peer(THERE) == Peer(
        THERE, pools=frozenset({POOL}), pushed=5, pulled=cursor, added_at=1
    )
    assert store.join_pools(THERE, [POOL, OTHER_POOL])
    assert store.peer(THERE) == Peer(THERE, pools=frozenset({POOL, OTHER_POOL}), added_at=1)


def test_who_proves_a_membership_is_a_peer(store: Store) -> None:
    assert store.join_pools(THERE, [POOL])
    assert [peer.id for peer in store.peers()] == [THERE]


def test_a_peer_can_be_paused_and_its_clock_be_known(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    store.set_paused(THERE, paused=True)
    store.set_clock_offset(THERE, -3_000)
    assert store.peer(THERE) == Peer(THERE, paused=True, clock_offset_ms=-3_000, added_at=1)
    store.set_paused(THERE, paused=False)
    store.set_paused(NOBODY, paused=True)
    store.set_clock_offset(NOBODY, 1)
    assert store.peers() == [Peer(THERE, clock_offset_ms=-3_000, added_at=1)]


def test_forgetting_a_peer_leaves_the_posts(store: Store) -> None:
    store.join_pools(THERE, [POOL])
    store.pin(THERE, [NODE_KEY], "pool", now=1)
    store.record_pull(THERE, None, None, gaps=[post(9).ref], now=1)
    store.add([received_from(post(1))], now=1)
    assert store.forget_peer(THERE)
    assert (store.peers(), store.pins(THERE), store.gaps(THERE, 10)) == ([], (), [])
    assert store.totals().posts == 1
    assert not store.forget_peer(THERE)
    store.add_peer(THERE, None, now=2)
    assert store.peer(THERE) == Peer(THERE, added_at=2)


# pulls


def test_a_pull_commits_posts_gaps_and_cursor_together(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    cursor = store.end_cursor()
    outcomes = store.record_pull(
        THERE,
        None,
        cursor,
        posts=[received_from(post(1)), received_from(post(2))],
        gaps=[post(2).ref, post(3).ref, post(4).ref, post(3).ref],
        now=1,
    )
    assert outcomes == [Added.STORED, Added.STORED]
    assert store.gaps(THERE, 10) == [post(3).ref, post(4).ref]
    assert store.gaps(THERE, 1) == [post(3).ref]
    peer = store.peer(THERE)
    assert peer is not None
    assert peer.pulled == cursor


def test_a_pull_whose_cursor_moved_saves_nothing(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    cursor = store.end_cursor()
    store.record_pull(THERE, None, cursor, now=1)
    for node, before in ((THERE, None), (NOBODY, None)):
        with pytest.raises(CursorConflict):
            store.record_pull(
                node,
                before,
                cursor,
                posts=[received_from(post(1))],
                gaps=[post(2).ref],
                now=1,
            )
    totals = store.totals()
    assert (totals.posts, totals.last_change, totals.gaps) == (0, 0, 0)
    store.record_pull(THERE, cursor, None, now=1)
    assert store.peer(THERE) == Peer(THERE, added_at=1)


def test_a_gap_ends_when_its_post_is_stored_or_decided_against(store: Store) -> None:
    for node in (HERE, THERE):
        store.add_peer(node, None, now=1)
        store.record_pull(node, None, None, gaps=[post(n).ref for n in range(5)], now=1)
    store.add([received_from(post(0))], now=2)
    store.decide([post(1)], [POOL], "policy", now=2)
    store.drop_gaps(THERE, [post(2).digest, post(0).digest])
    assert store.gaps(THERE, 10) == [post(3).ref, post(4).ref]
    assert store.gaps(HERE, 10) == [post(2).ref, post(3).ref, post(4).ref]
    store.record_pull(THERE, None, None, gaps=[post(0).ref, post(1).ref, post(3).ref], now=3)
    assert store.gaps(THERE, 10) == [post(3).ref, post(4).ref]
    assert store.totals().gaps == 5


def test_of_too_many_gaps_the_oldest_are_dropped(make_store: Callable[[Limits], Store]) -> None:
    store = make_store(Limits(gaps_per_peer_max=3))
    for node in (HERE, THERE):
        store.add_peer(node, None, now=1)
    store.record_pull(HERE, None, None, gaps=[post(9).ref], now=1)
    store.record_pull(THERE, None, None, gaps=[post(n).ref for n in range(5)], now=1)
    assert store.gaps(THERE, 10) == [post(2).ref, post(3).ref, post(4).ref]
    assert store.gaps(HERE, 10) == [post(9).ref]


# pins


def test_keys_are_pinned_at_first_and_then_only_by_the_operator(store: Store) -> None:
    first, second = sorted((NODE_KEY, key("another")))
    assert store.pins(THERE) == ()
    assert not store.pin(THERE, [], "pool", now=1)
    assert store.pin(THERE, [second, first, first], "pool", now=1)
    assert not store.pin(THERE, [key("an attacker's")], "pool", now=2)
    assert [(pin.key, pin.state, pin.pinned_at, pin.source) for pin in store.pins(THERE)] == [
        (first, "current", 1, "pool"),
        (second, "current", 1, "pool"),
    ]
    store.repin(THERE, [key("new"), second], now=3)
    assert [(pin.key, pin.state, pin.source) for pin in store.pins(THERE)[-1:]] == [
        (first, "retired", "pool")
    ]
    assert {(pin.key, pin.state, pin.pinned_at) for pin in store.pins(THERE)[:2]} == {
        (second, "current", 3),
        (key("new"), "current", 3),
    }


def test_pins_of_many_nodes_come_at_once(store: Store) -> None:
    store.pin(THERE, [NODE_KEY], "operator", now=1)
    store.repin(HERE, [POOL], now=2)
    assert store.all_pins([]) == {}
    assert store.all_pins([THERE, HERE, NOBODY]) == {
        THERE: store.pins(THERE),
        HERE: store.pins(HERE),
    }
