"""What every store does with posts: keeps them, merges copies, resolves equivocation."""

from collections.abc import Callable
from itertools import permutations

import pytest

from replicator.limits import Limits
from replicator.node.ports import Added, Query, Store
from replicator.protocol.ids import Digest
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

UNKNOWN = Digest("f" * 64)


def rivals() -> list[Post]:
    """Three contents of one id, smallest digest first."""
    contents = [post(1, text=text) for text in ("one", "two", "three")]
    return sorted(contents, key=lambda one: one.digest)


def log_of(store: Store) -> list[Digest]:
    return [ref.digest for ref in store.ref_page(Query(), None).refs]


def test_a_stored_post_is_given_back_byte_for_byte(store: Store) -> None:
    one = post(1, text="grüße \U0001f600 \t\n", tags=["ä", "b"], thread="there.example/9")
    assert store.add([published(one)], now=5) == [Added.STORED]
    assert store.get(ids=[one.id]) == [one]
    assert store.get(digests=[one.digest]) == [one]
    assert store.page(Query(), None).posts == (one,)


def test_refs_name_what_get_gives(store: Store) -> None:
    one, two, three = (post(number) for number in range(3))
    store.add([published(one), published(two, pools=[OTHER_POOL]), published(three)], now=1)
    asked = {"ids": [one.id, two.id], "digests": [three.digest, one.digest, UNKNOWN]}
    for scopes in (None, frozenset({POOL}), frozenset({OTHER_POOL}), frozenset()):
        given = sorted(item.ref.digest for item in store.get(**asked, scopes=scopes))
        refs = store.refs(**asked, scopes=scopes)
        assert sorted(ref.digest for ref in refs) == given
        assert set(refs) <= {one.ref, two.ref, three.ref}


def test_adding_nothing_is_nothing(store: Store) -> None:
    before = store.end_cursor()
    assert store.add([], now=1) == []
    assert store.end_cursor() == before


def test_adding_twice_is_adding_once(store: Store) -> None:
    items = [published(post(number)) for number in range(3)]
    assert store.add(items, now=1) == [Added.STORED] * 3
    end = store.end_cursor()
    assert store.add(items, now=2) == [Added.KNOWN] * 3
    assert store.end_cursor() == end
    assert store.totals().posts == 3


def test_a_post_given_twice_in_one_call_is_stored_once(store: Store) -> None:
    one, two = published(post(1)), published(post(2))
    assert store.add([one, two, one, one], now=1) == [
        Added.STORED,
        Added.STORED,
        Added.KNOWN,
        Added.KNOWN,
    ]
    assert log_of(store) == [one.post.digest, two.post.digest]


def test_known_tells_held_and_decided_digests_and_held_only_those_held(store: Store) -> None:
    one, two = post(1), post(2)
    store.add([published(one)], now=1)
    store.decide([two], [POOL], "policy", now=1)
    asked = [one.digest, two.digest, UNKNOWN]
    assert store.known(asked) == {one.digest, two.digest}
    assert store.held(asked) == {one.digest}
    assert store.known([]) == store.held([]) == set()


def test_a_decided_digest_is_not_stored(store: Store) -> None:
    one = post(1)
    store.decide([one], [POOL], "policy", now=1)
    store.decide([one, one], [POOL], "policy", now=2)
    assert store.add([received(one)], now=3) == [Added.DECIDED]
    assert store.get(ids=[one.id]) == []
    assert log_of(store) == []


def test_a_held_digest_stays_held_when_it_is_decided_against(store: Store) -> None:
    one = post(1)
    store.add([published(one)], now=1)
    store.decide([one], [], "policy", now=2)
    assert store.held([one.digest]) == {one.digest}
    assert store.add([published(one)], now=3) == [Added.KNOWN]


def test_further_signatures_of_a_known_post_are_merged(store: Store) -> None:
    store.add([received(post(1, signers=[NODE_KEY]), pools=[])], now=1)
    store.add([received(post(1, signers=[POOL]), pools=[POOL])], now=2)
    (held,) = store.get(ids=[post(1).id])
    assert held == post(1, signers=[NODE_KEY, POOL])


def test_signatures_stay_within_their_limit_and_a_pool_finds_room(store: Store) -> None:
    junk = [key(f"junk {number}") for number in range(8)]
    store.add([received(post(1, signers=junk), pools=[])], now=1)
    store.add([received(post(1, signers=[POOL]), pools=[POOL])], now=2)
    (held,) = store.get(ids=[post(1).id])
    assert len(held.signatures) == 8
    assert held.signed_by(POOL)
    assert [one.key for one in held.signatures] == sorted(one.key for one in held.signatures)
    assert signature(POOL, held.id) in held.signatures


def test_junk_pushes_no_signature_of_a_pool_out_in_which_the_post_is_shown(store: Store) -> None:
    store.add([received(post(1, signers=[POOL]))], now=1)
    junk = [key(f"junk {number}") for number in range(7)]
    store.add([received(post(1, signers=[*junk, OTHER_POOL]), pools=[OTHER_POOL])], now=2)
    (held,) = store.get(ids=[post(1).id])
    assert held.signers >= {POOL, OTHER_POOL}


def test_what_proves_a_post_finds_room_among_junk(store: Store) -> None:
    junk = [key(f"junk {number}") for number in range(7)]
    store.add([received(post(1, signers=[*junk, POOL]))], now=1)
    store.pin(HERE, [NODE_KEY], "operator", 2)
    assert store.add([received(post(1))], now=3) == [Added.KNOWN]
    (held,) = store.get(ids=[post(1).id])
    assert held.signers >= {NODE_KEY, POOL}
    assert len(held.signatures) == 8


def test_get_gives_each_post_once_within_the_scopes(store: Store) -> None:
    one, two, three = post(1), post(2), post(3)
    store.add([published(one), published(two, pools=[OTHER_POOL])], now=1)
    store.add([received(three, pools=[])], now=1)

    def found(scopes: frozenset[str] | None) -> set[str]:
        posts = store.get(
            ids=[one.id, two.id, three.id, post(9).id],
            digests=[one.digest, UNKNOWN],
            scopes=scopes,  # type: ignore[arg-type]
        )
        assert len(posts) == len({each.id for each in posts})
        return {each.id for each in posts}

    assert found(None) == {one.id, two.id, three.id}
    assert found(frozenset({POOL})) == {one.id}
    assert found(frozenset({POOL, OTHER_POOL})) == {one.id, two.id}
    assert found(frozenset({key("unheard of")})) == set()
    assert found(frozenset()) == set()


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one call"])
def test_equivocation_ends_the_same_in_every_order(
    make_store: Callable[[Limits], Store], together: bool
) -> None:
    store = make_store(Limits())
    for number, order in enumerate(permutations(range(3))):
        contents = sorted(
            (post(number, text=text) for text in ("one", "two", "three")),
            key=lambda one: one.digest,
        )
        items = [received(contents[index]) for index in order]
        if together:
            store.add(items, now=1)
        else:
            for item in items:
                store.add([item], now=1)
        assert store.get(ids=[contents[0].id]) == [contents[0]]
        digests = [each.digest for each in contents]
        assert store.known(digests) == set(digests)
        assert store.held(digests) == {contents[0].digest}
    assert len(log_of(store)) == 6
    assert store.totals().posts == 6


def test_equivocation_tells_which_content_was_kept(store: Store) -> None:
    small, middle, large = rivals()
    assert store.add([received(middle)], now=1) == [Added.STORED]
    assert store.add([received(large)], now=1) == [Added.LOST]
    assert store.add([received(large)], now=1) == [Added.DECIDED]
    assert store.add([received(small)], now=1) == [Added.REPLACED]
    assert store.add([received(small), received(middle)], now=1) == [Added.KNOWN, Added.DECIDED]


def test_a_replaced_post_is_new_to_readers_who_saw_the_other_one(store: Store) -> None:
    small, _, large = rivals()
    store.add([received(large), received(post(2))], now=1)
    cursor = store.end_cursor()
    store.add([received(small)], now=2)
    for scopes in (None, frozenset({POOL})):
        assert store.page(Query(scopes=scopes), cursor).posts == (small,)
        assert store.page(Query(scopes=scopes), None).posts == (post(2), small)


def test_a_replaced_post_takes_nothing_over_from_the_other_content(store: Store) -> None:
    small, _, large = rivals()
    store.add([received(large, pools=[POOL])], now=1)
    store.add([received(small, pools=[OTHER_POOL])], now=2)
    assert store.get(ids=[small.id], scopes=frozenset({POOL})) == []
    assert store.get(ids=[small.id], scopes=frozenset({OTHER_POOL})) == [small]


def test_digests_are_ordered_and_totals_count(store: Store) -> None:
    posts = [post(number) for number in range(20)]
    store.add([published(each) for each in posts], now=1)
    store.add_peer(HERE, None, now=1)
    assert store.digests() == sorted((each.digest, each.published) for each in posts)
    totals = store.totals()
    assert (totals.posts, totals.last_change, totals.gaps, totals.peers) == (20, 20, 0, 1)


def test_a_large_batch_is_one_call(store: Store) -> None:
    posts = [post(number, tags=["a", "b"]) for number in range(2_500)]
    assert set(store.add([published(each) for each in posts], now=1)) == {Added.STORED}
    asked = [each.digest for each in posts]
    assert store.known(asked) == set(asked)
    assert len(store.get(ids=[each.id for each in posts])) == 2_500
