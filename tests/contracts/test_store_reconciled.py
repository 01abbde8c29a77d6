"""The set that is reconciled within a pool: what is in it, and that it answers by position."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Incoming, Keep, Store
from replicator.protocol.ids import KeyText
from replicator.protocol.post import Post
from replicator.rules.negentropy import Item, SortedItems
from tests.support.posts import OTHER_POOL, POOL, key, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

SMALL = Limits(summary_items_max=16, expire_items_max=10, decided_items_max=15)
POOLS = (POOL, OTHER_POOL)


def item(one: Post) -> Item:
    return one.published, bytes.fromhex(one.digest)


def items_of(store: Store, pool: KeyText = POOL, since: int = 0) -> list[Item]:
    with store.reconciled(pool, since) as items:
        return [(published, bytes(digest)) for published, digest in items.slice(0, len(items))]


def same_as(store: Store, pool: KeyText, since: int, expected: list[Item]) -> None:
    """Compare every answer of a view with those of a sorted list."""
    brute, chance = SortedItems(expected), random.Random(len(expected))
    count = len(brute)
    with store.reconciled(pool, since) as items:
        assert len(items) == count
        assert [tuple(one) for one in items.slice(0, count)] == [*brute.slice(0, count)]
        assert items.total(0, count) == brute.total(0, count)
        assert items.total(count, count) == 0
        for _ in range(12):
            begin, end = sorted(chance.choices(range(count + 1), k=2))
            assert [tuple(one) for one in items.slice(begin, end)] == [*brute.slice(begin, end)]
            assert items.total(begin, end) == brute.total(begin, end)
        near = chance.sample(expected, min(6, count))
        bounds = [(at, digest[:cut]) for at, digest in near for cut in (0, 1, 31, 32)]
        for bound in [(0, b""), (since, b""), (2**53 - 1, b"\xff" * 32), *bounds]:
            assert items.rank(bound) == brute.rank(bound)


def test_a_pool_that_nobody_has_heard_of_has_an_empty_set(store: Store) -> None:
    same_as(store, key("unheard of"), 0, [])


def test_the_set_of_a_pool_is_in_order_of_time_and_of_that_pool_alone(store: Store) -> None:
    posts = [post(number) for number in (5, 1, 9, 3)]
    store.add([received(each) for each in posts], now=1)
    store.add([received(post(4), pools=[OTHER_POOL]), received(post(6), pools=[])], now=1)
    assert items_of(store) == sorted(map(item, posts))
    assert items_of(store, OTHER_POOL) == [item(post(4))]
    assert items_of(store, since=5) == sorted(map(item, posts))[2:]


def test_a_post_enters_the_set_of_each_pool_that_it_joins_once(store: Store) -> None:
    store.add([received(post(1)), received(post(2))], now=1)
    store.add([received(post(1), pools=[POOL, OTHER_POOL])] * 2, now=2)
    assert items_of(store) == [item(post(1)), item(post(2))]
    assert items_of(store, OTHER_POOL) == [item(post(1))]


@pytest.mark.parametrize("smaller_first", [True, False])
def test_both_contents_of_an_equivocation_are_in_the_set(store: Store, smaller_first: bool) -> None:
    rivals = sorted((post(1, text=text) for text in "ab"), key=lambda one: one.digest)
    for one in rivals if smaller_first else rivals[::-1]:
        store.add([received(one)], now=1)
    assert items_of(store) == sorted(map(item, rivals))


def test_what_was_decided_against_is_in_the_sets_it_was_decided_in(store: Store) -> None:
    store.decide([post(1), post(1)], [POOL], "policy", now=1)
    store.decide([post(1)], [POOL], "policy", now=1)
    store.decide([post(2)], [], "policy", now=1)
    assert items_of(store) == [item(post(1))]
    # the same content, met in another pool
    store.add([received(post(1), pools=[OTHER_POOL]), received(post(2), pools=[OTHER_POOL])], now=2)
    assert items_of(store, OTHER_POOL) == [item(post(1)), item(post(2))]
    store.decide([post(1)], POOLS, "policy", now=3)
    assert items_of(store) == [item(post(1))]


def test_a_held_post_that_is_decided_against_in_a_pool_may_join_it_later(store: Store) -> None:
    store.add([received(post(1), pools=[])], now=1)
    store.decide([post(1)], [POOL], "decided before", now=2)
    assert items_of(store) == [item(post(1))]
    store.add([received(post(1))], now=3)
    assert items_of(store) == [item(post(1))]
    assert store.get(ids=[post(1).id], scopes=frozenset({POOL})) == [post(1)]


def test_nothing_below_the_floor_is_in_the_set_or_enters_it(store: Store) -> None:
    store.add([received(post(number)) for number in range(6)], now=1)
    store.raise_floor(3)
    assert items_of(store) == [item(post(number)) for number in (3, 4, 5)]
    store.decide([post(2, text="other")], [POOL], "policy", now=2)
    assert store.known([post(2, text="other").digest]) == set()
    while store.expire(Keep(), now=2):
        pass
    assert items_of(store, since=1) == [item(post(number)) for number in (3, 4, 5)]


def test_posts_of_one_moment_are_told_apart_by_their_digests(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(SMALL)
    posts = [post(7, node=f"node-{number}") for number in range(60)]
    for start in range(0, 60, 7):
        store.add([received(each) for each in posts[start : start + 7]], now=1)
    same_as(store, POOL, 0, sorted(map(item, posts)))
    same_as(store, POOL, 7, sorted(map(item, posts)))
    same_as(store, POOL, 8, [])


def test_a_view_does_not_change_while_posts_come(store: Store) -> None:
    store.add([received(post(number)) for number in range(0, 40, 2)], now=1)
    with store.reconciled(POOL, 0) as items:
        before = items.total(0, len(items))
        count = len(items)
        store.add([received(post(number)) for number in range(1, 40, 2)], now=1)
        assert len(items) == count
        assert (items.total(0, 7) + items.total(7, count)) % 2**256 == before
        assert [at for at, _ in items.slice(0, count)] == list(range(0, 40, 2))
    assert len(items_of(store)) == 40


@dataclass
class Model:
    """What the sets must hold: a plain account of every item that entered one."""

    store: Store
    sets: dict[KeyText, set[Item]] = field(default_factory=lambda: {pool: set() for pool in POOLS})

    def add(self, items: list[Incoming]) -> None:
        floor = self.store.floor()
        self.store.add(items, now=1)
        for one in items:
            for pool in one.pools if one.post.published >= floor else ():
                self.sets[pool].add(item(one.post))

    def decide(self, posts: list[Post], pool: KeyText) -> None:
        floor = self.store.floor()
        self.store.decide(posts, [pool], "policy", now=1)
        self.sets[pool].update(item(one) for one in posts if one.published >= floor)

    def expire(self, keep: Keep) -> None:
        """Expire to the end: above the floor only surplus decisions are forgotten."""
        while self.store.expire(keep, now=1):
            pass
        entered = {digest.hex() for entered in self.sets.values() for _, digest in entered}
        known = self.store.known(sorted(entered))
        floor = self.store.floor()
        for pool, items in self.sets.items():
            stay = {one for one in items if one[1].hex() in known}
            if any(at >= floor for at, _ in items - stay):
                assert self.store.totals().decided >= SMALL.decided_items_max
            self.sets[pool] = stay

    def check(self) -> None:
        for pool, entered in self.sets.items():
            for since in (0, 25):
                low = max(since, self.store.floor())
                same_as(self.store, pool, since, sorted(one for one in entered if one[0] >= low))


NUMBERS = st.lists(st.integers(0, 50), min_size=1, max_size=40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NUMBERS, st.sampled_from([POOLS[:1], POOLS[1:], POOLS])),
        st.tuples(st.just("decide"), NUMBERS, st.sampled_from(POOLS)),
        st.tuples(st.just("floor"), st.integers(0, 30), st.none()),
        st.tuples(st.just("expire"), st.integers(3, 30), st.none()),
    ),
    min_size=1,
    max_size=8,
)


FEW = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Steps = list[tuple[str, object, object]]


@FEW
@given(steps=STEPS)
def test_whatever_comes_and_goes_the_set_answers_as_a_sorted_list(
    make_stores: Callable[[Limits], Store], steps: Steps
) -> None:
    follow(make_stores(SMALL), steps)


@pytest.mark.slow
@settings(FEW, max_examples=100)
@given(steps=STEPS)
def test_whatever_comes_and_goes_the_set_answers_as_a_sorted_list_at_length(
    make_stores: Callable[[Limits], Store], steps: Steps
) -> None:
    follow(make_stores(SMALL), steps)


def follow(store: Store, steps: Steps) -> None:
    model = Model(store)
    for what, numbers, where in steps:
        match what, numbers, where:
            case "add", list(), tuple():
                # contents of two texts under one id, so that some equivocate
                posts = [post(one, text=str(one * at % 2)) for at, one in enumerate(numbers)]
                model.add([received(each, pools=where) for each in posts])
            case "decide", list(), str():
                posts = [post(one, node="unwanted.example") for one in numbers]
                model.decide(posts, KeyText(where))
            case "floor", int(), _:
                model.store.raise_floor(numbers)
            case "expire", int(), _:
                model.expire(Keep(posts=numbers))
        model.check()
    if isinstance(store, SqlStore):
        store.close()  # a run makes more of them than a server has connections


def test_totals_tell_what_is_remembered_of_posts_not_held(store: Store) -> None:
    store.add([published(post(1)), received(post(2))], now=1)
    store.decide([post(3), post(1)], [POOL], "policy", now=1)
    totals = store.totals()
    assert (totals.posts, totals.size) == (2, post(1).size + post(2).size)
    assert (totals.decided, totals.floor, totals.full) == (1, 0, False)
