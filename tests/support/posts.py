"""Posts made from numbers, for stores: their signatures have the form of real ones and verify
nothing, because a store takes posts that were verified before."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from replicator.limits import Limits
from replicator.node.ports import Incoming
from replicator.protocol.ids import GlobalId, KeyText, NodeId
from replicator.protocol.post import Content, Post, PostSignature, post_of

LIMITS: Final = Limits()
HERE: Final = NodeId("here.example")
THERE: Final = NodeId("there.example")


def key(name: str) -> KeyText:
    """Return a public key that is only a name."""
    raw = hashlib.sha256(name.encode()).digest()
    return KeyText("ed25519:" + base64.urlsafe_b64encode(raw).decode().rstrip("="))


NODE_KEY: Final = key("node")
POOL: Final = key("pool")
OTHER_POOL: Final = key("other pool")


def signature(signer: KeyText, post_id: str = "") -> PostSignature:
    """Return 64 bytes that look like a signature."""
    raw = hashlib.sha512(f"{signer} {post_id}".encode()).digest()
    return PostSignature(signer, base64.urlsafe_b64encode(raw).decode().rstrip("="))


def content(
    number: int,
    *,
    node: str = HERE,
    text: str = "text",
    tags: Sequence[str] = (),
    thread: str | None = None,
) -> Content:
    """Return the content of post ``number``; its time is its number."""
    return Content(
        attachments=(),
        author="author",
        id=GlobalId(f"{node}/{number}"),
        published=number,
        tags=tuple(tags),
        text=text,
        thread=None if thread is None else GlobalId(thread),
        title=f"title {number}",
    )


def post(number: int, *, signers: Iterable[KeyText] = (NODE_KEY, POOL), **members: object) -> Post:
    """Return post ``number``; ``members`` as in `content`."""
    made = content(number, **members)  # type: ignore[arg-type]
    return post_of(made, [signature(signer, made.id) for signer in signers], LIMITS)


def published(
    one: Post, *, pools: Iterable[KeyText] = (POOL,), entry: Iterable[KeyText] | None = None
) -> Incoming:
    """Return a post as this node's own: announced in its pools unless ``entry`` says otherwise."""
    kept = frozenset(pools)
    return Incoming(one, None, kept, kept if entry is None else frozenset(entry))


def received(one: Post, *, node: NodeId = THERE, pools: Iterable[KeyText] = (POOL,)) -> Incoming:
    """Return a post that a pool-mate delivered."""
    return Incoming(one, node, frozenset(pools))
