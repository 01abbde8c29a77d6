"""What is over quota is neither refused nor decided: it is taken when its turn has come."""

from dataclasses import replace

from replicator.node.fetch import fetch
from replicator.node.ports import Incoming
from replicator.node.pull import pull
from replicator.node.quarantine import release
from replicator.protocol import codec
from replicator.protocol.messages import GetAnswer, Put
from replicator.protocol.signing import PrivateKey
from replicator.rules.quotas import DAY_MS, Quotas
from tests.support.pool import NOW_MS, Member, Pool, know, read, send, trio
from tests.support.relayed import relayed, signed_by
from tests.support.watched import Watched


def limited(pool: Pool, member: Member, quotas: Quotas) -> Member:
    """Return a member with quotas."""
    node = replace(member.node, quotas=quotas)
    pool.nodes[member.address] = node
    made = replace(member, node=node)
    pool.members[pool.members.index(member)] = made
    return made


def put(sender: Member, recipient: Member) -> list[tuple[str, str | None]]:
    models = tuple(codec.model_tree(post) for post in sender.posts())
    items = read(send(sender, recipient, codec.request_tree(Put(models=models))))["items"]
    return [(item["result"], item.get("reason")) for item in items]


def later(pool: Pool, member: Member, holder: Member, seconds: float) -> None:
    """Let time pass, and the member fetch what is due then."""
    pool.clock.advance(seconds)
    fetch(member.node, holder.id)


def test_a_put_over_quota_is_later_and_fetched_when_its_turn_has_come() -> None:
    pool, alpha, beta, _ = trio()
    beta = limited(pool, beta, Quotas(peer_posts=4))
    alpha.publish_many(6)
    assert put(alpha, beta) == [("stored", None)] * 4 + [("later", "quota")] * 2
    assert len(beta.digests()) == 4
    assert beta.work.queued() == {alpha.id: 2}
    assert not beta.store.known(alpha.digests() - beta.digests())
    # nothing is taken before
    assert fetch(beta.node, alpha.id).stored == 0
    assert beta.work.lease(alpha.id, 10, 1 << 20, pool.clock.now()) is None
    later(pool, beta, alpha, DAY_MS / 4000)
    assert len(beta.digests()) == 5
    later(pool, beta, alpha, DAY_MS / 4000)
    assert beta.digests() == alpha.digests()
    assert beta.work.queued() == {}
    assert beta.work.dead(10) == []


def test_waiting_for_quota_counts_no_attempt_however_long_it_takes() -> None:
    pool, alpha, beta, _ = trio()
    beta = limited(pool, beta, Quotas(peer_posts=1))
    alpha.publish_many(20)
    put(alpha, beta)
    for _ in range(25):
        later(pool, beta, alpha, DAY_MS / 1000)
    assert beta.digests() == alpha.digests()
    assert beta.work.dead(10) == []


def test_a_pull_over_quota_moves_on_and_forgets_nothing() -> None:
    pool, alpha, beta, _ = trio()
    beta = limited(pool, beta, Quotas(origin_posts=3))
    alpha.publish_many(5)
    pull(beta.node, alpha.id)
    assert len(beta.digests()) == 3
    assert beta.peer(alpha).pulled == alpha.store.end_cursor()
    later(pool, beta, alpha, DAY_MS / 3000)
    later(pool, beta, alpha, DAY_MS / 3000)
    assert beta.digests() == alpha.digests()


def test_one_origin_s_flood_leaves_room_for_others() -> None:
    pool, alpha, beta, gamma = trio()
    gamma = limited(pool, gamma, Quotas(origin_posts=2))
    alpha.publish_many(4)
    beta.publish("other")
    assert [result for result, _ in put(alpha, gamma)] == ["stored"] * 2 + ["later"] * 2
    assert put(beta, gamma) == [("stored", None)]


def test_bytes_are_counted_too_and_a_repeated_post_once() -> None:
    pool, alpha, beta, _ = trio()
    alpha.publish("a" * 500, "b" * 500)
    size = alpha.posts()[0].size
    beta = limited(pool, beta, Quotas(peer_bytes=size + 1))
    post = codec.model_tree(alpha.posts()[0])
    items = read(send(alpha, beta, codec.request_tree(Put(models=(post,) * 3))))["items"]
    assert {item["result"] for item in items} <= {"stored", "known"}
    assert put(alpha, beta) == [("known", None), ("later", "quota")]


def test_posts_that_nobody_asked_for_spend_no_origin_s_quota() -> None:
    pool, alpha, beta, gamma = trio()
    gamma = limited(pool, gamma, Quotas(origin_posts=2))
    alpha.publish("one", "two", "three")
    one, two, *_ = alpha.posts()
    every = tuple(codec.model_tree(post) for post in alpha.posts())
    transport = Watched(pool.transport, beta.node)
    transport.say = lambda tree: GetAnswer(models=every) if tree["type"] == "get" else None
    gamma = replace(gamma, node=replace(gamma.node, transport=transport))
    send(beta, gamma, codec.request_tree(Put(refs=(one.ref,))))
    assert fetch(gamma.node, beta.id).stored == 1
    assert gamma.digests() == {one.digest}
    put_two = Put(models=(codec.model_tree(two),))
    items = read(send(alpha, gamma, codec.request_tree(put_two)))["items"]
    assert [item["result"] for item in items] == ["stored"]


def test_without_quotas_the_work_state_is_not_asked() -> None:
    _, alpha, beta, _ = trio()
    alpha.publish_many(3)
    put(alpha, beta)
    assert beta.work._levels == {}


def test_further_signatures_of_held_posts_spend_nobodys_quota() -> None:
    pool, alpha, beta, gamma = trio()
    alpha.publish_many(5)
    put(alpha, beta)
    pull(gamma.node, alpha.id)
    beta = limited(pool, beta, Quotas(origin_posts=3, peer_posts=3))
    key = PrivateKey.generate()
    models = tuple(
        codec.model_tree(
            replace(post, signatures=(*post.signatures, *signed_by(post, key).signatures))
        )
        for post in gamma.posts()
    )
    repeated = read(send(gamma, beta, codec.request_tree(Put(models=models))))["items"]
    assert {item["result"] for item in repeated} == {"known"}
    alpha.publish("new")
    assert put(alpha, beta).count(("stored", None)) == 1
    assert beta.digests() == alpha.digests()


def test_what_waited_for_its_origin_comes_out_within_quotas() -> None:
    scene = relayed()
    here = scene.here = limited(scene.pool, scene.here, Quotas(peer_posts=4, origin_posts=3))
    scene.hold(*map(str, range(6)))
    assert put(scene.relay, here) == [("later", "unknown-origin")] * 6
    scene.pin()
    assert release(here.node) == len(here.digests()) == 3
    # the rest is fetched when its turn has come
    assert scene.waiting() == set()
    assert here.work.queued() == {scene.relay.id: 3}
    for _ in range(3):
        later(scene.pool, here, scene.relay, DAY_MS / 3000)
    assert here.digests() == scene.relay.digests()


def test_what_is_over_quota_goes_on_waiting_where_its_deliverer_cannot_be_asked() -> None:
    scene = relayed()
    here = scene.here = limited(scene.pool, scene.here, Quotas(peer_posts=2))
    guest = scene.pool.add("guest", pools=[])
    know(guest, here)
    here.store.add_peer(guest.id, None, NOW_MS)
    here.store.pin(guest.id, sorted(guest.node.identity.public_node_keys), "operator", NOW_MS)
    guest.store.add([Incoming(post, scene.origin.id) for post in scene.hold("0", "1", "2")], NOW_MS)
    assert put(guest, here) == [("later", "unknown-origin")] * 3
    scene.pin()
    assert release(here.node) == 2
    assert len(scene.waiting()) == 1
    assert here.work.queued() == {}
    scene.pool.clock.advance(DAY_MS / 2000)
    assert release(here.node) == 1
    assert scene.waiting() == set()
