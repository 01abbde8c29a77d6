"""A relay that gives its peers posts of an origin which they do not know."""

from dataclasses import dataclass, replace
from typing import Any

from replicator.node.identity import Identity
from replicator.node.ports import Incoming
from replicator.protocol.post import Post
from replicator.protocol.signing import PrivateKey, sign_post
from replicator.rules.policy import Policy
from tests.support.pool import NOW_MS, Member, Pool, know

OPEN_TO_PEERS = Policy(pull="peers", get="peers", put="peers")


@dataclass
class Relayed:
    """``origin`` is known to ``relay`` alone; ``relay`` and ``here`` know each other."""

    pool: Pool
    origin: Member
    relay: Member
    here: Member

    def hold(self, *texts: str, **fields: Any) -> list[Post]:
        """Publish posts at the origin and let the relay hold them; return them."""
        self.origin.publish(*texts, **fields)
        posts = [post for post in self.origin.posts() if post.content.text in texts]
        self.give(posts)
        return posts

    def give(self, posts: list[Post]) -> None:
        """Let the relay hold posts, whatever they are signed by."""
        received = [Incoming(post, self.origin.id) for post in posts]
        self.relay.store.add(received, NOW_MS)

    def pin(self) -> None:
        """Pin the origin's keys here, as the roster or a first contact would."""
        keys = self.origin.node.identity.public_node_keys
        self.here.store.pin(self.origin.id, sorted(keys), "operator", NOW_MS)

    def waiting(self) -> set[str]:
        """Return the digests that wait here."""
        entries = self.here.store.waiting(0, 10_000)
        copies = self.here.store.waiting_copies([entry.id for entry in entries])
        return {copy.post.digest for copy in copies.values()}


def relayed(*, here: Policy = OPEN_TO_PEERS, shares_pool: bool = False, **options: Any) -> Relayed:
    """Return three nodes; ``options`` are those of the one that the posts come to."""
    pool = Pool()
    keys = [pool.key] if shares_pool else []
    origin = pool.add("origin", pools=[], policy=OPEN_TO_PEERS)
    relay = pool.add("relay", pools=keys, policy=OPEN_TO_PEERS)
    there = pool.add("here", pools=keys, policy=here, **options)
    know(relay, origin)
    pool.acquaint(relay, there)
    return Relayed(pool, origin, relay, there)


def signed_by(post: Post, *keys: PrivateKey) -> Post:
    """Return a post's content under other signatures."""
    return sign_post(post.content, keys, Pool().add("any").node.limits)


def with_pools(pool: Pool, member: Member, *keys: PrivateKey) -> Member:
    """Return a member after its restart with other pool keys."""
    old = member.node.identity
    node = replace(member.node, identity=Identity(old.node_id, old.node_keys, keys))
    pool.nodes[member.address] = node
    changed = replace(member, node=node)
    pool.members[pool.members.index(member)] = changed
    return changed
