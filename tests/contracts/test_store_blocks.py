"""What every store does with blocks: posts go and stay away, and unblocking leaves no trace."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.adapters.memory.store import MemoryStore
from replicator.adapters.sql.store import SqlStore
from replicator.errors import ConfigurationError
from replicator.limits import Limits
from replicator.node.ports import Added, Block, BlockName, Covered, Keep, Query, Store, Waiting
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.post import Post
from replicator.rules.negentropy import Item
from tests.support.posts import HERE, OTHER_POOL, POOL, THERE, post, published, received

pytest_plugins = ["tests.support.store_fixtures"]

SMALL = Limits(summary_items_max=16, expire_items_max=7, decided_items_max=1_000)
POOLS = (POOL, OTHER_POOL)
BAD = "bad.example"
NODE = BlockName("node", BAD)


def name_of(one: Post, kind: str = "id") -> BlockName:
    return BlockName("digest", one.digest) if kind == "digest" else BlockName("id", one.id)


def block(store: Store, *names: BlockName, reason: str = "", now: int = 5) -> int:
    """Block to the end; return how many steps it took."""
    store.add_blocks(names, reason, now)
    return finish(store, now)


def unblock(store: Store, *names: BlockName) -> int:
    store.lift_blocks(names)
    return finish(store)


def finish(store: Store, now: int = 9) -> int:
    steps = 0
    while store.apply_blocks(now):
        steps += 1
    return steps


def items_of(store: Store, pool: KeyText = POOL) -> list[Item]:
    with store.reconciled(pool, 0) as items:
        count = len(items)
        found = [(at, bytes(digest)) for at, digest in items.slice(0, count)]
        total = sum(int.from_bytes(digest, "little") for _, digest in found) % 2**256
        assert items.total(0, count) == total
        for at in range(0, count, 5):
            assert items.rank(found[at]) == at
    return found


@pytest.mark.parametrize("kind", ["digest", "id"])
def test_a_blocked_post_goes_and_stays_decided(store: Store, kind: str) -> None:
    bad, good = post(1), post(2)
    store.add([received(bad), published(good)], now=1)
    before = items_of(store)
    cursor = store.end_cursor()
    block(store, name_of(bad, kind), reason="spam")
    assert store.get(ids=[bad.id]) == store.refs(digests=[bad.digest]) == []
    assert store.known([bad.digest]) == {bad.digest}
    assert store.held([bad.digest, good.digest]) == {good.digest}
    assert store.page(Query(), None).posts == (good,)
    assert store.page(Query(), cursor).posts == ()
    assert items_of(store) == before
    assert (store.totals().posts, store.totals().size) == (1, good.size)
    assert store.blocks() == [Block(name_of(bad, kind), "spam", 5)]
    assert store.blocked([bad.ref, good.ref]) == {bad.digest}


def test_blocking_a_node_takes_all_its_posts_in_bounded_steps(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(SMALL)
    bad = [post(number, node=BAD) for number in range(30)]
    near = [post(3, node="bad.example2"), post(4, node="bad.exampl"), post(5)]
    store.add([received(one) for one in [*bad, *near]], now=1)
    before = items_of(store)
    assert store.covered([NODE]) == Covered(30, 0)
    assert store.add_blocks([NODE], "", now=2) == 1
    assert [one.done for one in store.blocks()] == [False]
    left = 30
    while store.apply_blocks(2):
        assert 0 <= left - len(store.held([one.digest for one in bad])) <= SMALL.expire_items_max
        left = len(store.held([one.digest for one in bad]))
    assert [one.done for one in store.blocks()] == [True]
    assert store.covered([NODE]) == Covered(0, 30)
    assert store.held([one.digest for one in [*bad, *near]]) == {one.digest for one in near}
    assert items_of(store) == before
    assert store.blocked([post(99, node=BAD).ref, *(one.ref for one in near)]) == {
        post(99, node=BAD).digest
    }
    assert unblock(store, NODE) > 30 // SMALL.expire_items_max
    assert items_of(store) == [item for item in before if item not in map(_item, bad)]
    assert store.known([one.digest for one in bad]) == set()
    assert store.blocks() == []
    assert store.add([received(one) for one in bad], now=9) == [Added.STORED] * 30
    assert items_of(store) == before


def _item(one: Post) -> Item:
    return one.published, bytes.fromhex(one.digest)


def test_what_comes_while_it_is_blocked_is_decided_against_in_its_pools(store: Store) -> None:
    names = [NODE, name_of(post(1)), name_of(post(2), "digest")]
    block(store, *names)
    barred = [post(7, node=BAD), post(1, text="whatever"), post(2)]
    items = [received(one, pools=POOLS) for one in [*barred, post(3)]]
    assert store.add(items, now=6) == [*[Added.DECIDED] * 3, Added.STORED]
    assert store.publish([published(post(1))], now=6) == [Added.DECIDED]
    assert store.held([one.digest for one in barred]) == set()
    assert store.known([one.digest for one in barred]) == {one.digest for one in barred}
    assert items_of(store, OTHER_POOL) == sorted(map(_item, [*barred, post(3)]))
    assert store.known([post(1).digest]) == set()
    unblock(store, *names)
    assert items_of(store) == items_of(store, OTHER_POOL) == [_item(post(3))]


def test_each_change_may_be_repeated_and_keeps_its_first_reason(store: Store) -> None:
    store.add([received(post(1))], now=1)
    assert store.add_blocks([name_of(post(1))], "first", 2) == 1
    assert store.add_blocks([name_of(post(1))] * 2, "second", 3) == 0
    finish(store)
    assert block(store, name_of(post(1))) == 0
    assert [(one.reason, one.blocked_at) for one in store.blocks()] == [("first", 2)]
    assert store.lift_blocks([name_of(post(1)), NODE]) == 1
    assert store.lift_blocks([name_of(post(1))]) == 0
    assert store.blocks() == []
    assert store.blocked([post(1).ref]) == set(), "it counts no more at once"
    # changed again before what the first change asked for was done
    assert store.add_blocks([name_of(post(1))], "again", 4) == 1
    finish(store)
    assert store.known([post(1).digest]) == {post(1).digest}
    assert [one.reason for one in store.blocks()] == ["again"]
    unblock(store, name_of(post(1)))
    assert store.known([post(1).digest]) == set()


def test_what_another_block_covers_stays_decided(store: Store) -> None:
    posts = [post(number, node=BAD) for number in range(4)]
    names = [NODE, name_of(posts[0]), name_of(posts[1], "digest")]
    store.add([received(one) for one in posts], now=1)
    block(store, *names)
    unblock(store, NODE)
    assert store.known([one.digest for one in posts]) == {posts[0].digest, posts[1].digest}
    block(store, NODE)
    unblock(store, *names[1:])
    assert store.known([one.digest for one in posts]) == {posts[0].digest, posts[1].digest}
    unblock(store, NODE)
    assert items_of(store) == []


def test_what_was_decided_for_other_reasons_stays_when_a_block_is_lifted(store: Store) -> None:
    small, large = sorted((post(1, text=text) for text in "ab"), key=lambda one: one.digest)
    store.add([received(large), received(small)], now=1)
    store.decide([post(2)], [POOL], "too-large", now=1)
    names = [BlockName("node", HERE), name_of(small), name_of(post(2), "digest")]
    block(store, *names)
    assert store.covered(names) == Covered(0, 1)
    unblock(store, *names)
    assert store.known([small.digest, large.digest, post(2).digest]) == {
        large.digest,
        post(2).digest,
    }
    assert items_of(store) == sorted(map(_item, [large, post(2)]))
    assert store.add([received(small)], now=9) == [Added.STORED]


def test_what_waits_for_a_blocked_post_goes_too(store: Store) -> None:
    bad, by_id, by_digest, good = post(1, node=BAD), post(2), post(3), post(4)
    store.add_peer(THERE, None, 1)
    store.quarantine([Waiting(one, THERE) for one in (bad, by_id, by_digest, good)], now=1)
    store.record_pull(THERE, None, None, gaps=[one.ref for one in (bad, by_id, good)], now=1)
    block(store, NODE, name_of(by_id), name_of(by_digest, "digest"))
    waiting = [bad.digest, by_id.digest, by_digest.digest, good.digest]
    assert store.quarantined(THERE, waiting) == {good.digest}
    assert [ref.digest for ref in store.gaps(THERE, 10)] == [good.digest]


def test_more_blocks_than_may_stand_are_refused_as_a_whole(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(blocks_max=2))
    store.add_blocks([NODE], "", 1)
    with pytest.raises(ConfigurationError, match="blocks_max"):
        store.add_blocks([name_of(post(1)), name_of(post(2))], "", 1)
    assert [one.name for one in store.blocks()] == [NODE]
    assert store.add_blocks([NODE, name_of(post(1))], "", 1) == 1


def test_a_blocked_post_below_the_floor_is_forgotten_with_it(store: Store) -> None:
    store.add([received(post(number, node=BAD)) for number in range(6)], now=1)
    block(store, name_of(post(1, node=BAD)))
    store.raise_floor(4)
    block(store, NODE)
    while store.expire(Keep(), now=9):
        pass
    assert items_of(store) == [_item(post(number, node=BAD)) for number in (4, 5)]
    assert store.totals().decided == 2
    unblock(store, NODE, name_of(post(1, node=BAD)))
    assert items_of(store) == []
    assert store.totals().decided == 0


NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=25)
NAMES = st.lists(
    st.tuples(st.sampled_from(["id", "digest", "node"]), st.integers(0, 40)), max_size=5
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NUMBERS, st.sampled_from([POOLS[:1], POOLS[1:], POOLS])),
        st.tuples(st.just("decide"), NUMBERS, st.sampled_from([POOLS[:1], POOLS])),
        st.tuples(st.just("block"), NAMES, st.none()),
        st.tuples(st.just("unblock"), NAMES, st.none()),
        st.tuples(st.just("floor"), st.integers(0, 25), st.none()),
        st.tuples(st.just("expire"), st.integers(3, 30), st.none()),
    ),
    min_size=3,
    max_size=10,
)
FEW = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Steps = list[tuple[str, object, object]]


def made(number: int, at: int = 0) -> Post:
    """Return a post of one of three nodes; some numbers have two contents."""
    return post(number, node=f"n{number % 3}.example", text=str(number * at % 2))


def take(store: Store, step: str, what: object, where: object) -> list[Added]:
    """Do one step on a store, to its end."""
    outcomes: list[Added] = []
    match step, what, where:
        case "add", list(), tuple():
            items = [received(made(one, at), pools=where) for at, one in enumerate(what)]
            outcomes = store.add(items, now=1)
        case "decide", list(), tuple():
            posts = [made(one, at) for at, one in enumerate(what)]
            store.decide(sorted(posts, key=lambda one: one.digest), where, "policy", now=2)
        case "block" | "unblock", list(), _:
            kinds = {
                "id": lambda number: BlockName("id", made(number).id),
                "digest": lambda number: BlockName("digest", made(number).digest),
                "node": lambda number: BlockName("node", f"n{number % 3}.example"),
            }
            names = [kinds[kind](number) for kind, number in what]
            (block if step == "block" else unblock)(store, *names)
        case "floor", int(), _:
            store.raise_floor(what)
        case "expire", int(), _:
            while store.expire(Keep(posts=what), now=3):
                pass
    return outcomes


def state(store: Store) -> tuple[object, ...]:
    totals = store.totals()
    digests = [made(number, at).digest for number in range(41) for at in (0, 1)]
    return (
        store.digests(),
        store.known(digests),
        [items_of(store, pool) for pool in POOLS],
        (totals.posts, totals.size, totals.decided, totals.floor),
        store.blocks(),
        store.equivocators(),
        {(one.kept, one.lost.digest) for one in store.equivocations()},
    )


@FEW
@given(steps=STEPS)
def test_whatever_is_blocked_and_unblocked_every_store_ends_alike(
    make_stores: Callable[[Limits], Store], steps: Steps
) -> None:
    store, plain = make_stores(SMALL), MemoryStore(SMALL)
    for step in steps:
        assert take(store, *step) == take(plain, *step)
        assert state(store) == state(plain)
    if isinstance(store, SqlStore):
        store.close()  # a run makes more of them than a server has connections


def test_nothing_blocked_costs_one_look(store: Store) -> None:
    assert store.blocked([]) == set()
    assert store.blocked([post(1).ref]) == set()
    assert store.apply_blocks(1) == 0
    assert store.covered([]) == Covered()
    assert store.equivocators([NodeId(BAD)]) == []
