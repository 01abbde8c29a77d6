"""Nodes of in-memory twins in one process, and what tests do with them.

A `Pool` is a clock, a pool key and members that reach each other through a `LoopTransport`.
Nothing runs by itself: doorbells wait until `Pool.settle` has them answered, and time stands until
a test moves the clock.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replicator.adapters.memory.background import InlineBackground
from replicator.adapters.memory.clock import ManualClock
from replicator.adapters.memory.doorbell import MemoryDoorbell
from replicator.adapters.memory.store import MemoryStore
from replicator.adapters.memory.transport import LoopTransport
from replicator.adapters.memory.work import MemoryWorkState
from replicator.limits import Limits
from replicator.node.announce import announce
from replicator.node.context import Node
from replicator.node.conversation import SYNC_PATH
from replicator.node.fetch import fetch
from replicator.node.identity import Identity
from replicator.node.looking import look
from replicator.node.ports import Peer, Ring, Transport, WireAnswer
from replicator.node.publish import Published, publish, read_draft
from replicator.node.pull import pull
from replicator.node.repair import repair
from replicator.node.roster import ask_members
from replicator.protocol import codec, envelope
from replicator.protocol.ids import Digest, NodeId
from replicator.protocol.post import Post
from replicator.protocol.signing import PrivateKey
from replicator.rules.breaker import Breaker
from replicator.rules.policy import Policy

NOW_MS = 1_700_000_000_000
NONCE_BYTES = 16


@dataclass(frozen=True)
class Member:
    """A node with its twins at hand."""

    node: Node
    store: MemoryStore
    work: MemoryWorkState
    doorbell: MemoryDoorbell
    clock: ManualClock
    address: str

    @property
    def id(self) -> NodeId:
        """The node's id."""
        return self.node.identity.node_id

    def publish(self, *texts: str, **fields: Any) -> list[Published]:
        """Publish one post per text."""
        drafts = [read_draft(self.id, {"text": text, **fields}) for text in texts]
        return publish(self.node, drafts)

    def publish_many(self, count: int, text: str = "x") -> None:
        """Publish ``count`` short posts."""
        self.publish(*(f"{text} {number}" for number in range(count)))

    def digests(self) -> set[Digest]:
        """Return the digests of all held posts."""
        return {digest for digest, _ in self.store.digests()}

    def texts(self) -> set[str]:
        """Return the texts of all held posts."""
        return {post.content.text for post in self.posts()}

    def posts(self) -> list[Post]:
        """Return all held posts."""
        return self.store.get(digests=self.digests())

    def peer(self, other: "Member") -> Peer:
        """Return what this node knows of another; it must be a peer."""
        peer = self.store.peer(other.id)
        assert peer is not None
        return peer

    def state(self) -> tuple[Any, ...]:
        """Return posts, log, peers with their cursors, and pins: what a refusal leaves alone."""
        peers = self.store.peers()
        origins = {peer.id for peer in peers} | {NodeId("stranger"), NodeId("beta")}
        return (
            self.store.totals(),
            self.store.digests(),
            peers,
            self.store.all_pins(origins),
            self.work.queued(),
        )


class Pool:
    """Members of one pool on one clock."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW_MS)
        self.key = PrivateKey.generate()
        self.nodes: dict[str, Node] = {}
        self.transport = LoopTransport(self.nodes)
        self.members: list[Member] = []

    def add(
        self,
        name: str,
        *,
        pools: Sequence[PrivateKey] | None = None,
        limits: Limits | None = None,
        policy: Policy | None = None,
        clock: ManualClock | None = None,
        transport: Transport | None = None,
    ) -> Member:
        """Make a node; it knows nobody yet."""
        limits = limits or Limits()
        address = f"http://{name}"
        store, work, doorbell = MemoryStore(limits), MemoryWorkState(limits), MemoryDoorbell()
        clock = clock or self.clock
        keys = (self.key,) if pools is None else tuple(pools)
        node = Node(
            identity=Identity(NodeId(name), (PrivateKey.generate(),), keys),
            limits=limits,
            policy=policy or Policy(),
            store=store,
            work=work,
            doorbell=doorbell,
            transport=transport or self.transport,
            clock=clock,
            random=random.Random(7),
            background=InlineBackground(),
            address=address,
        )
        self.nodes[address] = node
        member = Member(node, store, work, doorbell, clock, address)
        self.members.append(member)
        return member

    def acquaint(self, *members: Member) -> None:
        """Let the members know each other: addresses, pins and the pools they share."""
        for one in members:
            for other in members:
                if one is not other:
                    know(one, other)

    def settle(self) -> list[Ring]:
        """Answer doorbells until none is left; return those that rang."""
        rang: list[Ring] = []
        while rings := [
            (member, ring) for member in self.members for ring in member.doorbell.take()
        ]:
            for member, ring in rings:
                run(member, ring)
            rang += [ring for _, ring in rings]
            assert len(rang) < 10_000, "doorbells ring each other for ever"
        return rang


def trio() -> tuple[Pool, Member, Member, Member]:
    """Return a pool of three acquainted members."""
    pool = Pool()
    alpha, beta, gamma = (pool.add(name) for name in ("alpha", "beta", "gamma"))
    pool.acquaint(alpha, beta, gamma)
    return pool, alpha, beta, gamma


def pair(**options: Any) -> tuple[Pool, Member, Member]:
    """Return a pool of two acquainted members, made with the same options."""
    pool = Pool()
    alpha, beta = pool.add("alpha", **options), pool.add("beta", **options)
    pool.acquaint(alpha, beta)
    return pool, alpha, beta


def know(one: Member, other: Member) -> None:
    """Make ``other`` a pinned peer of ``one`` with every pool both hold."""
    now = one.clock.now()
    one.store.add_peer(other.id, other.address, now)
    one.store.pin(other.id, sorted(other.node.identity.public_node_keys), "operator", now)
    one.store.join_pools(other.id, one.node.identity.pools & other.node.identity.pools)


def breaker_of(one: Member, other: Member) -> Breaker:
    """Return the breaker of ``other`` at ``one``."""
    return one.work.breakers([other.id])[other.id]


def run(member: Member, ring: Ring) -> None:
    """Do what the worker does when a doorbell rings."""
    assert ring.peer is not None
    match ring.task:
        case "announce":
            announce(member.node, ring.peer)
        case "fetch":
            fetch(member.node, ring.peer)
        case "pull":
            pull(member.node, ring.peer)
        case "repair":
            repair(member.node, ring.peer)
        case "roster":
            ask_members(member.node, ring.peer)
        case "look":
            look(member.node, ring.peer)
        case task:
            raise AssertionError(f"unexpected doorbell {task}")


def send(
    sender: Member,
    recipient: Member,
    document: Mapping[str, Any] | bytes,
    *,
    media_type: str = codec.JSON,
    created: int | None = None,
    nonce: bytes | None = None,
    signer: Node | None = None,
    headers: Mapping[str, str] | None = None,
) -> WireAnswer:
    """Sign and send any document, valid or not; ``headers`` are put over the signed ones."""
    body = document if isinstance(document, bytes) else codec.encode(media_type, document)
    identity = dataclasses.replace((signer or sender.node).identity, node_id=sender.id)
    signed = envelope.sign_request(
        identity.credentials(0),
        recipient.id,
        body,
        media_type,
        created=created or sender.clock.now() // 1000,
        nonce=nonce or random.randbytes(NONCE_BYTES),
    )
    fields = {"content-type": media_type, **signed.headers, **(headers or {})}
    transport = LoopTransport({recipient.address: recipient.node})
    url = recipient.address + SYNC_PATH
    return transport.post(url, fields, body, seconds=1.0, bytes_max=1 << 21)


def read(answer: WireAnswer) -> codec.Tree:
    """Return the document of an answer."""
    media_type = codec.media_type_of(answer.headers.get("content-type"))
    return codec.decode(media_type, answer.body, Limits())
