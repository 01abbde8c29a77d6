"""Putting posts and refs: what a lane offers becomes held at the other side, once."""

from replicator.limits import Limits
from replicator.node.fetch import fetch
from replicator.node.ports import Ring
from replicator.node.pull import pull
from replicator.protocol import codec
from replicator.protocol.messages import Put
from replicator.rules.policy import Policy
from tests.support.pool import NOW_MS, Member, Pool, pair, read, send, trio


def put_models(sender: Member, recipient: Member) -> list[dict[str, str]]:
    models = tuple(codec.model_tree(post) for post in sender.posts())
    return read(send(sender, recipient, codec.request_tree(Put(models=models))))["items"]


def put_refs(sender: Member, recipient: Member) -> list[dict[str, str]]:
    refs = tuple(post.ref for post in sender.posts())
    return read(send(sender, recipient, codec.request_tree(Put(refs=refs))))["items"]


def test_a_published_post_reaches_every_member() -> None:
    pool, alpha, beta, gamma = trio()
    alpha.publish("hello")
    pool.settle()
    assert beta.texts() == gamma.texts() == {"hello"}


def test_a_put_of_models_is_stored_before_it_is_answered() -> None:
    _, alpha, beta = pair()
    alpha.publish("one", "two")
    items = put_models(alpha, beta)
    assert [item["result"] for item in items] == ["stored", "stored"]
    assert beta.digests() == alpha.digests() == {item["digest"] for item in items}


def test_a_put_of_models_that_are_held_is_known() -> None:
    _, alpha, beta = pair()
    alpha.publish("one")
    put_models(alpha, beta)
    last = beta.store.last_change()
    assert [item["result"] for item in put_models(alpha, beta)] == ["known"]
    assert beta.store.last_change() == last


def test_put_refs_are_wanted_fetched_and_stored() -> None:
    _, alpha, beta = pair()
    alpha.publish("one", "two")
    assert [item["result"] for item in put_refs(alpha, beta)] == ["wanted", "wanted"]
    assert beta.digests() == set()
    assert [ring.task for ring in beta.doorbell.take()] == ["fetch"]
    report = fetch(beta.node, alpha.id)
    assert (report.gets, report.stored, report.ended) == (1, 2, "done")
    assert beta.digests() == alpha.digests()
    assert beta.work.queued() == {}


def test_put_refs_of_held_posts_are_known() -> None:
    _, alpha, beta = pair()
    alpha.publish("one")
    put_models(alpha, beta)
    assert [item["result"] for item in put_refs(alpha, beta)] == ["known"]
    assert beta.work.queued() == {}


def test_one_bad_item_of_a_put_is_one_bad_item() -> None:
    _, alpha, beta = pair()
    alpha.publish("one", "two", "three")
    first, second, third = (codec.model_tree(post) for post in alpha.posts())
    broken = {"content": {"id": "alpha/x"}, "signatures": []}
    crossed = {"content": second.content, "signatures": first.signatures}
    request = codec.request_tree(Put(models=(first, broken, crossed, third)))
    items = read(send(alpha, beta, request))["items"]
    assert [item["result"] for item in items] == ["stored", "refused", "refused", "stored"]
    assert items[1]["reason"].startswith("malformed")
    assert items[2]["reason"] == "bad-signature"
    assert len(beta.digests()) == 2


def test_the_same_post_twice_in_one_put_is_stored_once() -> None:
    _, alpha, beta = pair()
    alpha.publish("one")
    (model,) = (codec.model_tree(post) for post in alpha.posts())
    items = read(send(alpha, beta, codec.request_tree(Put(models=(model, model)))))["items"]
    assert [item["result"] for item in items] == ["stored", "known"]
    assert beta.store.totals().posts == 1


def test_a_post_dated_far_ahead_is_refused_as_model_and_as_ref() -> None:
    _, alpha, beta = pair()
    alpha.publish("tomorrow", published=NOW_MS + 90_000_000)
    assert put_models(alpha, beta)[0]["reason"] == "future"
    assert put_refs(alpha, beta)[0]["reason"] == "future"
    assert beta.digests() == set()
    assert beta.work.queued() == {}


def test_a_post_of_no_shared_pool_is_refused() -> None:
    pool = Pool()
    other = Pool().key
    alpha = pool.add("alpha", pools=[pool.key, other])
    beta = pool.add("beta")
    pool.acquaint(alpha, beta)
    from_elsewhere = pool.add("gamma", pools=[other])
    pool.acquaint(alpha, from_elsewhere)
    from_elsewhere.publish("not for beta")
    pool.settle()
    assert alpha.texts() == {"not for beta"}
    assert put_models(alpha, beta)[0]["reason"] == "unknown-origin"
    assert beta.digests() == set()


def test_a_node_in_two_pools_is_no_bridge() -> None:
    pool = Pool()
    other = Pool().key
    bridge = pool.add("bridge", pools=[pool.key, other])
    left, right = pool.add("left"), pool.add("right", pools=[other])
    pool.acquaint(bridge, left)
    pool.acquaint(bridge, right)
    left.publish("left only")
    right.publish("right only")
    pool.settle()
    pull(left.node, bridge.id)
    pull(right.node, bridge.id)
    assert bridge.texts() == {"left only", "right only"}
    assert left.texts() == {"left only"}
    assert right.texts() == {"right only"}


def test_a_node_in_both_pools_publishes_into_both() -> None:
    pool = Pool()
    other = Pool().key
    both = pool.add("both", pools=[pool.key, other])
    left, right = pool.add("left"), pool.add("right", pools=[other])
    pool.acquaint(both, left)
    pool.acquaint(both, right)
    both.publish("everywhere")
    pool.settle()
    assert left.texts() == right.texts() == {"everywhere"}


def test_only_the_entry_node_pushes() -> None:
    pool, alpha, beta, gamma = trio()
    pool.transport.cut(gamma.address)
    alpha.publish("hello")
    rang = pool.settle()
    assert beta.texts() == {"hello"}
    assert gamma.texts() == set()
    assert {(ring.task, ring.peer) for ring in rang} == {
        ("announce", beta.id),
        ("announce", gamma.id),
    }


def test_a_large_post_is_announced_by_its_ref_and_fetched() -> None:
    pool, alpha, beta = pair()
    alpha.publish("small", "L" * (Limits().inline_post_bytes_max + 1), "small too")
    rang = pool.settle()
    assert beta.digests() == alpha.digests()
    assert "fetch" in {ring.task for ring in rang}


def test_refs_that_nobody_can_be_asked_for_are_refused_with_a_reason() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    alpha.publish("hello")
    (item,) = put_refs(alpha, beta)
    assert (item["result"], item["reason"]) == ("refused", "no-address")
    assert beta.work.queued() == {}
    assert beta.peer(alpha).address is None


def test_too_many_items_are_too_large() -> None:
    _, alpha, beta = pair()
    alpha.publish("one")
    (post,) = alpha.posts()
    answer = send(alpha, beta, codec.request_tree(Put(refs=(post.ref,) * 501)))
    assert (answer.status, read(answer)["code"]) == (413, "too-large")


def test_a_pinned_peer_outside_the_pool_may_put_where_policy_says_so() -> None:
    pool = Pool()
    alpha = pool.add("alpha", pools=[])
    closed, open_to_peers = pool.add("closed"), pool.add("open", policy=Policy(put="peers"))
    pool.acquaint(alpha, closed)
    pool.acquaint(alpha, open_to_peers)
    alpha.publish("hello")
    models = tuple(codec.model_tree(post) for post in alpha.posts())
    refused = send(alpha, closed, codec.request_tree(Put(models=models)))
    assert (refused.status, read(refused)["code"]) == (403, "forbidden")
    assert put_models(alpha, open_to_peers)[0]["result"] == "stored"


def test_a_lost_doorbell_is_no_error_of_the_publisher() -> None:
    _, alpha, beta = pair()
    alpha.doorbell.fail()
    assert [result.status for result in alpha.publish("hello")] == ["stored"]
    assert beta.texts() == set()


def test_a_burst_of_posts_is_one_doorbell_per_peer() -> None:
    _, alpha, beta, gamma = trio()
    for number in range(20):
        alpha.publish(f"post {number}")
    rings = alpha.doorbell.take()
    assert [(ring.task, ring.peer) for ring in rings] == [
        ("announce", beta.id),
        ("announce", gamma.id),
    ]
    assert all(isinstance(ring, Ring) and ring.note for ring in rings)
