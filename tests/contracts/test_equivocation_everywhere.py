"""Three contents of one id meet two nodes over every way and in every order; both end equal.

The nodes stand on a store of each kind; whoever delivers a content holds that one alone.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, permutations, product
from typing import Any

import pytest

from replicator.limits import Limits
from replicator.node.fetch import fetch
from replicator.node.ports import Incoming, Store
from replicator.node.pull import pull
from replicator.node.upkeep import upkeep
from replicator.protocol import codec
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Put
from replicator.protocol.post import Post
from replicator.protocol.signing import PrivateKey, verify_posts
from tests.support.drifted import over, repair_from, synced, watched
from tests.support.pool import NOW_MS, Member, Pool, know, send

pytest_plugins = ["tests.support.store_fixtures"]

WAYS = ("put", "get", "pull", "repair")
TWICE = "twice.example"


class Stage:
    """Two nodes on stores of one kind, and an origin that signs whatever it is asked to."""

    def __init__(self, make_stores: Callable[[Limits], Store]) -> None:
        self.pool = Pool()
        self.key = PrivateKey.generate()
        self._numbers = count()
        self.alpha, self.beta = (
            over(self.pool, self.pool.add(name), make_stores(Limits()))
            for name in ("alpha", "beta")
        )
        self.pool.acquaint(self.alpha, self.beta)

    def contents(self, number: int) -> list[Post]:
        """Return three contents of one id, the smallest digest first."""
        made = [self.written(number, text) for text in "abc"]
        return sorted(made, key=lambda post: post.digest)

    def written(self, number: int, text: str, key: PrivateKey | None = None) -> Post:
        """Return a content that a key of its own signed, or ``key``, and the pool's."""
        author = self.pool.add(f"author-{next(self._numbers)}")
        identity = dataclasses.replace(author.node.identity, node_id=TWICE)
        if key is not None:
            identity = dataclasses.replace(identity, node_keys=(key,))
        node = dataclasses.replace(author.node, identity=identity)
        writer = dataclasses.replace(author, node=node)
        writer.publish(text, id=f"p{number}", published=NOW_MS - number)
        self.pool.members.remove(author)
        (made,) = writer.posts()
        return made

    def own_and_forged(self, number: int) -> tuple[list[Post], list[Post]]:
        """Return contents of one id by digest: forged, the origin's own, and so on, five in all."""
        digests = {text: self.written(number, text).digest for text in "abcde"}
        texts = sorted(digests, key=digests.__getitem__)
        forged = [self.written(number, text) for text in texts[::2]]
        return [self.written(number, text, self.key) for text in texts[1::2]], forged

    def deliver(self, post: Post, node: Member, way: str) -> None:
        """Have a content come to a node from a new member that holds nothing else."""
        with self.carrier(post, node) as carrier:
            if way == "put":
                put = Put(models=(codec.model_tree(post),))
                send(carrier, node, codec.request_tree(put))
            elif way == "get":
                node.work.want(carrier.id, [post.ref], NOW_MS)
                fetch(node.node, carrier.id)
            elif way == "pull":
                pull(node.node, carrier.id)
            else:
                synced(node, carrier)
                repair_from(self.pool, node, carrier)
            self.pool.settle()

    @contextmanager
    def carrier(self, post: Post, node: Member) -> Iterator[Member]:
        carrier = self.pool.add(f"carrier-{next(self._numbers)}")
        know(carrier, node)
        know(node, carrier)
        pools = frozenset({self.pool.key.public})
        carrier.store.add([Incoming(post, None, pools)], NOW_MS)
        yield carrier
        node.store.forget_peer(carrier.id)
        self.pool.members.remove(carrier)


@pytest.fixture
def stage(make_stores: Callable[[Limits], Store]) -> Stage:
    return Stage(make_stores)


def state(member: Member, pool: Pool) -> tuple[Any, ...]:
    with member.store.reconciled(pool.key.public, 0) as items:
        reconciled = [(at, bytes(digest)) for at, digest in items.slice(0, len(items))]
    return member.store.digests(), reconciled, [(one.node, one.times) for one in flags(member)]


def flags(member: Member) -> list[Any]:
    return member.store.equivocators()


def cases() -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Return every order, each with every way at every place at least once."""
    orders = list(permutations(range(3)))
    ways = [one for one in product(WAYS, repeat=3) if len({*one}) == 3]
    return [(order, ways[(7 * place) % len(ways)]) for place, order in enumerate(orders * 2)]


def test_two_nodes_end_equal_whatever_came_first_and_how(stage: Stage) -> None:
    alpha, beta, pool = stage.alpha, stage.beta, stage.pool
    met = cases()
    assert {(place, way) for _, ways in met for place, way in enumerate(ways)} == {
        (place, way) for place in range(3) for way in WAYS
    }
    kept = set()
    for number, (order, ways) in enumerate(met):
        contents = stage.contents(number)
        kept.add(contents[0].digest)
        other = met[number * 5 % len(met)]
        for node, (indexes, by) in ((alpha, (order, ways)), (beta, other)):
            for index, way in zip(indexes, by, strict=True):
                stage.deliver(contents[index], node, way)
    assert alpha.digests() == kept
    assert state(alpha, pool) == state(beta, pool)
    assert [(one.node, one.times) for one in flags(alpha)] == [(TWICE, 2 * len(met))]
    proofs = alpha.store.equivocations()
    assert proofs
    for proof in proofs:
        assert proof.kept_post is not None
        assert all(verify_posts([proof.kept_post, proof.lost]))
    for asker, mate in ((alpha, beta), (beta, alpha)):
        synced(alpha, beta)
        transport, seeing = watched(pool, asker, mate)
        repair_from(pool, seeing, mate)
        assert transport.calls == {"reconcile": 1}


def test_what_nobody_holds_any_more_is_given_as_proof_so_that_sets_become_equal(
    stage: Stage,
) -> None:
    alpha, beta, pool = stage.alpha, stage.beta, stage.pool
    small, middle, large = stage.contents(1)
    for post in (large, middle, small):
        stage.deliver(post, alpha, "put")
    stage.deliver(small, beta, "put")
    synced(alpha, beta)
    repair_from(pool, beta, alpha)
    assert state(alpha, pool)[:2] == state(beta, pool)[:2]
    assert [(one.node, one.times) for one in flags(beta)] == [(TWICE, 2)]
    for asker, mate in ((alpha, beta), (beta, alpha)):
        transport, seeing = watched(pool, asker, mate)
        repair_from(pool, seeing, mate)
        assert transport.calls == {"reconcile": 1}


def test_a_post_forged_with_the_pools_key_keeps_out_none_that_its_origin_signed(
    stage: Stage,
) -> None:
    alpha, beta, pool = stage.alpha, stage.beta, stage.pool
    orders = [order for order in permutations(range(5)) if order[0] in (0, 4)][::5]
    kept, forgeries = set(), set()
    for number, order in enumerate(orders):
        own, forged = stage.own_and_forged(number)
        both = [*own, *forged]
        kept.add(own[0].digest)
        forgeries |= {one.digest for one in forged}
        for place, index in enumerate(order):
            stage.deliver(both[index], beta, WAYS[(place + number) % len(WAYS)])
        assert beta.digests() & {one.digest for one in both} == {forged[0].digest}
        # somebody who knew the origin before
        if number == 0:
            alpha.store.pin(NodeId(TWICE), [stage.key.public], "operator", NOW_MS)
        for place, index in enumerate(order):
            stage.deliver(both[index], alpha, WAYS[(place + 2 * number) % len(WAYS)])
    assert alpha.digests() == kept
    assert alpha.store.known(forgeries) == set()

    beta.store.pin(NodeId(TWICE), [stage.key.public], "operator", NOW_MS)
    assert upkeep(beta.node).reopened
    assert upkeep(beta.node).reopened == 0
    pool.settle()
    for asker, mate in ((beta, alpha), (alpha, beta)):
        synced(alpha, beta)
        repair_from(pool, asker, mate)
    assert state(alpha, pool)[:2] == state(beta, pool)[:2]
    assert beta.digests() == kept
    assert beta.store.known(forgeries) == set()
    assert [one.node for one in flags(beta)] == [one.node for one in flags(alpha)] == [TWICE]
    # a forged one is offered to both again, and nothing changes
    before = state(alpha, pool), state(beta, pool)
    for way, node in product(WAYS, (alpha, beta)):
        stage.deliver(forged[0], node, way)
    assert (state(alpha, pool), state(beta, pool)) == before


def test_the_proof_gives_the_last_copy_back_when_its_origin_becomes_known(stage: Stage) -> None:
    beta, pool = stage.beta, stage.pool
    (own, _), (forged, *_) = stage.own_and_forged(1)
    stage.deliver(own, beta, "put")
    stage.deliver(forged, beta, "put")
    assert beta.digests() == {forged.digest}
    beta.store.pin(NodeId(TWICE), [stage.key.public], "operator", NOW_MS)
    assert upkeep(beta.node).reopened == 1
    assert beta.digests() == {own.digest}
    assert state(beta, pool)[1] == [(own.published, bytes.fromhex(own.digest))]
    assert flags(beta) == []
