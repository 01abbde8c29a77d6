"""What is over quota is neither refused nor decided: it is taken when its turn has come."""

from dataclasses import replace

from replicator.node.fetch import fetch
from replicator.node.pull import pull
from replicator.protocol import codec
from replicator.protocol.messages import GetAnswer, Put
from replicator.rules.quotas import DAY_MS, Quotas
from tests.support.pool import Member, Pool, read, send, trio
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
