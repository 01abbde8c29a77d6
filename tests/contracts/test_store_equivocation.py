"""Two contents under one id: every store ends the same in every order, with proof and a flag."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice, permutations, product
from random import Random

from replicator.limits import Limits
from replicator.node.ports import Added, BlockName, Equivocator, Keep, Store
from replicator.protocol.ids import KeyText, NodeId
from replicator.protocol.post import Post
from tests.support.posts import (
    HERE,
    NODE_KEY,
    OTHER_POOL,
    POOL,
    key,
    post,
    published,
    received,
    signature,
)

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
        store.decide([one], [POOL], "too-large", now=1)
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


ORIGIN = "pinned.example"
OTHER_KEY = key("other")


def two_sided(number: int) -> tuple[list[Post], list[Post]]:
    """Return contents of one id that its origin signed, and such as only a pool did.

    By digest: forged, own, forged, own, forged.
    """
    texts = map(str, range(100))
    made = sorted(
        (post(number, node=ORIGIN, text=text) for text in islice(texts, 5)),
        key=lambda one: one.digest,
    )
    forged = [
        post(number, node=ORIGIN, text=one.content.text, signers=(POOL,)) for one in made[::2]
    ]
    return made[1::2], forged


def pinned(store: Store, *keys: KeyText, now: int = 5) -> set[str]:
    """Pin keys, judge anew until nothing is left; return what was reopened."""
    store.pin(NodeId(ORIGIN), keys or (NODE_KEY,), "operator", now)
    return reopened(store)


def reopened(store: Store) -> set[str]:
    found: set[str] = set()
    while (step := store.reopen(6)) is not None:
        found.update(step.digests)
        if step.ended:
            store.end_reopening(step)
    return found


def test_what_its_origin_signed_takes_the_place_of_what_only_a_pool_did_in_every_order(
    store: Store,
) -> None:
    orders = [order for order in permutations(range(5)) if order[0] in (0, 4) or order[4] == 2]
    left = []
    for number, order in enumerate(orders):
        own, forged = two_sided(number)
        both = [*own, *forged]
        for index in order:
            store.add([received(both[index])], now=1)
        assert store.held([one.digest for one in both]) == {forged[0].digest}
        left.append((own, forged))
    assert store.equivocators() == [Equivocator(NodeId(ORIGIN), 1, 1, 4 * len(orders))]
    # what the proofs still have is held again at once, the rest is as never seen
    again = pinned(store)
    assert again == {one.digest for own, forged in left for one in (own[0], *forged[1:])}
    for own, forged in left:
        store.add([received(own[0])], now=6)
        assert store.known([one.digest for one in forged]) == set()
        assert store.known([one.digest for one in own]) == {one.digest for one in own}
        assert store.held([one.digest for one in own]) == {own[0].digest}
    items = [(one.published, bytes.fromhex(one.digest)) for own, _ in left for one in own]
    assert items_of(store) == sorted(items)
    assert store.totals().posts == len(orders)
    (flag,) = store.equivocators()
    assert len(orders) <= flag.times <= 2 * len(orders)
    assert reopened(store) == set()


def test_what_was_removed_and_only_a_pool_signed_keeps_nothing_out(store: Store) -> None:
    for number, way in enumerate(("policy", "blocked")):
        (small, _), (forged, *_) = two_sided(number)
        meet(store, forged, way)
        assert store.add([received(small)], now=2) == [Added.LOST]
    for number in range(2):
        (small, _), (forged, *_) = two_sided(10 + number)
        store.add([received(forged)], now=2)
    while store.expire(Keep(posts=0), now=2):
        pass
    pinned(store)
    for number in (0, 1, 10, 11):
        (small, _), (forged, *_) = two_sided(number)
        store.add([received(small)], now=6)
        assert small.digest in store.held([small.digest]), number
        assert store.known([forged.digest]) == {forged.digest}
    # and the operator may take out what was forged after the pin as well
    (small, large), (forged, *_) = two_sided(20)
    store.add([received(forged)], now=7)
    store.add_blocks([BlockName("digest", forged.digest)], "forged", 7)
    while store.apply_blocks(7):
        pass
    assert store.add([received(large)], now=8) == [Added.STORED]
    assert store.add([received(small)], now=9) == [Added.REPLACED]
    store.lift_blocks([BlockName("digest", forged.digest)])
    while store.apply_blocks(9):
        pass
    assert store.known([forged.digest]) == set()


def test_a_forged_post_that_comes_late_changes_nothing(store: Store) -> None:
    (small, large), forged = two_sided(1)
    pinned(store)
    for one in (large, *forged):
        store.add([received(one)], now=6)
    assert store.known([one.digest for one in (large, *forged)]) == {large.digest}
    assert store.equivocators() == []
    assert store.equivocations() == []
    assert items_of(store) == [(1, bytes.fromhex(large.digest))]
    assert store.add([received(small)], now=7) == [Added.REPLACED]
    store.decide([forged[0]], [POOL], "too-large", now=8)
    assert store.known([forged[0].digest, small.digest]) == {small.digest}


def test_a_decided_content_of_the_origin_takes_the_place_of_a_forged_one(store: Store) -> None:
    (small, large), (forged, *_) = two_sided(1)
    store.add([received(forged)], now=1)
    pinned(store)
    store.decide([small], [POOL], "too-large", now=6)
    assert store.known([forged.digest, small.digest]) == {small.digest}
    assert items_of(store) == [(1, bytes.fromhex(small.digest))]
    assert store.add([received(large)], now=7) == [Added.LOST]


def test_another_key_for_the_origin_judges_again_and_what_a_revoked_one_signed_gives_way(
    store: Store,
) -> None:
    thief = key("thief")
    own, _ = two_sided(1)
    stolen = post(1, node=ORIGIN, text=own[0].content.text, signers=(thief, POOL))
    real = post(1, node=ORIGIN, text=own[1].content.text, signers=(OTHER_KEY, POOL))
    assert stolen.digest < real.digest
    assert pinned(store, thief) == set()
    store.add([received(stolen)], now=6)
    assert store.add([received(real)], now=6) == [Added.LOST]  # nothing of it is kept
    store.repin(NodeId(ORIGIN), [thief, OTHER_KEY], 7)
    assert reopened(store) == set()
    assert store.add([received(real)], now=7) == [Added.LOST]
    assert store.held([stolen.digest, real.digest]) == {stolen.digest}
    store.repin(NodeId(ORIGIN), [OTHER_KEY], 8, revoke=True)
    assert reopened(store) == {real.digest}
    assert store.held([stolen.digest, real.digest]) == {real.digest}
    assert store.known([stolen.digest]) == set()
    # both were signed by keys that it had here: that it did so stays known
    assert [proof.lost.digest for proof in store.equivocations()] == [real.digest]


def test_judging_anew_goes_in_bounded_steps_and_origins_take_turns(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(expire_items_max=3, equivocations_max=1))
    lost = set()
    for number in range(7):
        own, forged = two_sided(number)
        store.add([received(forged[0]), received(own[0]), received(forged[2])], now=1)
        lost |= {own[0].digest, forged[2].digest}
    store.add([received(one) for one in two_sided(8)[0]], now=1)
    for node in ("aa.example", "zz.example"):
        store.add([received(post(1, node=node, text=text)) for text in "ab"], now=1)
    assert store.reopen(2) is None
    for node in ("zz.example", ORIGIN, "aa.example"):
        store.pin(NodeId(node), [NODE_KEY], "operator", 2)
    found: dict[str, list[str]] = {}
    turns: list[str] = []
    while (step := store.reopen(2)) is not None:
        assert len(step.digests) <= 2 * 3
        found.setdefault(step.origin, []).extend(step.digests)
        turns.append(step.origin)
        if step.ended:
            assert store.reopen(2) == replace(step, digests=())  # until it is said to be ended
            store.end_reopening(step)
    assert turns[:3] == ["zz.example", ORIGIN, "aa.example"]
    assert sorted(found[ORIGIN]) == sorted(lost)
    assert found["zz.example"] == found["aa.example"] == []
    assert store.known([two_sided(8)[0][1].digest])


def test_the_same_keys_in_other_states_are_no_reason_to_judge_anew_and_others_are(
    store: Store,
) -> None:
    node = NodeId(ORIGIN)
    assert pinned(store) == set()
    before = store.pins(node)
    after = [replace(before[0], state="retired")]
    assert store.announce(node, before, after, 1)
    assert store.reopen(6) is None
    store.repin(node, [NODE_KEY], 7)
    assert store.reopen(7) is None
    store.repin(node, [OTHER_KEY], 7)
    step = store.reopen(7)
    assert step is not None
    assert (step.origin, step.ended, step.found) == (node, True, True)  # the operator's word
    store.repin(node, [NODE_KEY], 8, revoke=True)
    store.end_reopening(step)  # too late: its keys have changed again
    assert store.reopen(8) is not None


def test_an_id_is_judged_as_a_whole_however_small_a_step_is(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(expire_items_max=1))
    own, forged = two_sided(1)
    for one in (*forged, *own):
        store.add([received(one)], now=1)
    assert pinned(store) == {own[0].digest, *(one.digest for one in forged[1:])}
    assert store.known([one.digest for one in own]) == {one.digest for one in own}


def test_what_was_forgotten_meanwhile_is_not_decided_against_because_it_was_known_before(
    store: Store,
) -> None:
    (own, _), (forged, *_) = two_sided(1)
    store.add([received(forged)], now=1)
    store.add([received(own)], now=1)
    store.add([received(post(2, signers=[POOL]), pools=[])], now=1)
    store.decide([own, post(2), post(3)], [POOL], None, now=2)
    assert store.known([post(3).digest]) == set()
    assert (2, bytes.fromhex(post(2).digest)) in items_of(store)
    assert store.held([own.digest]) == set()
    assert len(items_of(store)) == 3


def test_where_the_right_content_is_decided_against_for_good_the_forged_one_goes(
    store: Store,
) -> None:
    (small, _), (forged, *_) = two_sided(1)
    store.decide([small], [POOL], "too-large", now=1)
    store.add([received(forged)], now=1)
    assert store.held([forged.digest]) == {forged.digest}
    assert pinned(store) == set()
    assert store.known([forged.digest, small.digest]) == {small.digest}
    assert items_of(store) == [(1, bytes.fromhex(small.digest))]


def test_no_proof_goes_before_the_post_in_it_is_held_again(store: Store) -> None:
    (small, large), (forged, *_) = two_sided(1)
    for one in (forged, small):
        store.add([received(one)], now=1)
    store.pin(NodeId(ORIGIN), [NODE_KEY], "operator", 5)
    # before it is judged anew its origin's other content comes
    assert store.add([received(large)], now=5) == [Added.LOST]
    assert store.held([one.digest for one in (small, large, forged)]) == set()
    assert reopened(store) == {small.digest}
    assert store.held([one.digest for one in (small, large, forged)]) == {small.digest}


def test_of_one_id_few_contents_are_remembered_and_the_same_in_every_order(
    make_stores: Callable[..., Store],
) -> None:
    limits = Limits(contents_per_id_max=4)
    many = contents(1, 20)
    blocked = many[2]
    ends = []
    for seed in range(3):
        store = make_stores(limits)
        store.add_blocks([BlockName("digest", blocked.digest)], "", 1)
        order = Random(seed).sample(many, len(many))
        for cut in range(0, 20, 5):
            store.add([received(one) for one in order[cut : cut + 5]], now=1)
        store.decide([order[0]], [POOL], "too-large", now=2)
        ends.append((store.held([one.digest for one in many]), items_of(store)))
        assert store.known([one.digest for one in many]) == {one.digest for one in many[:5]}
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][0] == {many[0].digest}
    assert len(ends[0][1]) == 5


def test_what_gives_way_to_a_content_decided_with_it_stands_in_no_set(store: Store) -> None:
    own, forged = two_sided(1)
    store.add([received(forged[0])], now=1)
    store.pin(NodeId(ORIGIN), [NODE_KEY], "operator", 1)
    store.decide([forged[0], own[0]], [POOL, OTHER_POOL], "too-large", now=2)
    assert store.known([forged[0].digest, own[0].digest]) == {own[0].digest}
    for pool in (POOL, OTHER_POOL):
        with store.reconciled(pool, 0) as items:
            shown = {bytes(digest).hex() for _, digest in items.slice(0, len(items))}
        assert shown == {own[0].digest}


def test_a_content_that_is_forgotten_leaves_nothing_lost_to_it(store: Store) -> None:
    small, large = contents(1, 2)
    for one in (large, small):
        store.add([received(one)], now=1)
    name = BlockName("digest", small.digest)
    for change in (lambda: store.add_blocks([name], "", 1), lambda: store.lift_blocks([name])):
        change()
        while store.apply_blocks(2):
            pass
    assert store.known([small.digest, large.digest]) == {large.digest}
    step = store.reopen(3)
    assert step is not None
    assert (step.origin, step.digests, step.found) == (HERE, (large.digest,), True)
    assert store.held([large.digest]) == {large.digest}


def test_the_oldest_that_is_forgotten_for_want_of_room_leaves_nothing_lost_to_it(
    make_store: Callable[[Limits], Store],
) -> None:
    store = make_store(Limits(decided_items_max=1))
    small, large = contents(5, 2)
    store.add([received(post(3)), received(large)], now=1)
    store.decide([small], [POOL], "too-large", now=1)
    assert store.totals().decided == 2
    while store.expire(Keep(), now=2):
        pass
    assert store.known([small.digest, large.digest]) == {large.digest}
    step = store.reopen(3)
    assert step is not None
    assert (step.origin, step.digests) == (HERE, (large.digest,))
