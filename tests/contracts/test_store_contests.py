"""Contents of one id, signed by their origin or by a pool alone, in any history.

Two stores are led through the same steps and must give the same answers: the twin in memory and one
of each kind. Whatever came before: once the origin is pinned and all was judged anew, its real
posts can be had, and no forged one is held beside them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.adapters.memory.store import MemoryStore
from replicator.limits import Limits
from replicator.node.ports import BlockName, Store
from replicator.protocol.ids import NodeId
from replicator.protocol.post import Post
from tests.support.posts import NODE_KEY, OTHER_POOL, POOL, key, post, received

pytest_plugins = ["tests.support.store_fixtures"]

ORIGIN = NodeId("pinned.example")
THIEF = key("thief")
CONTENTS = range(4)
numbers = st.sampled_from(CONTENTS)
pools = st.sampled_from([(POOL,), (OTHER_POOL,), (POOL, OTHER_POOL)])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), numbers, pools),
        st.tuples(st.just("too-large"), numbers, pools),
        st.tuples(st.just("known"), numbers, pools),
        st.tuples(st.sampled_from(["block", "unblock", "pin", "thief", "trust"]), numbers),
        st.tuples(st.sampled_from(["forget", "judge", "judge all"])),
    ),
    max_size=14,
)


def content(number: int) -> Post:
    """Return a content of one id: the origin signed two of four, a thief one, a pool each."""
    signers = ((NODE_KEY, POOL), (POOL,), (NODE_KEY, POOL), (THIEF, POOL))[number]
    return post(1, node=ORIGIN, text=f"text {number}", signers=signers)


def judge(store: Store) -> Any:
    """Do one step of judging anew."""
    step = store.reopen(1)
    if step is not None and step.ended:
        store.end_reopening(step)
    return step


def judge_all(store: Store) -> list[Any]:
    found = []
    while (step := judge(store)) is not None:
        found.append(step)
    return found


def block(store: Store, one: Post) -> None:
    store.add_blocks([BlockName("digest", one.digest)], "", 1)
    while store.apply_blocks(1):
        pass


def unblock(store: Store, one: Post) -> None:
    store.lift_blocks([BlockName("digest", one.digest)])
    while store.apply_blocks(1):
        pass


DOINGS: dict[str, Callable[..., Any]] = {
    "add": lambda store, one, where: store.add([received(one, pools=where)], now=1),
    "too-large": lambda store, one, where: store.decide([one], where, "too-large", now=1),
    "known": lambda store, one, where: store.decide([one], where, None, now=1),
    "block": block,
    "unblock": unblock,
    "pin": lambda store, _: store.pin(ORIGIN, [NODE_KEY], "operator", 1),
    "thief": lambda store, _: store.pin(ORIGIN, [THIEF], "pool", 1),
    "trust": lambda store, _: store.repin(ORIGIN, [NODE_KEY], 1, revoke=True),
    "forget": lambda store: store.forget_peer(ORIGIN),
    "judge": judge,
    "judge all": judge_all,
}


def do(store: Store, name: str, *what: Any) -> Any:
    """Do one step; return what the store answers."""
    return DOINGS[name](store, *(content(what[0]), *what[1:]) if what else ())


def seen(store: Store) -> tuple[Any, ...]:
    digests = [content(number).digest for number in CONTENTS]
    sets = []
    for pool in (POOL, OTHER_POOL):
        with store.reconciled(pool, 0) as items:
            sets.append([(at, bytes(name)) for at, name in items.slice(0, len(items))])
    proofs = {(one.kept, one.lost.digest) for one in store.equivocations()}
    totals = store.totals()
    counts = (totals.posts, totals.size, totals.decided)
    return store.held(digests), store.known(digests), sets, store.equivocators(), proofs, counts


@pytest.fixture
def fresh(make_stores: Callable[[Limits], Store]) -> Callable[[], Store]:
    return lambda: make_stores(Limits())


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=steps)
def test_every_store_answers_alike_and_the_origin_has_its_post_held(
    fresh: Callable[[], Store], history: Sequence[tuple[Any, ...]]
) -> None:
    twin, store = MemoryStore(Limits()), fresh()
    for step in history:
        assert do(store, *step) == do(twin, *step), step
        assert seen(store) == seen(twin), step
    decided = {one[1] for one in history if one[0] in ("too-large", "block")}
    for one in (twin, store):
        for number in CONTENTS:
            do(one, "unblock", number)
        do(one, "pin", 0)
        do(one, "trust", 0)
        judge_all(one)
        for number in CONTENTS:
            if number in (0, 2):  # of others the signature would not count
                do(one, "add", number, (POOL,))
    assert seen(store) == seen(twin)
    best = min(content(0).digest, content(2).digest)
    held = seen(store)[0]
    assert held <= {content(0).digest, content(2).digest}
    if not decided:
        assert held == {best}
