"""Two contents under one id: every store ends the same in every order, with proof and a flag."""

from collections.abc import Callable
from itertools import permutations, product

from replicator.limits import Limits
from replicator.node.ports import Added, BlockName, Equivocator, Keep, Store
from replicator.protocol.ids import NodeId
from replicator.protocol.post import Post
from tests.support.posts import HERE, NODE_KEY, POOL, post, published, received, signature

pytest_plugins = ["tests.support.store_fixtures"]

WAYS = ("held", "policy", "blocked")
"""What becomes of a content: it is taken, or decided against."""


def contents(number: int, count: int = 3) -> list[Post]:
    """Return contents of one id, the smallest digest first."""
    made = [post(number, text=f"{number} {text}") for text in range(count)]
    return sorted(made, key=lambda one: one.digest)


def meet(store: Store, one: Post, way: str) -> None:
    """Let a store see a content."""
    if way == "held":
        store.add([received(one)], now=1)
    elif way == "policy":
        store.decide([one.ref], [POOL], "too-large", now=1)
    else:
        store.add_blocks([BlockName("digest", one.digest)], "", 1)
        store.add([received(one)], now=1)
        while store.apply_blocks(1):
            pass


def items_of(store: Store) -> list[tuple[int, bytes]]:
    with store.reconciled(POOL, 0) as items:
        return [(at, bytes(digest)) for at, digest in items.slice(0, len(items))]


def test_only_the_smallest_content_seen_is_ever_held_whatever_became_of_it(store: Store) -> None:
    mixed = [ways for ways in product(WAYS, repeat=3) if ways.count("held") in (0, 2, 3)]
    cases = list(product(permutations(range(3)), mixed[::2]))
    everything = []
    for number, (order, ways) in enumerate(cases):
        seen = contents(number)
        for index in order:
            meet(store, seen[index], ways[index])
        digests = [one.digest for one in seen]
        kept = {digests[0]} if ways[0] == "held" else set()
        assert store.held(digests) == kept, (order, ways)
        assert store.known(digests) == set(digests)
        everything += [(one.published, bytes.fromhex(one.digest)) for one in seen]
    assert items_of(store) == sorted(everything)
    (flag,) = store.equivocators()
    assert (flag.node, flag.times) == (HERE, 2 * len(cases))


def test_one_that_expired_counts_still(store: Store) -> None:
    small, large = contents(1, 2)
    store.add([received(small)], now=1)
    while store.expire(Keep(posts=0), now=2):
        pass
    assert store.add([received(large)], now=3) == [Added.LOST]
    assert store.held([small.digest, large.digest]) == set()
    assert store.equivocators() == [Equivocator(HERE, 3, 3, 1)]


def test_this_node_does_not_publish_other_content_under_an_id_that_was_removed(
    store: Store,
) -> None:
    for number in range(2):
        first, second = contents(number, 2)[:: 1 if number else -1]
        store.publish([published(first)], now=1)
        store.add_blocks([BlockName("digest", first.digest)], "", 1)
        while store.apply_blocks(1):
            pass
        assert store.publish([published(second)], now=2) == [Added.CONFLICT]
    assert store.equivocators() == []


def test_the_proof_has_both_contents_with_their_signatures_also_when_nothing_is_held(
    store: Store,
) -> None:
    small, large = (
        post(1, text=one.content.text, signers=(NODE_KEY, POOL)) for one in contents(1, 2)
    )
    store.add([received(large)], now=1)
    store.add([received(small)], now=2)
    store.add_blocks([BlockName("id", small.id)], "", 3)
    while store.apply_blocks(3):
        pass
    (proof,) = store.equivocations()
    assert (proof.id, proof.kept, proof.noted_at) == (small.id, small.digest, 2)
    assert (proof.kept_post, proof.lost) == (small, large)
    assert signature(NODE_KEY, small.id) in proof.lost.signatures
    assert store.lost_posts([large.digest, small.digest, "0" * 64]) == [large]
    assert store.lost_posts([]) == []


def test_proofs_and_flags_are_bounded_and_no_origin_pushes_out_the_others(
    make_store: Callable[[Limits], Store],
) -> None:
    limits = Limits(equivocations_max=7, equivocations_per_origin_max=3, equivocators_max=3)
    store = make_store(limits)

    def twice(number: int, node: str, now: int) -> None:
        pair = [post(number, node=node, text=text) for text in "ab"]
        for one in pair:
            store.add([received(one)], now=now)

    twice(1, "quiet.example", 1)
    store.add([received(post(n, node="loud", text=text)) for text in "ab" for n in range(20)], 2)
    found = store.equivocations()
    assert [one.id for one in found] == ["loud/19", "loud/18", "loud/17", "quiet.example/1"]
    for number in range(4):
        twice(number, f"n{number}.example", 10 + number)
    assert len(store.equivocations()) == 7
    assert store.equivocations()[-1].id != "quiet.example/1"
    assert [one.node for one in store.equivocators()] == [f"n{n}.example" for n in (3, 2, 1)]
    twice(9, "n1.example", 20)
    assert store.equivocators([NodeId("n1.example"), NodeId("loud")]) == [
        Equivocator(NodeId("n1.example"), 11, 20, 2)
    ]
