"""Whatever was passed over for a while arrives in the end: no cursor is the last word."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from replicator.adapters.memory.store import MemoryStore
from replicator.errors import StoreUnavailable
from replicator.limits import Limits
from replicator.node.announce import announce
from replicator.node.fetch import fetch
from replicator.node.ports import Added, Incoming, LanePage, Peer, WireAnswer
from replicator.node.pull import pull
from replicator.protocol import codec, compression
from replicator.protocol.ids import KeyText
from replicator.protocol.signing import PrivateKey
from tests.support.pool import NOW_MS, Member, Pool, know, pair


class FullDisk(MemoryStore):
    """A store that reads and does not write."""

    full = True

    def add(self, items: Sequence[Incoming], now: int) -> list[Added]:
        if self.full:
            raise StoreUnavailable("disk full")
        return super().add(items, now)


def test_a_full_disk_makes_no_dead_letters() -> None:
    pool, alpha, beta = pair()
    alpha.publish("hello")
    store = FullDisk(Limits())
    node = replace(beta.node, store=store)
    beta = replace(beta, node=node, store=store)
    know(beta, alpha)
    beta.work.want(alpha.id, [post.ref for post in alpha.posts()], beta.clock.now())
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            fetch(node, alpha.id)
        pool.clock.advance(Limits().lease_seconds + 1)
    assert beta.work.dead(10) == []
    store.full = False
    assert fetch(node, alpha.id).stored == 1


class Joining(MemoryStore):
    """A store in which a peer proves its pool while its lane is being read."""

    joins: frozenset[KeyText] = frozenset()

    def lane(self, peer: Peer, pools: frozenset[KeyText], limit: int, bytes_max: int) -> LanePage:
        page = super().lane(peer, pools, limit, bytes_max)
        self.join_pools(peer.id, self.joins)
        return page


def test_a_lane_does_not_pass_posts_of_a_pool_that_the_peer_proves_meanwhile() -> None:
    pool = Pool()
    alpha, beta = pool.add("alpha"), pool.add("beta")
    store = Joining(Limits())
    node = replace(alpha.node, store=store)
    pool.nodes[alpha.address] = node
    alpha = replace(alpha, node=node, store=store)
    know(beta, alpha)
    store.add_peer(beta.id, beta.address, NOW_MS)
    store.pin(beta.id, sorted(beta.node.identity.public_node_keys), "operator", NOW_MS)
    alpha.publish("hello")
    store.joins = node.identity.pools
    announce(node, beta.id)
    announce(node, beta.id)
    assert beta.texts() == {"hello"}


class Gatekeeping:
    """A transport that refuses what no node has to accept, unsigned, as gateways do."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.refused = 0

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float, bytes_max: int
    ) -> WireAnswer:
        plain = body
        if "content-encoding" in headers:
            plain = compression.inflate(body, 1 << 30)
        if len(plain) > 1 << 20:
            self.refused += 1
            document = b'{"status":"error"}'
            return WireAnswer(413, {"content-type": codec.JSON}, document, document)
        return self._pool.transport.post(url, headers, body, seconds=seconds, bytes_max=bytes_max)

    def get(self, url: str, *, seconds: float, bytes_max: int) -> WireAnswer:
        raise NotImplementedError


def gatekept(limits: Limits, pools: int) -> tuple[Gatekeeping, Member, Member]:
    pool = Pool()
    transport = Gatekeeping(pool)
    keys = [PrivateKey.generate() for _ in range(pools)]
    alpha = pool.add("alpha", pools=keys, limits=limits, transport=transport)
    beta = pool.add("beta", pools=keys)
    pool.acquaint(alpha, beta)
    return transport, alpha, beta


def test_a_put_of_posts_with_many_signatures_fits_a_message() -> None:
    transport, alpha, beta = gatekept(Limits(), pools=7)
    alpha.publish(*("x" * 850 + str(number) for number in range(500)))
    announce(alpha.node, beta.id)
    assert beta.digests() == alpha.digests()
    assert transport.refused == 0


def test_a_node_with_larger_limits_still_reaches_one_with_the_least() -> None:
    limits = Limits(message_bytes_max=8 << 20, batch_bytes_max=6 << 20)
    transport, alpha, beta = gatekept(limits, pools=1)
    alpha.publish(*("x" * 30_000 + str(number) for number in range(100)))
    announce(alpha.node, beta.id)
    assert beta.digests() == alpha.digests()
    assert transport.refused == 0


def test_a_node_with_larger_limits_gives_pages_that_everybody_takes() -> None:
    pool = Pool()
    limits = Limits(message_bytes_max=8 << 20, batch_bytes_max=6 << 20)
    alpha, beta = pool.add("alpha", limits=limits), pool.add("beta")
    pool.acquaint(alpha, beta)
    alpha.publish(*("x" * 30_000 + str(number) for number in range(100)))
    alpha.doorbell.take()
    assert pull(beta.node, alpha.id).ended == "done"
    while fetch(beta.node, alpha.id).stored:
        pass
    assert beta.digests() == alpha.digests()


def test_large_posts_reach_a_peer_that_cannot_call_back() -> None:
    pool, alpha, beta = pair()
    beta.store.forget_peer(alpha.id)
    alpha.publish("x" * 100_000)
    pool.settle()
    assert beta.peer(alpha).address is None
    assert beta.digests() == alpha.digests()
