"""How every store keeps copies of posts whose origin is not known."""

from collections.abc import Callable

from replicator.limits import Limits
from replicator.node.ports import Query, Store, Waiting, WaitingOrigin
from replicator.protocol.ids import NodeId
from tests.support.posts import HERE, NODE_KEY, OTHER_POOL, POOL, THERE, key, post, received

pytest_plugins = ["tests.support.store_fixtures"]

EVE = NodeId("eve.example")
MakeStore = Callable[..., Store]


def copy(number: int, deliverer: NodeId = THERE, *, pools: frozenset = frozenset(), **members):
    return Waiting(post(number, **members), deliverer, pools)


def numbers(store: Store) -> list[int]:
    return [entry.id for entry in store.waiting(0, 1_000)]


def copies(store: Store) -> list[Waiting]:
    found = store.waiting_copies(numbers(store))
    return [found[number] for number in sorted(found)]


def test_a_copy_waits_and_is_nowhere_else(store: Store) -> None:
    odd = "\U0001f600 \t\n \ufb00"
    given = copy(1, pools=frozenset({POOL}), signers=(NODE_KEY, OTHER_POOL), text=odd)
    digest = given.post.digest
    assert store.quarantine([given], now=50) == {digest}
    assert copies(store) == [given]
    (entry,) = store.waiting(0, 10)
    assert (entry.origin, entry.signers) == (HERE, {NODE_KEY, OTHER_POOL})
    assert entry.ref == given.post.ref
    assert store.known([digest]) == store.held([digest]) == set()
    assert store.get(digests=[digest], ids=[given.post.id]) == []
    assert store.page(Query(), None).posts == ()
    assert store.last_change() == 0
    with store.reconciled(POOL, 0) as items:
        assert len(items) == 0


def test_what_waits_is_told_by_deliverer(store: Store) -> None:
    mine, other = copy(1), copy(2, EVE)
    digests = {mine.post.digest, other.post.digest}
    assert store.quarantined(THERE, digests) == set()
    store.quarantine([mine], now=1)
    store.quarantine([other], now=2)
    assert store.quarantined(THERE, digests) == {mine.post.digest}
    assert store.quarantined(EVE, digests) == {other.post.digest}
    assert store.quarantined(EVE, []) == set()
    assert store.quarantine([], now=3) == set()


def test_a_bad_copy_of_one_peer_does_not_block_the_good_one_of_another(store: Store) -> None:
    junk = copy(1, EVE, signers=[key(f"junk {number}") for number in range(8)])
    good = copy(1, THERE, signers=(NODE_KEY,))
    store.quarantine([junk], now=1)
    assert store.quarantine([good], now=2) == {good.post.digest}
    assert copies(store) == [junk, good]


def test_of_two_copies_of_one_peer_the_signatures_are_joined_and_the_later_ones_stay(
    store: Store,
) -> None:
    junk = [key(f"junk {number}") for number in range(8)]
    store.quarantine([copy(1, signers=junk)], now=1)
    later = copy(1, signers=(NODE_KEY,), pools=frozenset({POOL}))
    assert store.quarantine([later], now=2) == {later.post.digest}
    (kept,) = copies(store)
    assert kept.post.signed_by(NODE_KEY)
    assert len(kept.post.signatures) == 8
    assert kept.pools == {POOL}
    assert store.waiting_origins()[0].oldest == 1
    twice = [copy(2, signers=(NODE_KEY,)), copy(2, signers=(key("other"),))]
    store.quarantine(twice, now=3)
    assert copies(store)[1].post.signed_by(NODE_KEY)
    assert copies(store)[1].post.signed_by(key("other"))


def test_posts_of_a_deliverer_and_of_all_are_bounded(make_store: MakeStore) -> None:
    store = make_store(Limits(quarantine_posts_per_peer_max=2, quarantine_posts_max=3))
    given = [copy(number) for number in range(4)]
    assert store.quarantine(given[:3], now=1) == {one.post.digest for one in given[:2]}
    assert store.quarantine(given[2:], now=2) == set()
    # one that waits already is not refused for want of room
    assert store.quarantine(given[:1], now=3) == {given[0].post.digest}
    assert len(store.quarantine([copy(3, EVE), copy(4, EVE)], now=4)) == 1
    store.drop_waiting(numbers(store)[:1])
    assert store.quarantine(given[3:], now=5) == {given[3].post.digest}


def test_bytes_of_a_deliverer_and_of_all_are_bounded(make_store: MakeStore) -> None:
    size = post(1).size
    store = make_store(
        Limits(quarantine_bytes_per_peer_max=2 * size, quarantine_bytes_max=3 * size)
    )
    assert len(store.quarantine([copy(1), copy(2), copy(3)], now=1)) == 2
    assert len(store.quarantine([copy(1, EVE), copy(2, EVE)], now=1)) == 1
    assert sum(one.size for one in store.waiting_origins()) == 3 * size


def test_a_full_store_keeps_nothing_apart(make_stores: MakeStore) -> None:
    store = make_stores(Limits(), quota_bytes=1)
    store_filler = [received(post(9))]
    if not store.is_full():
        store.add(store_filler, now=1)
    assert store.is_full()
    assert store.quarantine([copy(1)], now=2) == set()
    assert numbers(store) == []


def test_what_is_decided_is_not_kept_and_goes_and_so_do_old_copies(store: Store) -> None:
    assert store.expire_waiting(5) == 0
    one, other, third, old = copy(1), copy(2), copy(3), copy(4)
    store.quarantine([old], now=8)
    store.quarantine([one, other, third], now=10)
    assert store.expire_waiting(9) == 1
    store.add([received(one.post)], now=11)
    store.decide([other.post], [], "expired", now=11)
    assert store.quarantine([one, other], now=12) == set()
    assert store.expire_waiting(10) == 2
    assert copies(store) == [third]
    assert store.expire_waiting(10) == 0


def test_copies_are_given_in_pages(store: Store) -> None:
    given = [copy(number) for number in range(5)]
    store.quarantine(given, now=1)
    first = store.waiting(0, 2)
    rest = store.waiting(first[-1].id, 10)
    assert [entry.id for entry in [*first, *rest]] == numbers(store)
    assert (len(first), len(rest)) == (2, 3)
    assert store.waiting(rest[-1].id, 10) == []
    store.drop_waiting([first[0].id, 10_000])
    assert set(store.waiting_copies([first[0].id, first[1].id])) == {first[1].id}
    store.drop_waiting([])


def test_what_waits_is_counted_by_origin_and_goes_with_its_deliverer(store: Store) -> None:
    assert store.waiting_origins() == []
    store.quarantine([copy(1), copy(2, node="a.example")], now=7)
    store.quarantine([copy(1, EVE)], now=9)
    size = post(1).size
    assert store.waiting_origins() == [
        WaitingOrigin(NodeId("a.example"), 1, post(2, node="a.example").size, (THERE,), 7),
        WaitingOrigin(HERE, 2, 2 * size, (EVE, THERE), 7),
    ]
    store.add_peer(EVE, "http://eve", 1)
    store.forget_peer(EVE)
    assert [one.deliverer for one in copies(store)] == [THERE, THERE]
