"""What is blocked goes, comes by no way, and comes back when it is unblocked."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from replicator.errors import ConfigurationError, Malformed
from replicator.limits import Limits
from replicator.node import moderation
from replicator.node.fetch import fetch
from replicator.node.ports import BlockName, Incoming
from replicator.node.pull import pull
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.messages import Answer, Get, GetAnswer, Put
from replicator.protocol.post import Post
from tests.support.drifted import repair_from, synced, watched
from tests.support.pool import NOW_MS, Member, Pool, pair, read, send, trio

Names = Callable[[Post], BlockName]
KINDS: dict[str, Names] = {
    "digest": lambda post: BlockName("digest", post.digest),
    "id": lambda post: BlockName("id", post.id),
    "node": lambda post: BlockName("node", post.id.partition("/")[0]),
}
EACH_KIND = pytest.mark.parametrize("named", KINDS.values(), ids=KINDS)


def one_post(member: Member, text: str = "unwanted") -> Post:
    (made,) = member.publish(text)
    assert made.digest is not None
    (post,) = member.store.get(digests=[made.digest])
    return post


def items(member: Member, pool: Pool) -> list[bytes]:
    with member.store.reconciled(pool.key.public, 0) as found:
        return [digest for _, digest in found.slice(0, len(found))]


def put(sender: Member, recipient: Member, **arguments: object) -> list[tuple[str, str | None]]:
    request = codec.request_tree(Put(**arguments))  # type: ignore[arg-type]
    answer = read(send(sender, recipient, request))
    return [(item["result"], item.get("reason")) for item in answer["items"]]


@pytest.mark.parametrize(
    "text", ["node:UPPER", "node:", "a/b/c", "f" * 63, "", "node.example", "x/\n"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        moderation.parse_name(text)


def test_names_are_read_as_they_are_shown() -> None:
    for text in ("node:bad.example", "bad.example/1", "f" * 64):
        assert str(moderation.parse_name(text)) == text


@EACH_KIND
def test_a_held_post_goes_and_repair_finds_nothing_to_do(named: Names) -> None:
    pool, alpha, beta = pair()
    post = one_post(alpha)
    pool.settle()
    before = items(beta, pool)
    done = moderation.block(beta.node, [named(post)], "spam")
    assert (done.changed, done.posts) == (1, 1)
    assert beta.digests() == set()
    assert items(beta, pool) == before == items(alpha, pool)
    synced(alpha, beta)
    for asker, mate in ((alpha, beta), (beta, alpha)):
        transport, seeing = watched(pool, asker, mate)
        report = repair_from(pool, seeing, mate)
        assert (report.rounds, report.wanted, report.taken, report.given) == (1, 0, 0, 0)
        assert transport.calls == {"reconcile": 1}
    assert alpha.digests() == {post.digest}


@EACH_KIND
def test_it_is_neither_served_nor_announced(named: Names) -> None:
    pool, alpha, beta, gamma = trio()
    post = one_post(beta)
    moderation.block(beta.node, [named(post)], "")
    pool.settle()
    assert gamma.digests() == alpha.digests() == set()
    answer = read(
        send(gamma, beta, codec.request_tree(Get(digests=(post.digest,), ids=(post.id,))))
    )
    assert answer.get("models", []) == []
    assert [entry.get("declined", False) for entry in answer["missing"]] == [False, True]
    assert pull(gamma.node, beta.id).stored == 0
    assert gamma.digests() == set()


@EACH_KIND
def test_no_way_in_brings_what_is_blocked_before_it_was_seen(named: Names) -> None:
    pool, alpha, beta = pair()
    post = one_post(alpha)
    alpha.doorbell.take()
    moderation.block(beta.node, [named(post)], "")
    assert put(alpha, beta, models=(codec.model_tree(post),)) == [("refused", "blocked")]
    assert put(alpha, beta, refs=(post.ref,)) == [("refused", "blocked")]
    pull(beta.node, alpha.id)
    pool.settle()
    assert beta.digests() == set()
    assert beta.store.totals().gaps == sum(beta.work.queued().values()) == 0
    # repair has to see its content once, and then never again
    synced(alpha, beta)
    assert repair_from(pool, beta, alpha).taken == 1
    assert beta.digests() == set()
    assert items(beta, pool) == items(alpha, pool)
    transport, seeing = watched(pool, beta, alpha)
    repair_from(pool, seeing, alpha)
    assert transport.calls == {"reconcile": 1}


def test_what_was_queued_before_it_was_blocked_is_not_fetched() -> None:
    pool, alpha, beta = pair()
    post = one_post(alpha)
    alpha.doorbell.take()
    beta.work.want(alpha.id, [post.ref], NOW_MS)
    moderation.block(beta.node, [KINDS["id"](post)], "")
    transport, seeing = watched(pool, beta, alpha)
    fetch(seeing.node, alpha.id)
    assert transport.calls == {}
    assert sum(beta.work.queued().values()) == 0


@EACH_KIND
def test_unblocked_it_comes_back_by_repair_alone(named: Names) -> None:
    pool, alpha, beta = pair()
    post, other = one_post(alpha), one_post(alpha, "other")
    pool.settle()
    moderation.block(beta.node, [named(post), named(other)], "")
    done = moderation.unblock(beta.node, [named(post)])
    assert (done.changed, done.posts >= 1, beta.store.known([post.digest])) == (1, True, set())
    for job in beta.store.backfills():
        beta.store.end_backfill(job)
    synced(alpha, beta)
    repair_from(pool, beta, alpha)
    assert post.digest in beta.digests()
    assert items(beta, pool) == items(alpha, pool)


@EACH_KIND
def test_unblocked_it_comes_back_by_a_backfill(named: Names) -> None:
    pool, alpha, beta = pair()
    post = one_post(alpha)
    pool.settle()
    pull(beta.node, alpha.id)
    moderation.block(beta.node, [named(post)], "")
    assert moderation.unblock(beta.node, [named(post)]).backfills == 1
    pull(beta.node, alpha.id)
    pool.settle()
    assert beta.digests() == {post.digest}


def test_to_unblock_what_is_not_blocked_is_nothing() -> None:
    pool, alpha, beta = pair()
    alpha.publish("kept")
    pool.settle()
    done = moderation.unblock(beta.node, [KINDS["node"](alpha.posts()[0])])
    assert (done.changed, done.posts, done.backfills) == (0, 0, 0)
    assert beta.store.backfills() == []


def test_a_liar_who_names_a_blocked_id_talks_nobody_out_of_a_post() -> None:
    pool, alpha, beta = pair()
    alpha.publish("wanted")
    (post,) = alpha.posts()
    alpha.doorbell.take()
    synced(alpha, beta)
    moderation.block(beta.node, [BlockName("node", "bad.example")], "")
    lie = replace_id(post)
    assert put(alpha, beta, refs=(lie,)) == [("refused", "blocked")]
    transport, seeing = watched(pool, beta, alpha)

    def say(request: codec.Tree) -> Answer | None:
        refs = request["type"] == "get" and request.get("want") == "refs"
        return GetAnswer(refs=(lie,)) if refs else None

    transport.say = say
    repair_from(pool, seeing, alpha)
    transport.say = lambda _: None
    pool.clock.advance(400)
    repair_from(pool, seeing, alpha)
    assert beta.digests() == {post.digest}


def replace_id(post: Post) -> object:
    return type(post.ref)("bad.example/1", post.digest, post.published, post.size)


def test_publishing_what_is_blocked_is_refused_and_says_why() -> None:
    _, alpha, _ = pair()
    moderation.block(alpha.node, [BlockName("id", "alpha/p")], "")
    (refused,), (stored,) = alpha.publish("x", id="p"), alpha.publish("x", id="q")
    assert (refused.status, stored.status) == ("refused", "stored")
    assert "alpha/p is blocked here" in str(refused.reason)
    moderation.block(alpha.node, [BlockName("node", "alpha")], "")
    (own,) = alpha.publish("x")
    assert own.status == "refused"
    assert "replicator posts blocks" in str(own.reason)
    assert alpha.digests() == set()
    moderation.unblock(alpha.node, [BlockName("id", "alpha/p"), BlockName("node", "alpha")])
    assert alpha.publish("x", id="p")[0].status == "stored"


def test_a_blocked_node_is_a_peer_still_and_passes_on_posts_of_others() -> None:
    pool, alpha, beta, gamma = trio()
    moderation.block(beta.node, [BlockName("node", "alpha")], "")
    gamma.publish("by gamma")
    (post,) = gamma.posts()
    alpha.store.add([Incoming(post, gamma.id, frozenset({pool.key.public}))], NOW_MS)
    alpha.publish("by alpha")
    gamma.doorbell.take()
    pull(beta.node, alpha.id)
    pool.settle()
    assert beta.texts() == {"by gamma"}


def test_upkeep_goes_on_where_a_kill_stopped_it() -> None:
    pool, alpha, beta = pair(limits=Limits(expire_items_max=5))
    alpha.publish_many(23)
    pool.settle()
    name = BlockName("node", "alpha")
    beta.store.add_blocks([name], "", NOW_MS)
    beta.store.apply_blocks(NOW_MS)
    assert len(beta.digests()) == 18
    upkeep(beta.node)
    assert (beta.digests(), beta.store.blocks()[0].done) == (set(), True)
    beta.store.lift_blocks([name])
    beta.store.apply_blocks(NOW_MS)
    upkeep(beta.node)
    assert beta.store.totals().decided == 0
    assert upkeep(beta.node).blocked == 0


def test_a_long_reason_is_refused_before_anything_is_done() -> None:
    _, alpha, _ = pair()
    with pytest.raises(ConfigurationError, match="200 characters"):
        moderation.block(alpha.node, [BlockName("node", "bad.example")], "x" * 201)
    assert alpha.store.blocks() == []


def test_a_post_that_was_judged_just_before_it_was_blocked_is_not_stored() -> None:
    pool, alpha, beta = pair()
    post = one_post(alpha)
    judged = Incoming(post, alpha.id, frozenset({pool.key.public}))
    moderation.block(beta.node, [KINDS["node"](post)], "")
    beta.store.add([replace(judged)], NOW_MS)
    assert beta.digests() == set()
    assert items(beta, pool) == items(alpha, pool)
