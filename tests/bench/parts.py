"""The parts of this machine: what one core does of each step that a post goes through.

Their sum is the limit that `catchup` is compared with, measured in the same run.
"""

import gzip
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from replicator.adapters.sql.store import SqlStore
from replicator.limits import Limits
from replicator.node.ports import Incoming
from replicator.node.publish import read_draft
from replicator.protocol import codec
from replicator.protocol.ids import Cursor, NodeId
from replicator.protocol.messages import PullAnswer
from replicator.protocol.post import Content, Post, SignedContent
from replicator.protocol.signing import PrivateKey, sign_post, unb64url, verify, verify_posts
from tests.bench.corpus import POST_BYTES, drafts
from tests.bench.figures import Figure, per_second
from tests.bench.servers import Servers

BATCH: Final = 500
SIGNATURES: Final = 2
"""Of every post: its node key and its pool key."""
_CORES: Final = 2
_STORED: Final = 20
"""Batches that are stored in one run."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The figures, and seconds per item on one core of what `limit` sums up."""

    figures: tuple[Figure, ...]
    verify_seconds: float
    decode_seconds: float
    insert_seconds: dict[str, float]

    def limit(self, database: str) -> float:
        """Return posts per second that two cores could verify, decode and insert at best."""
        per_post = self.verify_seconds * SIGNATURES + self.insert_seconds[database]
        return _CORES / (per_post + self.decode_seconds)


def signed_posts(count: int, keys: tuple[PrivateKey, ...] = ()) -> list[Post]:
    """Return posts of 1 kB, each with `SIGNATURES` signatures."""
    keys = keys or tuple(PrivateKey.generate() for _ in range(SIGNATURES))
    node_id = NodeId("bench")
    return [
        sign_post(_content(node_id, fields), keys, Limits()) for fields in drafts(node_id, count)
    ]


def _content(node_id: NodeId, fields: dict[str, object]) -> Content:
    draft = read_draft(node_id, fields)
    assert draft.id is not None
    assert draft.published is not None
    return Content(
        attachments=(),
        author=draft.author,
        id=draft.id,
        published=draft.published,
        tags=draft.tags,
        text=draft.text,
        thread=draft.thread,
        title=draft.title,
    )


def measure(servers: Servers, databases: tuple[str, ...], *, seconds: float, runs: int) -> Parts:
    """Measure all parts; ``seconds`` is the least length of one run of a pure part."""
    posts = signed_posts(BATCH)
    figures: list[Figure] = []

    def add(name: str, unit: str, work: Callable[[], object], items: int) -> float:
        rates = per_second(work, items, seconds=seconds, runs=runs)
        figures.append(Figure("parts", name, unit, tuple(rates)))
        return 1 / figures[-1].value

    verified = _crypto(posts, add)
    decoded = _documents(posts, add)
    add("Redis: RPUSH of 1 kB, pipelines of 500", "values/s", _redis_work(servers), BATCH)
    inserted = {}
    for database in databases:
        rates = tuple(_inserts(servers, database, runs))
        figures.append(
            Figure("parts", f"SqlStore.add, batches of 500, {database}", "posts/s", rates)
        )
        inserted[database] = 1 / figures[-1].value
    return Parts(tuple(figures), verified, decoded, inserted)


def _crypto(posts: list[Post], add: Callable[..., float]) -> float:
    """Measure hashes and signatures; return seconds per verified signature on one core."""
    post = posts[0]
    signature = unb64url(post.signatures[0].value)
    key, data = post.signatures[0].key, post.signed_bytes
    public = Ed25519PublicKey.from_public_bytes(unb64url(key.removeprefix("ed25519:")))
    private, ours = Ed25519PrivateKey.generate(), PrivateKey.generate()
    add("SHA-256 of 1 kB", "posts/s", lambda: hashlib.sha256(post.canonical).digest(), 1)
    add("sign 1 kB, cryptography", "signatures/s", lambda: private.sign(data), 1)
    add("sign 1 kB, product", "signatures/s", lambda: ours.sign(data), 1)
    add("verify 1 kB, cryptography", "signatures/s", lambda: public.verify(signature, data), 1)
    one = add(
        "verify 1 kB, product (PyNaCl)", "signatures/s", lambda: verify(key, signature, data), 1
    )
    count = len(posts) * SIGNATURES
    add("verify 500 posts, product, 2 threads", "signatures/s", lambda: verify_posts(posts), count)
    return one


def _documents(posts: list[Post], add: Callable[..., float]) -> float:
    """Measure the codec; return seconds per decoded post."""
    limits = Limits()
    answer = PullAnswer(
        models=tuple(codec.model_tree(post) for post in posts), cursor=Cursor("A" * 32)
    )
    body = codec.encode(codec.JSON, codec.answer_tree(answer))
    xml = codec.encode(codec.XML, codec.answer_tree(answer))
    packed = gzip.compress(body, compresslevel=1)

    def decode() -> None:
        tree = codec.decode(codec.JSON, body, limits)
        page = codec.read_answer(tree, PullAnswer)
        assert isinstance(page, PullAnswer)
        for item in page.models or ():
            codec.read(item, SignedContent)

    count = len(posts)
    decoded = add("decode 500 posts, JSON, product", "posts/s", decode, count)
    add(
        "decode 500 posts, XML, product",
        "posts/s",
        lambda: codec.decode(codec.XML, xml, limits),
        count,
    )
    add(
        "encode 500 posts, JSON, product",
        "posts/s",
        lambda: codec.encode(codec.JSON, codec.answer_tree(answer)),
        count,
    )
    add("gzip level 1", "posts/s", lambda: gzip.compress(body, compresslevel=1), count)
    add("gunzip", "posts/s", lambda: gzip.decompress(packed), count)
    return decoded


def _redis_work(servers: Servers) -> Callable[[], object]:
    client = redis.Redis.from_url(servers.valkey_url())
    value = b"x" * POST_BYTES

    def push() -> None:
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(BATCH):
                pipeline.rpush("bench", value)
            pipeline.delete("bench")
            pipeline.execute()

    return push


def _inserts(servers: Servers, database: str, runs: int) -> Iterator[float]:
    posts = signed_posts(BATCH * _STORED)
    pool = posts[0].signatures[0].key
    items = [Incoming(post, NodeId("other"), frozenset({pool})) for post in posts]
    first, *batches = [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
    for _ in range(runs):
        with servers.database(database) as url:
            store = SqlStore(url)
            store.add(first, 0)
            start = time.perf_counter()
            for batch in batches:
                store.add(batch, 0)
            yield BATCH * len(batches) / (time.perf_counter() - start)
            store.close()
