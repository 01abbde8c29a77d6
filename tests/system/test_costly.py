"""A member sends, at the rate it may, what costs most to answer, and leaves: others are served."""

import gzip
import http.client
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from threading import Event, Thread

import pytest
import redis

from replicator.cli.demo_node import DemoNode
from replicator.node.identity import Identity
from replicator.protocol import codec, envelope
from replicator.protocol.ids import NodeId
from replicator.protocol.messages import Pull
from replicator.protocol.signing import PrivateKey
from replicator.settings import load_settings
from tests.support.harm import found_nodes, running
from tests.support.live import Voice, exchange

pytestmark = pytest.mark.timeout(300)

PER_SECOND = 40
PULLS = 10
PULL = codec.request_tree(Pull(limit=1))
HEAD = (
    b"<request><type>pull</type><protocol>1.0</protocol>"
    b"<model><name>post</name><version>1.0</version></model>"
)
ITEMS = 60_000
"""Below what is refused unread."""
COSTLY = gzip.compress(HEAD + b"<refs>" + b"<item/>" * ITEMS + b"</refs></request>")
TOO_COSTLY = gzip.compress(HEAD + b"<refs>" + b"<item/>" * 149_000 + b"</refs></request>")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoNode]:
    (node,) = found_nodes(tmp_path_factory.mktemp("costly"), 1, {})
    with running(node):
        yield node


def member(node: DemoNode, name: str) -> Voice:
    """Return a member of the node's pool, by which the node knows it."""
    pool = Voice.of(node.site).identity.pool_keys
    voice = Voice(Identity(NodeId(name), (PrivateKey.generate(),), pool))
    assert voice.say(node.site, PULL).status == 200
    return voice


def headers_of(voice: Voice, node: DemoNode, body: bytes) -> dict[str, str]:
    signed = envelope.sign_request(
        voice.identity.credentials(0),
        node.site.node_id,
        body,
        codec.XML,
        created=int(time.time()),
        nonce=secrets.token_bytes(16),
        content_encoding="gzip",
    )
    return {"content-type": codec.XML, "content-encoding": "gzip", **signed.headers}


def test_one_members_costly_requests_keep_nobody_else_waiting(node: DemoNode) -> None:
    good, bad = member(node, "good.example"), member(node, "bad.example")
    heard: Counter[int] = Counter()
    halt = Event()

    def send() -> None:
        with suppress(OSError, http.client.HTTPException):
            heard[exchange(node.site, headers_of(bad, node, COSTLY), COSTLY)[0]] += 1

    def attack() -> None:
        while not halt.wait(1 / PER_SECOND):
            Thread(target=send, daemon=True).start()

    thread = Thread(target=attack)
    thread.start()
    try:
        time.sleep(2)
        answers = [good.say(node.site, PULL).status for _ in range(PULLS)]
    finally:
        halt.set()
        thread.join()
    assert answers == [200] * PULLS
    assert heard[503] > heard[200], "most of it was refused before a worker heard of it"


def test_what_could_only_be_costly_is_refused_unread(node: DemoNode) -> None:
    bad = member(node, "bad-too.example")
    status, _, body = exchange(node.site, headers_of(bad, node, TOO_COSTLY), TOO_COSTLY)
    assert status == 400
    assert b"parts" in body


def test_bodies_whose_clients_have_left_do_not_stay_in_redis(node: DemoNode) -> None:
    bad = member(node, "leaver.example")
    with redis.Redis.from_url(load_settings(node.site.home, {}).work) as server:
        before = server.info("memory")["used_memory"]
        for _ in range(150):
            connection = http.client.HTTPConnection("127.0.0.1", node.site.gateway_port, timeout=9)
            headers = headers_of(bad, node, COSTLY)
            connection.request("POST", "/v1/sync", COSTLY, headers)
            time.sleep(0.02)
            connection.close()
        grown = server.info("memory")["used_memory"] - before
    assert grown < 20 * len(gzip.decompress(COSTLY))
