"""Publishing: idempotent by id, normalised with a notice, a result for every draft."""

from typing import Any

import pytest

from replicator.errors import Malformed
from replicator.node.publish import publish, read_draft
from replicator.protocol.ids import NodeId
from replicator.protocol.signing import PrivateKey, verify_post
from tests.support.pool import NOW_MS, Member, Pool, pair

HERE = NodeId("alpha")


@pytest.fixture
def alpha() -> Member:
    """A node that knows nobody."""
    return Pool().add("alpha")


def test_a_post_is_signed_by_the_node_and_by_every_pool() -> None:
    pool = Pool()
    other = PrivateKey.generate()
    alpha = pool.add("alpha", pools=[pool.key, other])
    alpha.publish("hello")
    (post,) = alpha.posts()
    (own,) = alpha.node.identity.public_node_keys
    assert {s.key for s in post.signatures} == {own, pool.key.public, other.public}
    assert verify_post(post)


def test_a_post_can_be_published_in_one_pool_alone() -> None:
    pool = Pool()
    other = PrivateKey.generate()
    alpha = pool.add("alpha", pools=[pool.key, other])
    publish(alpha.node, [read_draft(HERE, {"text": "hello"})], [other.public])
    (post,) = alpha.posts()
    assert post.signed_by(other.public)
    assert not post.signed_by(pool.key.public)


def test_publishing_the_same_again_gives_the_stored_post(alpha: Member) -> None:
    (first,) = alpha.publish("hello", id="one")
    alpha.clock.advance(100)
    (again,) = alpha.publish("hello", id="one")
    assert (first.status, again.status) == ("stored", "known")
    assert first.digest == again.digest
    assert alpha.store.totals().posts == 1


def test_publishing_other_fields_under_an_id_is_a_conflict(alpha: Member) -> None:
    alpha.publish("hello", id="one")
    before = alpha.state()
    for text in ("other", "still other", "yet another"):
        (result,) = alpha.publish(text, id="one")
        assert (result.status, result.digest) == ("conflict", None)
    assert alpha.state() == before
    assert alpha.texts() == {"hello"}


def test_two_drafts_of_one_id_in_one_batch_do_not_equivocate(alpha: Member) -> None:
    drafts = [
        read_draft(HERE, {"id": "one", "text": text}) for text in ("first", "second", "first")
    ]
    results = publish(alpha.node, drafts)
    assert [result.status for result in results] == ["stored", "conflict", "known"]
    assert alpha.texts() == {"first"}


def test_a_known_post_does_not_ring_again() -> None:
    _, alpha, _ = pair()
    alpha.publish("hello", id="one")
    alpha.doorbell.take()
    alpha.work.flush()
    alpha.publish("hello", id="one")
    assert alpha.doorbell.take() == []


def test_ids_are_made_unique(alpha: Member) -> None:
    results = alpha.publish(*["same text"] * 50)
    assert len({result.id for result in results}) == 50
    assert all(result.id is not None and result.id.startswith("alpha/") for result in results)


def test_one_bad_draft_of_a_batch_is_one_bad_draft(alpha: Member) -> None:
    results = alpha.publish("good", "bad \x00", "good too")
    assert [result.status for result in results] == ["stored", "refused", "stored"]
    assert results[1].reason
    assert "text" in results[1].reason


def test_what_was_changed_is_noticed(alpha: Member) -> None:
    (result,) = alpha.publish("a\r\nb\rc", tags=["x", "y", "x"], thread="t")
    assert len(result.notices) == 2
    (post,) = alpha.posts()
    assert post.content.text == "a\nb\nc"
    assert post.content.tags == ("x", "y")
    assert post.content.thread == "alpha/t"


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        (None, NOW_MS),
        (0, 0),
        (1234, 1234),
        ("1970-01-01T00:00:01Z", 1_000),
        ("2001-09-09T03:46:40.123+02:00", 1_000_000_000_123),
    ],
)
def test_times_become_ms(alpha: Member, given: object, ms: int) -> None:
    alpha.publish("hello", published=given)
    (post,) = alpha.posts()
    assert post.published == ms


@pytest.mark.parametrize(
    "fields",
    [
        {"txt": "x"},
        {"text": 5},
        {"tags": "a"},
        {"tags": [1]},
        {"id": "beta/x"},
        {"id": "a b"},
        {"id": 5},
        {"thread": "/"},
        {"thread": []},
        {"published": "yesterday"},
        {"published": "2020-01-01T00:00:00"},
        {"published": "1969-12-31T23:59:59Z"},
        {"published": -1},
        {"published": True},
        {"published": 1.5},
        {"published": 2**53},
        {"attachments": [{"digest": "0" * 64}]},
        {"attachments": ["x"]},
        {"attachments": 5},
        {"attachments": {"a": 1}},
        {"tags": 5},
        {"tags": False},
        {"tags": ""},
        {"attachments": [{"digest": 5, "mimetype": "a", "name": "b", "size": 1}]},
    ],
)
def test_a_field_that_does_not_fit_is_named(fields: dict[str, Any]) -> None:
    name = next(iter(fields))
    with pytest.raises(Malformed, match=name):
        read_draft(HERE, fields)
