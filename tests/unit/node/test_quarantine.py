"""Posts of unknown origin wait apart, are asked for once, and come out when it is known."""

from dataclasses import replace

import pytest

from replicator.limits import Limits
from replicator.node import contact, moderation, quarantine
from replicator.node.fetch import fetch
from replicator.node.ports import Incoming, Query
from replicator.node.pull import pull
from replicator.node.repair import repair
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.messages import Get, Put
from replicator.protocol.signing import PrivateKey
from replicator.rules.breaker import Breaker
from replicator.rules.policy import Policy
from tests.support.drifted import watched
from tests.support.pool import NOW_MS, breaker_of, know, read, run, send
from tests.support.relayed import OPEN_TO_PEERS, Relayed, relayed, signed_by, with_pools

DAY = 86_400


def put_models(scene: Relayed, posts) -> list[tuple[str, str | None]]:
    models = tuple(codec.model_tree(post) for post in posts)
    return results(send(scene.relay, scene.here, codec.request_tree(Put(models=models))))


def put_refs(scene: Relayed, posts) -> list[tuple[str, str | None]]:
    refs = tuple(post.ref for post in posts)
    return results(send(scene.relay, scene.here, codec.request_tree(Put(refs=refs))))


def results(answer) -> list[tuple[str, str | None]]:
    return [(item["result"], item.get("reason")) for item in read(answer)["items"]]


LATER = ("later", "unknown-origin")
REFUSED = ("refused", "unknown-origin")


def test_a_put_post_of_unknown_origin_waits_and_is_nowhere_to_be_seen() -> None:
    scene = relayed()
    posts = scene.hold("hello")
    assert put_models(scene, posts) == [LATER]
    assert scene.waiting() == {posts[0].digest}
    here = scene.here
    assert here.digests() == here.store.known([posts[0].digest]) == set()
    asked = read(send(scene.relay, here, codec.request_tree(Get(digests=(posts[0].digest,)))))
    assert (asked["models"], asked["missing"]) == ([], [{"digest": posts[0].digest}])
    assert here.store.page(Query(), None).posts == ()
    assert here.doorbell.take() == []


def test_what_waits_is_answered_the_same_again_and_no_ref_of_it_is_fetched() -> None:
    scene = relayed()
    posts = scene.hold("hello")
    assert put_models(scene, posts) == put_models(scene, posts) == [LATER]
    assert put_refs(scene, posts) == [LATER]
    assert scene.here.work.queued() == {}
    assert scene.here.doorbell.take() == []


def test_where_peers_may_not_put_a_post_of_unknown_origin_is_refused_and_not_kept() -> None:
    scene = relayed(here=Policy(pull="peers", get="peers"), shares_pool=True)
    posts = scene.hold("hello")
    assert put_models(scene, posts) == [REFUSED]
    pull(scene.here.node, scene.relay.id)
    assert scene.waiting() == set()
    assert scene.here.store.totals().gaps == 0


@pytest.mark.parametrize(
    "limits",
    [
        Limits(quarantine_posts_per_peer_max=1),
        Limits(quarantine_bytes_per_peer_max=200),
        Limits(quarantine_posts_max=1),
        Limits(quarantine_bytes_max=200),
    ],
)
def test_what_finds_no_room_is_refused(limits: Limits) -> None:
    scene = relayed(limits=limits)
    posts = scene.hold("one", "two")
    assert put_models(scene, posts) == [LATER, REFUSED]
    assert scene.waiting() == {posts[0].digest}


def test_a_post_that_would_be_refused_anyway_is_not_kept() -> None:
    scene = relayed()
    posts = scene.hold("tomorrow", published=NOW_MS + 2 * DAY * 1000)
    assert put_models(scene, posts) == [REFUSED]
    assert scene.waiting() == set()


def test_a_pulled_post_of_unknown_origin_holds_no_gap_open_and_is_pulled_once() -> None:
    scene = relayed()
    scene.hold(*(f"post {number}" for number in range(20)))
    transport, here = watched(scene.pool, scene.here, scene.relay)
    upkeep(here.node)
    report = pull(here.node, scene.relay.id)
    assert (report.ended, report.stored, report.wanted) == ("done", 0, 0)
    assert len(scene.waiting()) == 20
    assert here.store.totals().gaps == 0
    assert here.work.queued() == {}
    assert here.peer(scene.relay).pulled == scene.relay.store.end_cursor()
    transport.calls.clear()
    for _ in range(3):
        pull(here.node, scene.relay.id)
        upkeep(here.node)
    scene.pool.settle()
    assert transport.calls == {"pull": 3}


def test_a_log_that_is_read_again_does_not_bring_what_waits_again() -> None:
    scene = relayed()
    scene.hold(*(f"post {number}" for number in range(20)))
    transport, here = watched(scene.pool, scene.here, scene.relay)
    pull(here.node, scene.relay.id)
    cursor = here.peer(scene.relay).pulled
    here.store.record_pull(scene.relay.id, cursor, None, now=NOW_MS)
    transport.calls.clear()
    report = pull(here.node, scene.relay.id)
    scene.pool.settle()
    # one page of refs, none of models
    assert transport.calls == {"pull": 1}
    assert report.wanted == 0


def test_what_is_pulled_beyond_the_room_is_left_to_a_backfill() -> None:
    scene = relayed(limits=Limits(quarantine_posts_per_peer_max=5))
    scene.hold(*(f"post {number}" for number in range(20)))
    transport, here = watched(scene.pool, scene.here, scene.relay)
    pull(here.node, scene.relay.id)
    assert len(scene.waiting()) == 5
    assert here.store.totals().gaps == 0
    transport.calls.clear()
    pull(here.node, scene.relay.id)
    assert transport.calls == {"pull": 1}
    scene.pin()
    upkeep(here.node)
    assert len(here.digests()) == 5
    report = pull(here.node, scene.relay.id)
    assert report.backfilled == 15
    assert here.digests() == scene.origin.digests()


def test_a_fetched_post_of_unknown_origin_leaves_the_queue_without_an_attempt() -> None:
    scene = relayed()
    posts = scene.hold("one", "two")
    transport, here = watched(scene.pool, scene.here, scene.relay)
    assert put_refs(scene, posts) == [("wanted", None)] * 2
    report = fetch(here.node, scene.relay.id)
    assert (report.stored, report.failed) == (0, 0)
    assert here.work.queued() == {}
    assert here.work.dead(10) == []
    assert scene.waiting() == {post.digest for post in posts}
    assert put_refs(scene, posts) == [LATER] * 2
    scene.pool.settle()
    assert transport.calls == {"get": 1}


def test_a_gap_is_closed_by_what_waits_for_its_origin() -> None:
    scene = relayed()
    posts = scene.hold("one")
    here = scene.here
    end = scene.relay.store.end_cursor()
    here.store.record_pull(scene.relay.id, None, end, gaps=[posts[0].ref], now=NOW_MS)
    upkeep(here.node)
    fetch(here.node, scene.relay.id)
    assert here.store.totals().gaps == 0
    assert here.work.queued() == {}


def test_repair_asks_once_for_what_a_mate_counts_to_the_pool_and_nobody_knows() -> None:
    """The mate says that a post stands in the pool which the pool has not signed."""
    scene = relayed(shares_pool=True)
    scene.origin.publish("not of the pool")
    (post,) = scene.origin.posts()
    pools = frozenset({scene.pool.key.public})
    scene.relay.store.add([Incoming(post, scene.origin.id, pools)], NOW_MS)
    pull(scene.here.node, scene.relay.id)
    transport, here = watched(scene.pool, scene.here, scene.relay)
    for _ in range(3):
        report = repair(here.node, scene.relay.id)
        scene.pool.settle()
        assert (report.ended, report.wanted) == ("done", 0)
    assert scene.waiting() == {post.digest}
    assert transport.calls == {"reconcile": 3}


def test_repair_that_finds_it_first_fetches_it_once() -> None:
    scene = relayed(shares_pool=True)
    scene.relay.publish("of the pool")
    pull(scene.here.node, scene.relay.id)
    scene.origin.publish("not of the pool")
    (post,) = scene.origin.posts()
    pools = frozenset({scene.pool.key.public})
    scene.relay.store.add([Incoming(post, scene.origin.id, pools)], NOW_MS)
    transport, here = watched(scene.pool, scene.here, scene.relay)
    here.doorbell.take()
    for _ in range(3):
        repair(here.node, scene.relay.id)
        for ring in here.doorbell.take():
            run(here, ring)
    assert scene.waiting() == {post.digest}
    # refs and models once, of the first run
    assert transport.calls == {"reconcile": 3, "get": 2}


def test_posts_come_out_when_their_origin_is_pinned_and_are_served() -> None:
    scene = relayed()
    posts = scene.hold("one", "two")
    put_models(scene, posts)
    reader = scene.pool.add("reader", pools=[], policy=OPEN_TO_PEERS)
    scene.pool.acquaint(reader, scene.here)
    know(reader, scene.origin)
    assert upkeep(scene.here.node).released == 0
    scene.pin()
    assert upkeep(scene.here.node).released == 2
    assert scene.here.digests() == {post.digest for post in posts}
    assert scene.waiting() == set()
    pull(reader.node, scene.here.id)
    assert reader.digests() == scene.here.digests()
    assert upkeep(scene.here.node).released == 0


def test_the_operator_who_adds_the_origin_lets_its_posts_out_at_once() -> None:
    scene = relayed()
    put_models(scene, scene.hold("one"))
    contact.accept(scene.here.node, contact.introduce(scene.here.node, scene.origin.address))
    assert scene.here.texts() == {"one"}


def test_what_the_origin_did_not_sign_is_dropped_and_charged_to_nobody() -> None:
    scene = relayed()
    (post,) = scene.hold("one")
    forged = signed_by(post, PrivateKey.generate())
    assert put_models(scene, [forged]) == [LATER]
    scene.pin()
    assert upkeep(scene.here.node).released == 0
    assert scene.waiting() == set()
    assert scene.here.store.known([post.digest]) == set()
    assert breaker_of(scene.here, scene.relay) == Breaker()
    assert scene.here.work.refusals(10) == []
    # and the true one is taken
    assert put_models(scene, [post]) == [("stored", None)]


def test_a_bad_copy_of_one_peer_does_not_keep_the_good_one_of_another_out() -> None:
    scene = relayed()
    (post,) = scene.hold("one")
    eve = scene.pool.add("eve", pools=[], policy=OPEN_TO_PEERS)
    scene.pool.acquaint(eve, scene.here)
    junk = signed_by(post, *(PrivateKey.generate() for _ in range(8)))
    model = codec.model_tree(junk)
    assert results(send(eve, scene.here, codec.request_tree(Put(models=(model,))))) == [LATER]
    assert put_models(scene, [post]) == [LATER]
    scene.pin()
    upkeep(scene.here.node)
    assert scene.here.texts() == {"one"}
    assert scene.waiting() == set()


def test_a_better_copy_of_the_same_peer_counts() -> None:
    scene = relayed()
    (post,) = scene.hold("one")
    put_models(scene, [signed_by(post, *(PrivateKey.generate() for _ in range(8)))])
    assert put_models(scene, [post]) == [LATER]
    scene.pin()
    upkeep(scene.here.node)
    assert scene.here.texts() == {"one"}


def test_posts_come_out_when_their_pool_is_joined() -> None:
    scene = relayed()
    other = PrivateKey.generate()
    author = scene.pool.add("author", pools=[other])
    author.publish("of another pool")
    posts = author.posts()
    assert put_models(scene, posts) == [LATER]
    here = with_pools(scene.pool, scene.here, other)
    assert upkeep(here.node).released == 1
    assert here.texts() == {"of another pool"}
    assert len(here.store.refs(digests=[posts[0].digest], scopes=frozenset({other.public}))) == 1


def test_what_came_from_elsewhere_meanwhile_leaves_the_quarantine() -> None:
    scene = relayed(shares_pool=True)
    mate = scene.pool.add("mate")
    scene.pool.acquaint(scene.here, mate)
    (post,) = scene.hold("one")
    put_models(scene, [post])
    signed = signed_by(post, scene.pool.key)
    model = codec.model_tree(signed)
    answer = send(mate, scene.here, codec.request_tree(Put(models=(model,))))
    assert results(answer) == [("stored", None)]
    upkeep(scene.here.node)
    assert scene.waiting() == set()


def test_what_waits_too_long_is_forgotten() -> None:
    scene = relayed(limits=Limits(quarantine_seconds=30 * DAY))
    put_models(scene, scene.hold("one"))
    scene.pool.clock.advance(29 * DAY)
    upkeep(scene.here.node)
    assert len(scene.waiting()) == 1
    scene.pool.clock.advance(2 * DAY)
    upkeep(scene.here.node)
    assert scene.waiting() == set()


def test_what_a_forgotten_peer_gave_goes_with_it() -> None:
    scene = relayed()
    put_models(scene, scene.hold("one"))
    scene.here.store.forget_peer(scene.relay.id)
    scene.pin()
    upkeep(scene.here.node)
    assert scene.here.digests() == set()


def test_what_is_released_beyond_one_batch_of_bytes_all_comes_out() -> None:
    scene = relayed()
    posts = scene.hold(*(str(number) * 50_000 for number in range(1, 13)))
    pull(scene.here.node, scene.relay.id)
    assert len(scene.waiting()) == len(posts)
    scene.pin()
    assert quarantine.release(scene.here.node) == len(posts)
    assert scene.here.digests() == scene.origin.digests()


def test_a_narrower_policy_keeps_what_waits_waiting() -> None:
    scene = relayed()
    put_models(scene, scene.hold("one"))
    scene.pin()
    narrow = replace(scene.here.node, policy=Policy())
    assert quarantine.release(narrow) == 0
    assert len(scene.waiting()) == 1
    assert quarantine.release(scene.here.node) == 1


@pytest.mark.parametrize("name", ["node:origin", "digest", "id"])
def test_what_the_operator_blocks_waits_no_longer_and_is_refused(name: str) -> None:
    scene = relayed()
    posts = scene.hold("one")
    put_models(scene, posts)
    named = {"digest": posts[0].digest, "id": posts[0].id}.get(name, name)
    moderation.block(scene.here.node, [moderation.parse_name(named)], "for the test")
    upkeep(scene.here.node)
    assert scene.waiting() == set()
    assert put_models(scene, posts) == [REFUSED]
    assert scene.waiting() == set()


def test_of_senders_beyond_the_peers_that_are_kept_nothing_is_set_aside() -> None:
    scene = relayed(limits=Limits(peers_max=1), shares_pool=True)
    post = signed_by(scene.hold("hello")[0], PrivateKey.generate())
    for name in ("first", "second"):
        guest = scene.pool.add(name)
        know(guest, scene.here)
        models = (codec.model_tree(post),)
        answer = send(guest, scene.here, codec.request_tree(Put(models=models)))
        assert results(answer) == [REFUSED]
    assert scene.waiting() == set()
