"""How every store keeps introductions, and how many peers may come by themselves."""

from collections.abc import Callable

import pytest

from replicator.limits import Limits
from replicator.node.ports import Member, Store
from replicator.protocol.ids import NodeId
from tests.support.posts import HERE, OTHER_POOL, POOL, THERE, key

pytest_plugins = ["tests.support.store_fixtures"]


def member(node: str, time: int = 1, *, both: bool = False, offered: bool = False) -> Member:
    pools = frozenset({POOL, OTHER_POOL} if both else {POOL})
    return Member(NodeId(node), pools, f'{{"{node}":{time}}}'.encode(), time, offered)


def test_the_newest_introduction_of_a_member_is_kept(store: Store) -> None:
    old, new = member("a", 5), member("a", 6, both=True, offered=True)
    assert store.note_member(old, now=100)
    assert store.note_member(new, now=101)
    assert not store.note_member(member("a", 6), now=102)
    assert not store.note_member(old, now=103)
    assert store.members() == [new]
    assert store.introductions([NodeId("a"), NodeId("b")]) == {NodeId("a"): new}
    assert store.introductions([]) == {}


def test_members_are_given_in_pages_by_node_id_and_pool(store: Store) -> None:
    members = [member(f"n{number}", both=number % 2 == 0) for number in range(7)]
    for one in members[::-1]:
        store.note_member(one, now=1)
    assert store.members() == members
    assert store.members(limit=3) == members[:3]
    assert store.members(None, NodeId("n2"), 3) == members[3:6]
    assert store.members(POOL, NodeId("n5")) == members[6:]
    assert store.members(OTHER_POOL, NodeId("n0"), 2) == [members[2], members[4]]
    assert store.members(key("a third")) == []


def test_the_introduction_of_a_forgotten_peer_goes_so_that_the_same_one_is_news(
    store: Store,
) -> None:
    for node in ("a", "b"):
        store.note_member(member(node, 5), now=100)
        store.add_peer(NodeId(node), f"http://{node}", 100)
    assert store.forget_peer(NodeId("a"))
    assert store.members() == [member("b", 5)]
    assert store.note_member(member("a", 5), now=101)


def test_members_that_were_not_renewed_are_dropped(store: Store) -> None:
    for number in range(5):
        store.note_member(member(f"n{number}"), now=100 + number)
    store.note_member(member("n0", 2), now=200)
    assert store.drop_members(103) == 2
    assert store.drop_members(103) == 0
    assert [one.node for one in store.members()] == ["n0", "n3", "n4"]


def test_members_are_bounded_and_the_one_longest_not_renewed_goes(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(roster_entries_max=3))
    for number in range(3):
        store.note_member(member(f"n{number}"), now=100 + number)
    store.note_member(member("n0", 2), now=110)
    store.note_member(member("a"), now=50)
    assert [one.node for one in store.members()] == ["a", "n0", "n2"]
    store.note_member(member("a", 2), now=120)
    assert len(store.members()) == 3


@pytest.mark.parametrize("peers_max", [0, 1, 2])
def test_no_more_peers_come_by_themselves_than_may(store: Store, peers_max: int) -> None:
    nodes = [HERE, THERE, NodeId("third.example")]
    added = [store.add_peer(node, None, now=1, peers_max=peers_max) for node in nodes]
    assert sum(added) == len(store.peers()) == peers_max
    # a known one is none more, and the operator may add any
    for peer in store.peers():
        assert store.add_peer(peer.id, "https://new.example", now=2, peers_max=peers_max)
    assert all(peer.address for peer in store.peers())
    assert store.add_peer(NodeId("fourth.example"), None, now=3)
    assert len(store.peers()) == peers_max + 1
