"""Merging copies of a post, and choosing between two contents of one id."""

from hypothesis import given
from hypothesis import strategies as st

from replicator.protocol.ids import Digest
from replicator.rules.merging import contenders, merged_signatures
from tests.support.posts import key, signature

KEYS = [key(str(number)) for number in range(12)]
lists = st.lists(st.sampled_from(KEYS), unique=True, max_size=8)


def test_what_keys_of_the_origin_signed_contends_and_where_none_stands_everything() -> None:
    own, other = Digest("f0" * 32), Digest("0f" * 32)
    seen = {own: {KEYS[0], KEYS[1]}, other: {KEYS[1]}}
    assert contenders(seen, set()) == {own, other}
    assert contenders(seen, {KEYS[0], KEYS[2]}) == {own}
    assert contenders(seen, {KEYS[2]}) == set()
    assert contenders(seen, {KEYS[1]}) == {own, other}


@given(held=lists, further=lists, pools=lists)
def test_a_merged_list_is_ordered_bounded_and_made_of_both(
    held: list[str], further: list[str], pools: list[str]
) -> None:
    old = [signature(key_, "old") for key_ in sorted(held)]  # type: ignore[arg-type]
    new = [signature(key_, "new") for key_ in sorted(further)]  # type: ignore[arg-type]
    merged = merged_signatures(old, new, pools, 8)  # type: ignore[arg-type]
    names = [one.key for one in merged]
    assert names == sorted(set(names))
    assert len(merged) == min(8, len({*held, *further}))
    assert set(merged) <= {*old, *new}
    assert all(one in merged for one in old if one.key in pools)
    assert all(one in old for one in merged if one.key in held)
    assert merged_signatures(merged, old, pools, 8) == merged_signatures(merged, (), pools, 8)


@given(held=lists, further=lists)
def test_where_there_is_no_room_signatures_of_pools_come_first(
    held: list[str], further: list[str]
) -> None:
    old = [signature(key_) for key_ in held]  # type: ignore[arg-type]
    new = [signature(key_) for key_ in further]  # type: ignore[arg-type]
    pools = [*further[:4]]
    merged = merged_signatures(old, new, pools, 4)  # type: ignore[arg-type]
    assert {one.key for one in merged} >= set(pools)
