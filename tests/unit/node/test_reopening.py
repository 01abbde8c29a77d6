"""What a member forged in the name of an origin gives way, at once, when the origin is known."""

from dataclasses import replace
from itertools import count
from typing import Any

import msgspec

from replicator.limits import Limits
from replicator.node import moderation
from replicator.node.contact import accept, introduce, trust
from replicator.node.ports import BlockName, Pin
from replicator.node.rekeying import SOURCE, take_announcement
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.messages import Put
from replicator.protocol.post import Post
from replicator.protocol.signing import PrivateKey, sign_post
from tests.support.drifted import repair_from
from tests.support.pool import Member, Pool, know, pair, read, send
from tests.unit.node.test_rekeying import old_key, revoked, rotated


def forged_from(post: Post, pool: Pool, *keys: PrivateKey) -> Post:
    """Return another content of a post's id, with a smaller digest, under the pool's key."""
    limits = pool.members[0].node.limits
    for number in count():
        content = msgspec.structs.replace(post.content, text=f"forged {number}")
        made = sign_post(content, (pool.key, *keys), limits)
        if made.digest < post.digest:
            return made
    raise AssertionError


def scene(*keys: PrivateKey, **options: Any) -> tuple[Pool, Member, Member, Post, Post]:
    """Return an origin, a node that does not know it and holds what mallory forged, and both."""
    pool, alpha, beta = pair(**options)
    mallory = pool.add("mallory")
    pool.acquaint(mallory, beta)
    beta.store.forget_peer(alpha.id)
    alpha.publish("real")
    (real,) = alpha.posts()
    forged = forged_from(real, pool, *keys)
    put(mallory, beta, forged)
    assert beta.posts() == [forged]
    return pool, alpha, beta, real, forged


def put(sender: Member, recipient: Member, post: Post) -> None:
    send(sender, recipient, codec.request_tree(Put(models=(codec.model_tree(post),))))


def test_the_operator_who_adds_the_origin_gets_its_posts() -> None:
    pool, alpha, beta, real, forged = scene()
    put(pool.members[2], beta, real)
    assert beta.posts() == [forged]
    assert [one.node for one in beta.store.equivocators()] == [alpha.id]
    accept(beta.node, introduce(beta.node, alpha.address))
    assert beta.posts() == [real]
    assert beta.store.equivocators() == []
    put(pool.members[2], beta, forged)
    assert beta.posts() == [real]
    assert beta.store.known([forged.digest]) == set()


def test_an_origin_that_comes_by_itself_is_pinned_and_its_posts_judged_anew_in_the_next_round() -> (
    None
):
    pool, alpha, beta, real, forged = scene()
    put(pool.members[2], beta, real)
    alpha.publish("another")
    put(alpha, beta, next(post for post in alpha.posts() if post != real))
    assert beta.store.pins(alpha.id)
    assert upkeep(beta.node).reopened == 1
    assert upkeep(beta.node).reopened == 0
    assert real in beta.posts()
    assert forged not in beta.posts()


def test_what_is_no_longer_kept_as_proof_is_looked_for_at_peers() -> None:
    pool, alpha, beta, real, forged = scene(limits=Limits(equivocations_max=1))
    put(pool.members[2], beta, real)
    other = pool.add("other")
    other.publish("of another node")
    for post in (*other.posts(), forged_from(*other.posts(), pool)):
        put(pool.members[2], beta, post)
    assert [proof.id for proof in beta.store.equivocations()] == [other.posts()[0].id]
    know(beta, alpha)
    while (step := beta.store.reopen(beta.clock.now())) and step.origin != alpha.id:
        beta.store.end_reopening(step)
    assert step is not None
    assert step.digests == (real.digest,)  # and a kill
    assert upkeep(beta.node).reopened == 0
    assert forged in beta.posts()
    assert beta.work.dues("repair", [alpha.id])[alpha.id] <= beta.clock.now()
    repair_from(pool, beta, alpha)
    assert real in beta.posts()
    assert forged not in beta.posts()


def test_a_forged_post_that_was_blocked_and_unblocked_keeps_nothing_out() -> None:
    pool, alpha, beta, real, forged = scene()
    name = BlockName("digest", forged.digest)
    moderation.block(beta.node, [name], "forged")
    put(pool.members[2], beta, real)
    assert beta.posts() == []
    accept(beta.node, introduce(beta.node, alpha.address))
    put(alpha, beta, real)
    assert beta.posts() == [real]
    moderation.unblock(beta.node, [name])
    put(pool.members[2], beta, forged)
    assert beta.posts() == [real]


def test_what_a_thief_signed_gives_way_when_the_operator_trusts_another_key() -> None:
    thief = PrivateKey.generate()
    _, alpha, beta, real, forged = scene(thief)
    beta.store.pin(alpha.id, [thief.public], "pool", beta.clock.now())
    upkeep(beta.node)
    assert beta.posts() == [forged]
    trust(beta.node, alpha.id, sorted(alpha.node.identity.public_node_keys), revoke=True)
    put(alpha, beta, real)
    assert beta.posts() == [real]
    assert beta.store.known([forged.digest]) == set()


def test_what_had_lost_to_a_blocked_forgery_comes_back_when_the_block_is_lifted() -> None:
    pool, _, beta, real, forged = scene()
    put(pool.members[2], beta, real)
    name = BlockName("digest", forged.digest)
    moderation.block(beta.node, [name], "forged")
    assert beta.posts() == []
    moderation.unblock(beta.node, [name])
    assert beta.posts() == [real]
    assert beta.store.known([forged.digest]) == set()


def test_a_kill_between_a_pin_or_an_unblocking_and_the_search_costs_no_post() -> None:
    pool, alpha, beta, _, _ = scene()
    fresh = PrivateKey.generate()
    beta.store.record_pull(pool.members[2].id, None, beta.store.end_cursor(), now=1)
    beta.store.pin(alpha.id, alpha.node.identity.public_node_keys, "operator", 1)
    upkeep(beta.node)
    asked = []
    for step in (
        lambda: beta.store.repin(alpha.id, [fresh.public], 2),  # of `trust`
        lambda: beta.store.add_blocks([BlockName("node", alpha.id)], "", 2),
        lambda: beta.store.lift_blocks([BlockName("node", alpha.id)]),  # of `unblock`
    ):
        for job in beta.store.backfills():
            beta.store.end_backfill(job)
        step()
        upkeep(beta.node)
        asked.append([job.query for job in beta.store.backfills()])
    whole = f'{{"filter":{{"nodes":["{alpha.id}"]}}}}'
    assert asked == [[whole], [], [whole]]


def test_who_announces_keys_all_the_time_has_not_all_peers_asked_each_time() -> None:
    pool, alpha, beta, real, _ = scene()
    put(pool.members[2], beta, real)
    beta.store.record_pull(pool.members[2].id, None, beta.store.end_cursor(), now=1)
    keys = [PrivateKey.generate().public for _ in range(4)]
    now = beta.clock.now()
    beta.store.pin(alpha.id, keys[:1], "address", now - 9)
    upkeep(beta.node)
    asked = []
    for serial, key in enumerate(keys[1:], 1):
        for job in beta.store.backfills():
            beta.store.end_backfill(job)
        before = beta.store.pins(alpha.id)
        taken = [replace(pin, state="revoked") for pin in before]
        assert beta.store.announce(
            alpha.id, before, [*taken, Pin(key, "current", now, SOURCE)], serial
        )
        lost = forged_from(real, pool)
        beta.store.decide([lost], [pool.key.public], "too-large", now)
        upkeep(beta.node)
        asked.append(len(beta.store.backfills()))
    assert asked[1:] == [0, 0]


def test_this_node_holds_of_its_own_ids_what_its_keys_that_stand_have_signed() -> None:
    pool, alpha, beta = pair()
    old = old_key(alpha)
    alpha = rotated(pool, alpha)
    take_announcement(beta.node, introduce(beta.node, alpha.address).document)
    alpha.publish("real")
    pool.settle()
    (real,) = beta.posts()
    mallory = pool.add("mallory")
    pool.acquaint(mallory, alpha, beta)
    forged = forged_from(real, pool, old)
    for member in (alpha, beta):
        put(mallory, member, forged)
    assert alpha.posts() == [forged]
    before, alpha = alpha, revoked(pool, alpha, old.public)
    take_announcement(beta.node, introduce(beta.node, alpha.address).document)
    for _ in range(2):
        for member in (alpha, beta):
            upkeep(member.node)
        pool.settle()
    assert alpha.posts() == beta.posts() == [real]
    assert alpha.store.equivocators() == beta.store.equivocators() == []
    # nor does it go back when a process that was started before looks after it
    upkeep(before.node)
    put(mallory, alpha, forged)
    assert alpha.posts() == [real]


def test_of_many_contents_of_one_id_in_one_delivery_few_reach_the_store() -> None:
    pool, alpha, beta = pair()
    alpha.publish("text")
    (real,) = alpha.posts()
    limits = beta.node.limits
    many = sorted(
        (
            sign_post(msgspec.structs.replace(real.content, text=f"{number}"), (pool.key,), limits)
            for number in range(60)
        ),
        key=lambda one: one.digest,
    )
    beta.store.forget_peer(alpha.id)
    mallory = pool.add("mallory")
    pool.acquaint(mallory, beta)
    document = codec.request_tree(Put(models=tuple(map(codec.model_tree, many))))
    results = read(send(mallory, beta, document))["items"]
    most = limits.contents_per_id_max
    refused = [item["digest"] for item in results if item.get("reason") == "equivocation"]
    assert {one.digest for one in many[most + 1 :]} <= set(refused)
    assert beta.posts() == [many[0]]
    assert beta.store.totals().decided == most
