"""The tables of the store as SQLAlchemy metadata; migrations make them, this describes them.

Invariants: sequences of `change` are drawn by one writer at a time, one after the other; a post's
surrogate id is the sequence of the entry that added it; a post is visible in a pool from the
sequence on that its `post_pool` row names. Text compares by code point (``COLLATE "C"``). Digests
are their 32 bytes. There are no foreign keys: every row is written by the few functions of this
package, in bulk, and a check per row would cost more than the insert. Large columns stand last,
so that reading a ref reads no content.

A test compares this module with what the migrations make.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

_CodePoints: Final[TypeEngine[str]] = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite makes a column the row's own key only where its type is exactly INTEGER
_RowKey: Final[TypeEngine[int]] = BigInteger().with_variant(Integer(), "sqlite")

metadata: Final = MetaData()

log = Table(
    "log",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("floor", BigInteger, nullable=False, server_default="0"),
    Column("last", BigInteger, nullable=False, server_default="0"),
)
"""One row: the random id of this database's change log, the floor of all posts, and the last
sequence drawn, where the entry that shows it was removed."""

post = Table(
    "post",
    metadata,
    Column("id", _RowKey, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    Column("global_id", _CodePoints, nullable=False),
    Column("node", _CodePoints, nullable=False),
    Column("published", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("thread", _CodePoints),
    Column("received_at", BigInteger, nullable=False),
    Column("received_from", _CodePoints),
    Column("signatures", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("post_digest", "digest", unique=True),
    Index("post_global_id", "global_id", unique=True),
    Index("post_node_published", "node", "published"),
)
"""Posts held. ``received_from`` is null where the post was published here."""

post_tag = Table(
    "post_tag",
    metadata,
    Column("post", BigInteger, primary_key=True, autoincrement=False),
    Column("tag", _CodePoints, primary_key=True),
    sqlite_with_rowid=False,
)
"""A post's tags, for filters."""

pool = Table(
    "pool",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", _CodePoints, nullable=False),
    Index("pool_key", "key", unique=True),
)
"""Pools that posts belong to, so that a membership row is a few bytes."""

post_pool = Table(
    "post_pool",
    metadata,
    Column("pool", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("post", BigInteger, nullable=False),
    Index("post_pool_post", "post"),
    sqlite_with_rowid=False,
)
"""A post became visible in a pool at a sequence."""

announcement = Table(
    "announcement",
    metadata,
    Column("pool", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("post", BigInteger, nullable=False),
    Index("announcement_post", "post"),
    sqlite_with_rowid=False,
)
"""This node announces a post in a pool: what lanes read; received posts cost them nothing."""

change = Table(
    "change",
    metadata,
    Column("sequence", _RowKey, primary_key=True, autoincrement=False),
    Column("model", _CodePoints, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("post", BigInteger, nullable=False),
)
"""The log. ``kind``: `KIND_ADD` or `KIND_SCOPE`; never twice `KIND_ADD` of a digest. Entries go
with their post; their sequences are not drawn again."""

KIND_ADD: Final = 1
"""A post was stored."""
KIND_SCOPE: Final = 2
"""A post held before became visible in a further pool; only readers of that pool see the entry."""

decision = Table(
    "decision",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("reason", _CodePoints, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("published", BigInteger, nullable=False, server_default="0"),
    Column("global_id", _CodePoints),
    Column("signers", LargeBinary),
    Index("decision_published", "published"),
    Index("decision_global_id", "global_id"),
    sqlite_with_rowid=False,
)
"""Digests decided against: refused by lasting policy, blocked, lost an equivocation, or expired.
They are forgotten once the floor has passed their date. ``global_id``, and ``signers`` (the keys
that signed, 32 bytes each), are null where it was decided before they were kept: which of several
contents of one id is held follows from what was seen of it, and from whose keys signed that."""

reconciled = Table(
    "reconciled",
    metadata,
    Column("pool", Integer, primary_key=True, autoincrement=False),
    Column("published", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)
"""What is reconciled within a pool: posts ever visible there and those decided against there.

None enters below the floor; from the floor on each is held, or stands in `decision`."""

summary = Table(
    "summary",
    metadata,
    Column("pool", Integer, primary_key=True, autoincrement=False),
    Column("published", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, primary_key=True),
    Column("items", Integer, nullable=False),
    Column("total", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""Counts and sums of `reconciled`, in runs of its order: each entry stands for the items from its
bound to before the next entry's; a pool's first bound is (0, empty). ``total`` is the sum of the
digests modulo 2^256; numbers are little-endian."""

origin = Table(
    "origin",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("posts", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How many posts of an origin are held, their canonical bytes, and its own floor (0: none)."""

equivocation = Table(
    "equivocation",
    metadata,
    Column("id", _RowKey, primary_key=True),
    Column("global_id", _CodePoints, nullable=False),
    Column("kept", LargeBinary, nullable=False),
    Column("lost", LargeBinary, nullable=False),
    Column("noted_at", BigInteger, nullable=False),
    Column("kept_signatures", LargeBinary, nullable=False),
    Column("lost_signatures", LargeBinary, nullable=False),
    Column("lost_content", LargeBinary, nullable=False),
    Column("kept_content", LargeBinary),
)
"""Evidence that an origin signed two contents under one id; the newest ones are kept. The content
that was kept is null in rows of old of which it was not held any more."""

peer = Table(
    "peer",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("address", _CodePoints),
    Column("pushed", BigInteger, nullable=False),
    Column("pulled", _CodePoints),
    Column("clock_offset_ms", BigInteger, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("added_at", BigInteger, nullable=False),
)
"""Nodes this node speaks with, and how far it has got with each."""

peer_pool = Table(
    "peer_pool",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("key", _CodePoints, primary_key=True),
)
"""Pools in which a peer proved membership."""

gap = Table(
    "gap",
    metadata,
    Column("id", _RowKey, primary_key=True),
    Column("node", _CodePoints, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("global_id", _CodePoints, nullable=False),
    Column("published", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Index("gap_node_digest", "node", "digest", unique=True),
    Index("gap_digest", "digest"),
    Index("gap_published", "published"),
)
"""Refs that a pull passed and that could not be had yet, in the order they were noted."""

node_key = Table(
    "node_key",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("key", _CodePoints, primary_key=True),
    Column("state", _CodePoints, nullable=False),
    Column("pinned_at", BigInteger, nullable=False),
    Column("source", _CodePoints, nullable=False),
    Column("until", BigInteger),
)
"""Pinned node keys. ``until``: when a current key retires by itself (ms); null: not."""

key_serial = Table(
    "key_serial",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("serial", BigInteger, nullable=False),
)
"""The newest key announcement taken of a node: an older one is history."""

repinned = Table(
    "repinned",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("place", BigInteger, nullable=False),
    Column("after_id", _CodePoints, nullable=False),
    Column("found", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
"""Nodes whose keys that stand changed: what was decided between contents of their ids is judged
anew, id after id, up to ``after_id`` so far. They take turns by ``place``. ``found``: something
was, so that it is to be looked for at peers."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", _RowKey, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("global_id", _CodePoints, nullable=False),
    Column("origin", _CodePoints, nullable=False),
    Column("deliverer", _CodePoints, nullable=False),
    Column("published", BigInteger, nullable=False),
    Column("size", Integer, nullable=False),
    Column("noted_at", BigInteger, nullable=False),
    Column("pools", _CodePoints, nullable=False),
    Column("signatures", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("quarantine_digest", "digest", "deliverer", unique=True),
    Index("quarantine_origin", "origin", "deliverer", "size", "noted_at"),
    Index("quarantine_deliverer", "deliverer", "size"),
)
"""Copies of posts whose origin is not known here, in the order they came, one of each deliverer.
``pools``: what the deliverer proved when it gave them, keys with spaces between. Two of the indexes
cover what is counted, so that counting reads no content."""

backfill = Table(
    "backfill",
    metadata,
    Column("id", _RowKey, primary_key=True),
    Column("peer", _CodePoints, nullable=False),
    Column("query", _CodePoints, nullable=False),
    Column("cursor", _CodePoints),
    Column("created_at", BigInteger, nullable=False),
    Column("reason", _CodePoints, nullable=False),
    Column("posts", BigInteger, nullable=False),
    Column("remaining", BigInteger),
    Index("backfill_peer_query", "peer", "query", unique=True),
)
"""Ways through a log from its epoch that are not at their end: ``query`` is the filter and scope of
the pull as JSON, ``cursor`` how far it got. The peer with this node's own id is its own log.
``posts`` came so far, ``remaining`` log entries are to come; null: nobody has said."""

filled = Table(
    "filled",
    metadata,
    Column("name", _CodePoints, primary_key=True),
    Column("noted_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What this node is allowed by its keys and its policy, for which backfills were started."""

block = Table(
    "block",
    metadata,
    Column("value", _CodePoints, primary_key=True),
    Column("kind", _CodePoints, primary_key=True),
    Column("blocked_at", BigInteger, nullable=False),
    Column("reason", _CodePoints, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Index("block_state", "state"),
)
"""What the operator blocked: ``kind`` is ``id``, ``digest`` or ``node``. The value stands first, so
that one question finds a post by any of the three."""

BLOCK_STANDS: Final = 0
"""It counts, and nothing of it is left here."""
BLOCK_BEGINS: Final = 1
"""It counts; posts of it may be held still."""
BLOCK_ENDS: Final = 2
"""It counts no more; digests decided by it may be remembered still."""

equivocator = Table(
    "equivocator",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),
    Index("equivocator_last_at", "last_at"),
)
"""Origins that signed two contents under one id, with how often it was seen."""

member = Table(
    "member",
    metadata,
    Column("node", _CodePoints, primary_key=True),
    Column("pools", _CodePoints, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("noted_at", BigInteger, nullable=False),
    Column("offered", Boolean, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Introductions of pool members. ``pools``: keys with spaces between; documents are JSON."""
