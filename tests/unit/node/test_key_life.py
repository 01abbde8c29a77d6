"""Nodes whose keys change: what they sign with, what counts at others, what a left pool ends."""

from dataclasses import replace
from typing import Any

from replicator.node import node_page
from replicator.node.announce import announce
from replicator.node.comparing import compare
from replicator.node.pull import pull
from replicator.node.reconciler import tick
from replicator.protocol import announcement, codec, node_document
from replicator.protocol.announcement import Announced
from replicator.protocol.messages import Pull, Put, Reconcile
from replicator.protocol.post import Post
from replicator.protocol.signing import PrivateKey
from replicator.rules import key_life
from tests.support.drifted import drifted, repair_from, synced
from tests.support.pool import NOW_MS, Member, Pool, pair, read, send

DAY = 86_400_000
NEW = PrivateKey.generate()
HEIR = PrivateKey.generate()


def become(pool: Pool, member: Member, **changes: Any) -> Member:
    """Return the member as it is after a restart with other keys."""
    node = replace(member.node, identity=replace(member.node.identity, **changes))
    renewed = replace(member, node=node)
    pool.nodes[member.address] = node
    pool.members[pool.members.index(member)] = renewed
    return renewed


def rotated(pool: Pool, member: Member, *, overlap: int = DAY) -> Member:
    """Return the member after a rotation to the key `NEW` and a restart."""
    identity = member.node.identity
    (old,) = identity.node_keys
    before = key_life.founding(member.id, [old.public])
    after = key_life.rotated(before, NEW.public, member.clock.now(), overlap, 16)
    tree = announcement.sign(after, (NEW, old))
    return become(pool, member, node_keys=(NEW, old), announced=Announced(after, tree))


def keys_of(post: Post) -> set[str]:
    return {signature.key for signature in post.signatures}


# --- node keys ------------------------------------------------------------------------------------


def test_during_the_overlap_a_peer_that_has_not_heard_of_the_new_key_takes_everything() -> None:
    pool, alpha, beta = pair()
    (old,) = alpha.node.identity.node_keys
    alpha = rotated(pool, alpha)
    alpha.publish("by both")
    pool.settle()
    (post,) = beta.posts()
    assert keys_of(post) == {NEW.public, old.public, pool.key.public}
    beta.publish("asked for")
    pool.settle()
    assert pull(alpha.node, beta.id).ended == pull(beta.node, alpha.id).ended == "done"
    assert alpha.texts() == beta.texts() == {"by both", "asked for"}


def test_a_running_node_signs_no_more_with_a_key_whose_overlap_ended() -> None:
    pool, alpha, _ = pair()
    (old,) = alpha.node.identity.node_keys
    alpha = rotated(pool, alpha)
    pool.clock.advance(DAY / 1000 - 1)
    alpha.publish("during", id="during")
    pool.clock.advance(1)
    alpha.publish("after", id="after")
    signed = {post.content.text: keys_of(post) - {pool.key.public} for post in alpha.posts()}
    assert signed == {"during": {NEW.public, old.public}, "after": {NEW.public}}
    credentials = alpha.node.identity.credentials(alpha.clock.now())
    assert credentials.keys == ((NEW.public, "node"), (pool.key.public, "pool"))


def test_the_node_document_lists_the_new_key_first_and_carries_the_announcement() -> None:
    pool, alpha, _ = pair()
    (old,) = alpha.node.identity.node_keys
    plain = node_document.read_tree(codec.read(node_page.current(alpha.node), dict[str, Any]))
    assert (plain.announcement, plain.keys) == (None, (old.public,))
    alpha = rotated(pool, alpha)
    for media_type in (codec.JSON, codec.XML):
        body = codec.encode(media_type, node_page.current(alpha.node))
        document = node_document.read(media_type, body, alpha.node.limits)
        assert document.keys == (NEW.public, old.public)
        found = announcement.of_document(document, alpha.node.limits)
        assert found is not None
        assert (found[0].serial, found[1]) == (1, {NEW.public, old.public})


def test_own_posts_come_back_under_a_retired_key_and_not_under_a_revoked_one() -> None:
    pool, alpha, beta = pair()
    (old,) = alpha.node.identity.node_keys
    alpha.publish("old", id="old")
    pool.settle()
    alpha = rotated(pool, alpha, overlap=0)
    (post,) = beta.posts()
    request = codec.request_tree(Put(models=(codec.model_tree(post),)))
    after = key_life.revoked(alpha.node.identity.announced.content, old.public, NOW_MS)
    gone = Announced(after, announcement.sign(after, (NEW, old)))
    for announced, result in ((gone, "refused"), (alpha.node.identity.announced, "stored")):
        fresh = pool.add("alpha-restored")
        identity = replace(
            fresh.node.identity, node_id=alpha.id, node_keys=(NEW,), announced=announced
        )
        node = replace(fresh.node, identity=identity)
        rebuilt = replace(fresh, node=node)
        rebuilt.store.pin(beta.id, sorted(beta.node.identity.public_node_keys), "operator", 0)
        (item,) = read(send(beta, rebuilt, request))["items"]
        assert item["result"] == result
        if result == "refused":
            assert item["reason"] == "origin-key"


# --- pools ----------------------------------------------------------------------------------------


def succeeded(pool: Pool, member: Member) -> Member:
    """Return the member after its pool was replaced by the pool `HEIR`, and a restart."""
    return become(pool, member, pool_keys=(HEIR,), heirs={pool.key.public: HEIR.public})


def test_posts_of_a_replaced_pool_go_on_to_members_that_have_the_new_key() -> None:
    """Published under the old key, not delivered before both members took the new one."""
    pool, alpha, beta = pair()
    alpha.publish("under the old key")
    alpha.doorbell.take()
    alpha, beta = succeeded(pool, alpha), succeeded(pool, beta)
    assert announce(alpha.node, beta.id).posts == 0, "nobody proved the new key yet"
    pull(beta.node, alpha.id)
    assert beta.texts() == {"under the old key"}
    assert alpha.peer(beta).pools == {pool.key.public, HEIR.public}
    alpha.publish("under the new key")
    pool.settle()
    assert beta.texts() == {"under the old key", "under the new key"}
    late = [post for post in beta.posts() if post.content.text == "under the new key"]
    assert HEIR.public in keys_of(late[0])
    assert pool.key.public not in keys_of(late[0])


def test_a_lane_goes_on_with_what_it_had_to_say_under_the_replaced_key() -> None:
    pool, alpha, beta = pair()
    alpha.publish("under the old key")
    alpha.doorbell.take()
    alpha, beta = succeeded(pool, alpha), succeeded(pool, beta)
    alpha.store.join_pools(beta.id, {HEIR.public})
    pool.clock.advance(3_600)  # the ring of the publishing is forgotten
    assert tick(alpha.node).announce == 1
    assert announce(alpha.node, beta.id).posts == 1
    assert beta.texts() == {"under the old key"}


def test_sets_of_a_replaced_pool_are_still_compared_and_repaired() -> None:
    pool, alpha, beta = drifted(here=5, there=0)
    alpha, beta = succeeded(pool, alpha), succeeded(pool, beta)
    pull(beta.node, alpha.id)
    assert len(alpha.digests() - beta.digests()) == 5
    found = compare(beta.node, beta.peer(alpha), pool.key.public, deadline=float("inf"))
    assert len(found.need) == 5
    synced(alpha, beta)
    assert repair_from(pool, beta, alpha).pools == 2
    assert beta.digests() == alpha.digests()


def test_the_old_pool_key_alone_brings_in_nothing_and_opens_nothing() -> None:
    """Whoever else holds the key that was replaced is no member any more."""
    pool, alpha, beta = pair()
    alpha.publish("kept")
    alpha.doorbell.take()
    alpha = succeeded(pool, alpha)
    thief = pool.add("thief")
    thief.publish("brought in")
    stranger = thief.posts()[0]
    for request in (
        Put(models=(codec.model_tree(stranger),)),
        Pull(),
        Pull(scope=pool.key.public),
        Reconcile(pool.key.public, 0, "YQ"),
    ):
        answer = read(send(thief, alpha, codec.request_tree(request)))
        assert (answer["status"], answer["code"]) == ("error", "unknown-sender")
    # a pinned peer that has not taken the new key is in no pool
    give = codec.request_tree(Put(models=(codec.model_tree(stranger),)))
    assert read(send(beta, alpha, give))["code"] == "forbidden"
    answer = read(send(beta, alpha, codec.request_tree(Pull(scope=pool.key.public))))
    assert answer["code"] == "forbidden"
    assert alpha.texts() == {"kept"}


def test_a_member_that_took_the_new_key_may_bring_what_only_the_old_one_signed() -> None:
    pool, alpha, beta = pair()
    stranger = pool.add("stranger")
    stranger.publish("relayed")
    (post,) = stranger.posts()
    alpha, beta = succeeded(pool, alpha), succeeded(pool, beta)
    request = codec.request_tree(Put(models=(codec.model_tree(post),)))
    (item,) = read(send(beta, alpha, request))["items"]
    assert item["result"] == "stored"
    assert alpha.texts() == {"relayed"}


def test_a_left_pool_is_neither_served_nor_called_for_nor_accepted() -> None:
    pool, alpha, beta = pair()
    alpha.publish("stays here")
    alpha.doorbell.take()
    alpha = become(pool, alpha, pool_keys=())
    assert pool.key.public in alpha.peer(beta).pools, "what was proved once is still written down"
    assert announce(alpha.node, beta.id).posts == 0
    for ring in ("repair", "roster"):
        alpha.work.set_dues(ring, {beta.id: alpha.clock.now()})
    ticked = tick(alpha.node)
    assert (ticked.announce, ticked.repair, ticked.roster) == (0, 0, 0)
    answer = read(send(beta, alpha, codec.request_tree(Pull(scope=pool.key.public))))
    assert answer["code"] == "forbidden"
    beta.publish("of a member")
    beta.doorbell.take()
    give = codec.request_tree(Put(models=tuple(codec.model_tree(post) for post in beta.posts())))
    assert read(send(beta, alpha, give))["code"] == "forbidden"
    alpha.publish("alone")
    pool.settle()
    assert [keys_of(post) for post in alpha.posts() if post.content.text == "alone"] == [
        set(alpha.node.identity.public_node_keys)
    ]
    assert alpha.texts() == {"stays here", "alone"}
    assert beta.texts() == {"of a member"}
