"""Keys change while three real nodes publish without pause: no post is lost, none gets in wrongly.

One node rotates its key with a short overlap and revokes the old one; another loses its key
without a word, and the operators of the others pin the new one; a third revokes a key that still
signs. Whoever has the old keys tries meanwhile to speak and to bring posts in.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from msgspec import structs

from replicator.adapters.keyfiles import KeyFiles
from replicator.adapters.sql.store import SqlStore
from replicator.cli.demo_node import DemoNode
from replicator.limits import Limits
from replicator.node.identity import Identity
from replicator.protocol import codec
from replicator.protocol.ids import Digest, GlobalId, KeyText
from replicator.protocol.messages import Pull, Put
from replicator.protocol.post import Content, Post
from replicator.protocol.signing import PrivateKey, fingerprint, sign_post
from tests.support.board import Board
from tests.support.cli_home import CliHome
from tests.support.harm import IMPATIENT, found_nodes, publish, ready, running
from tests.support.live import Voice
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
LIMITS = {**IMPATIENT, "refused_base_seconds": 0.5, "key_look_seconds": 1}
OVERLAP = "5s"
EQUAL_SECONDS = 40.0
PULL = codec.request_tree(Pull(limit=1))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[list[DemoNode]]:
    nodes = found_nodes(tmp_path_factory.mktemp("keys"), 3, LIMITS)
    with running(*nodes):
        eventually(
            lambda: all(states(one, other) for one in nodes for other in nodes if one is not other),
            "all know each other's keys",
            seconds=30,
        )
        yield nodes


@contextmanager
def published_to(nodes: list[DemoNode], *, first: int = 0) -> Iterator[list[Board]]:
    """Have boards publish at all nodes without pause, with ids from a number on."""
    boards = [Board(node.site, batch=3, pause_seconds=0.1) for node in nodes]
    for board in boards:
        board._next = first
        board.start()
    try:
        yield boards
    finally:
        for board in boards:
            board.stop()


def home_of(node: DemoNode) -> CliHome:
    return CliHome(node.site.home)


def states(one: DemoNode, other: DemoNode) -> dict[KeyText, tuple[str, int | None]]:
    """Return what one node has pinned for another."""
    with reading(one) as store:
        return {pin.key: (pin.state, pin.until) for pin in store.pins(other.site.node_id)}


@contextmanager
def reading(node: DemoNode) -> Iterator[SqlStore]:
    store = SqlStore(node.site.database_url, read_only=True)
    try:
        yield store
    finally:
        store.close()


def restart(node: DemoNode) -> None:
    """Kill all processes of a node in the middle of what they do, and start it again."""
    node.kill()
    node.start()
    ready(node)


def with_another_key(node: DemoNode) -> PrivateKey:
    """Take a node's keys away and give it a new one, as who sets up a lost home anew."""
    files = KeyFiles(node.site.home / "keys")
    for role, path in files.paths():
        if role == "node":
            path.unlink()
    return files.create_node_key()


def posts_under(key: PrivateKey, node: DemoNode) -> int:
    """Return how many posts a node holds that a key signed."""
    with reading(node) as store:
        return sum(post.signed_by(key.public) for post in store.get(digests=node.digests()))


def reasons(node: DemoNode) -> str:
    """Return why a node does not call its peers at the moment."""
    breakers = [peer["breaker"] for peer in home_of(node).json("peers", "list")]
    return " ".join(str(breaker) for breaker in breakers)


def with_keys(node: DemoNode, *keys: PrivateKey) -> Voice:
    """Return who speaks for a node with keys of his own, and the pool's."""
    identity = Voice.of(node.site).identity
    return Voice(Identity(identity.node_id, keys, identity.pool_keys))


def forged(node: DemoNode, name: str, key: PrivateKey) -> Post:
    """Return a post in a node's name, signed by any key and by the pool's."""
    content = Content(
        id=GlobalId(f"{node.site.node_id}/{name}"),
        title="",
        text="forged",
        author="",
        tags=(),
        thread=None,
        published=int(time.time() * 1000),
        attachments=(),
    )
    return sign_post(content, (key, *Voice.of(node.site).identity.pool_keys), Limits())


def answer_to(voice: Voice, node: DemoNode) -> str:
    """Return the code, or the status, with which a node answers a pull."""
    tree = voice.say(node.site, PULL).tree
    return str(tree.get("code", tree["status"]))


def bring(voice: Voice, node: DemoNode, post: Post) -> tuple[str, str | None]:
    """Put a post to a node; return what became of it and why."""
    tree = voice.say(node.site, codec.request_tree(Put(models=(codec.model_tree(post),)))).tree
    if tree["status"] != "success":
        return str(tree["status"]), str(tree["code"])
    (item,) = tree["items"]
    return item["result"], item.get("reason")


def all_equal(nodes: list[DemoNode], boards: list[Board], before: Collection[Digest] = ()) -> None:
    """Wait until all nodes hold exactly what was acknowledged, and what they held before."""
    wanted = {*before, *(digest for board in boards for digest in board.acknowledged)}
    eventually(
        lambda: all(set(node.digests()) == wanted for node in nodes),
        "all nodes hold what was published",
        seconds=EQUAL_SECONDS,
    )


def test_a_rotation_and_a_revocation_under_load_lose_no_post_and_let_nobody_in(nodes) -> None:
    alpha, *peers = nodes
    at_alpha = home_of(alpha)
    (old,) = Voice.of(alpha.site).identity.node_keys
    thief = with_keys(alpha, old)
    with published_to(nodes) as boards:
        eventually(lambda: all(board.acknowledged for board in boards), "all publish")
        at_alpha("keys", "rotate", "--overlap", OVERLAP, "--yes")
        new = at_alpha.json("keys", "list")[0]["key"]
        restart(alpha)
        for peer in peers:
            eventually(lambda peer=peer: states(peer, alpha).get(new), "it is followed", seconds=20)
            assert states(peer, alpha)[new] == ("current", None)
            assert states(peer, alpha)[old.public][1] is not None
        during = len(boards[0].acknowledged)
        for peer in peers:
            eventually(
                lambda peer=peer: answer_to(thief, peer) == "key-changed",
                "the old key is retired",
                seconds=20,
            )
        eventually(
            lambda: len(boards[0].acknowledged) > during, "more is published under the new key"
        )

        at_alpha("keys", "revoke", fingerprint(old.public), "--yes")
        restart(alpha)
        for peer in peers:
            eventually(
                lambda peer=peer: states(peer, alpha)[old.public] == ("revoked", None),
                "the revocation is known",
                seconds=20,
            )
        late = forged(alpha, "late", old)
        for peer, bearer in zip(peers, peers[::-1], strict=True):
            assert answer_to(thief, peer) == "key-changed"
            assert bring(Voice.of(bearer.site), peer, late) == ("refused", "origin-key")
        assert bring(Voice.of(peers[0].site), alpha, late) == ("refused", "origin-key")
        after = [len(board.acknowledged) for board in boards]
        eventually(
            lambda: all(len(b.acknowledged) > n for b, n in zip(boards, after, strict=True)),
            "all go on publishing",
        )
    all_equal(nodes, boards)
    keys = home_of(peers[0]).json("peers", "show", alpha.site.node_id)["keys"]
    assert {key["key"]: key["state"] for key in keys} == {new: "current", old.public: "revoked"}


def test_a_lost_key_is_pinned_anew_by_the_operators_and_nothing_is_lost(nodes) -> None:
    *peers, gamma = nodes
    at_peers = [home_of(peer) for peer in peers]
    trust = ("peers", "trust", gamma.site.node_id)
    before = {digest for node in nodes for digest in node.digests()}
    with published_to(nodes, first=1_000_000) as boards:
        eventually(lambda: all(board.acknowledged for board in boards), "all publish")
        gamma.kill()
        (lost,) = Voice.of(gamma.site).identity.node_keys
        fresh = with_another_key(gamma)
        gamma.start()
        ready(gamma)
        voice = Voice.of(gamma.site)
        eventually(lambda: posts_under(fresh, gamma), "it publishes under the new key")
        eventually(
            lambda: all("under another key" in reasons(peer) for peer in peers),
            "all have met the new key",
        )
        for peer in peers:
            assert answer_to(voice, peer) == "key-changed"
            assert not posts_under(fresh, peer), "nothing counts under a key that nobody pinned"

        shown = home_of(gamma).json("keys", "list")[0]["fingerprint"]
        for peer, at_peer in zip(peers, at_peers, strict=True):
            refused = at_peer(*trust, input="n\n", code=1).stderr
            own = at_peer.json("keys", "list")[0]["fingerprint"]
            for line in (f"own:  {own}", f"now:  {fingerprint(lost.public)}", f"then: {shown}"):
                assert line in refused
            assert answer_to(voice, peer) == "key-changed"
            assert [at_peer.json(*trust, "--yes")["changed"] for _ in range(2)] == [True, False]
            assert answer_to(voice, peer) == "success"
            assert answer_to(with_keys(gamma, lost), peer) == "key-changed"
    all_equal(nodes, boards, before)
    assert all(posts_under(fresh, node) for node in nodes)
    late = forged(gamma, "late", lost)
    for peer, at_peer in zip(peers, at_peers, strict=True):
        assert at_peer.json(*trust, "--revoke-others", "--yes")["changed"]
        assert bring(voice, peer, late) == ("refused", "origin-key")
    assert bring(Voice.of(peers[0].site), gamma, late) == ("refused", "origin-key")
    all_equal(nodes, boards, before)


def smaller(node: DemoNode, own: Post, key: PrivateKey) -> Post:
    """Return another content under the id of a node's post, with the digest that would win."""
    keys = (key, *Voice.of(node.site).identity.pool_keys)
    texts = (f"forged {number}" for number in count())
    made = (sign_post(structs.replace(own.content, text=text), keys, Limits()) for text in texts)
    return next(post for post in made if post.digest < own.digest)


def held(node: DemoNode, post_id: GlobalId) -> Post | None:
    """Return what a node holds under an id."""
    with reading(node) as store:
        return next(iter(store.get(ids=[post_id])), None)


def hold(nodes: list[DemoNode], post: Post) -> bool:
    """Tell whether all nodes hold this very post under its id."""
    found = [held(node, post.id) for node in nodes]
    return all(one is not None and one.digest == post.digest for one in found)


def published(node: DemoNode, name: str) -> Post:
    """Publish a post at a node and return it."""
    publish(node, [f'{{"id": "{name}", "text": "my own"}}'.encode()])
    post = held(node, GlobalId(f"{node.site.node_id}/{name}"))
    assert post is not None
    return post


def test_a_stolen_key_that_is_current_is_revoked_and_what_only_it_signed_gives_way(nodes) -> None:
    gamma, victim, other = nodes
    peers = [gamma, other]
    at_victim = home_of(victim)
    (stolen,) = Voice.of(victim.site).identity.node_keys
    thief = with_keys(victim, stolen)
    at_victim("keys", "rotate", "--again", "--yes")
    restart(victim)
    new = at_victim.json("keys", "list")[0]["key"]
    for peer in peers:
        eventually(lambda peer=peer: states(peer, victim).get(new), "it is followed", seconds=20)
        assert {key: state for key, (state, _) in states(peer, victim).items()} == {
            new: "current",
            stolen.public: "current",
        }
    own = published(victim, "owned")
    assert (own.signed_by(new), own.signed_by(stolen.public)) == (True, True)
    eventually(lambda: hold(peers, own), "the peers have it", seconds=20)

    # both keys count: the smaller digest wins, and it is the thief's
    second = smaller(victim, own, stolen)
    assert bring(thief, gamma, second) == ("stored", None)
    eventually(lambda: hold(peers, second), "the thief's content takes its place", seconds=20)

    at_victim("keys", "revoke", fingerprint(stolen.public), "--yes")
    restart(victim)
    for peer in peers:
        eventually(
            lambda peer=peer: states(peer, victim)[stolen.public] == ("revoked", None),
            "the revocation is known",
            seconds=20,
        )
    holders = [*peers, victim]
    eventually(lambda: hold(holders, own), "the origin's content is back", seconds=EQUAL_SECONDS)
    for peer, bearer in zip(peers, peers[::-1], strict=True):
        assert answer_to(thief, peer) == "key-changed"
        late = forged(victim, "late", stolen)
        assert bring(Voice.of(bearer.site), peer, late) == ("refused", "origin-key")
        assert bring(Voice.of(bearer.site), peer, second)[0] in ("refused", "known")
    assert hold(holders, own)
    shown = at_victim.json("keys", "list")
    assert [key["state"] for key in shown if key["key"] == stolen.public] == ["revoked"]
    assert new in {key["key"] for key in shown if key["state"] == "current"}
