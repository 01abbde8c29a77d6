"""What every store does with posts made here: the first content of an id stays."""

import pytest

from replicator.node.ports import Added, Store
from tests.support.posts import post, published

pytest_plugins = ["tests.support.store_fixtures"]


def test_publishing_twice_is_publishing_once(store: Store) -> None:
    items = [published(post(number)) for number in range(3)]
    assert store.publish(items, now=1) == [Added.STORED] * 3
    assert store.publish(items, now=2) == [Added.KNOWN] * 3
    assert store.last_change() == store.totals().last_change == 3


@pytest.mark.parametrize("texts", [("one", "two"), ("two", "one")])
def test_another_content_under_a_published_id_is_a_conflict_and_changes_nothing(
    store: Store, texts: tuple[str, str]
) -> None:
    first, second = (post(1, text=text) for text in texts)
    assert store.publish([published(first)], now=1) == [Added.STORED]
    assert store.publish([published(second), published(post(2))], now=2) == [
        Added.CONFLICT,
        Added.STORED,
    ]
    assert store.get(ids=[first.id]) == [first]
    assert store.known([second.digest]) == set()


def test_of_two_contents_of_one_id_in_one_call_the_first_counts(store: Store) -> None:
    first, second = post(1, text="one"), post(1, text="two")
    assert store.publish([published(first), published(second)], now=1) == [
        Added.STORED,
        Added.CONFLICT,
    ]
    assert store.get(ids=[first.id]) == [first]


def test_the_last_change_of_an_empty_log_is_zero(store: Store) -> None:
    assert store.last_change() == 0
