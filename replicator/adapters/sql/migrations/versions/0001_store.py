"""Make the tables of the first store: posts, the change log, peers, gaps and pins.

The tables are written out, not taken from `schema`, which will have moved on. There is no way
down: a node goes back to an older version from its backup.
"""

import secrets
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_CODE_POINTS: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROW_KEY: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables and draw the log's id."""
    _make_posts()
    _make_pools()
    _make_log()
    _make_decisions()
    _make_peers()


def _make_posts() -> None:
    op.create_table(
        "post",
        sa.Column("id", _ROW_KEY, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("global_id", _CODE_POINTS, nullable=False),
        sa.Column("node", _CODE_POINTS, nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("thread", _CODE_POINTS),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("received_from", _CODE_POINTS),
        sa.Column("signatures", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("post_digest", "post", ["digest"], unique=True)
    op.create_index("post_global_id", "post", ["global_id"], unique=True)
    op.create_table(
        "post_tag",
        sa.Column("post", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tag", _CODE_POINTS, primary_key=True),
        sqlite_with_rowid=False,
    )


def _make_pools() -> None:
    op.create_table(
        "pool",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", _CODE_POINTS, nullable=False),
    )
    op.create_index("pool_key", "pool", ["key"], unique=True)
    op.create_table(
        "post_pool",
        sa.Column("pool", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("post", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("post_pool_post", "post_pool", ["post"])
    op.create_table(
        "announcement",
        sa.Column("pool", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("post", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _make_log() -> None:
    log = op.create_table("log", sa.Column("id", sa.LargeBinary, primary_key=True))
    op.bulk_insert(log, [{"id": secrets.token_bytes(8)}])
    op.create_table(
        "change",
        sa.Column("sequence", _ROW_KEY, primary_key=True, autoincrement=False),
        sa.Column("model", _CODE_POINTS, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("post", sa.BigInteger, nullable=False),
    )


def _make_decisions() -> None:
    op.create_table(
        "decision",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("reason", _CODE_POINTS, nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "equivocation",
        sa.Column("id", _ROW_KEY, primary_key=True),
        sa.Column("global_id", _CODE_POINTS, nullable=False),
        sa.Column("kept", sa.LargeBinary, nullable=False),
        sa.Column("lost", sa.LargeBinary, nullable=False),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
        sa.Column("kept_signatures", sa.LargeBinary, nullable=False),
        sa.Column("lost_signatures", sa.LargeBinary, nullable=False),
        sa.Column("lost_content", sa.LargeBinary, nullable=False),
    )


def _make_peers() -> None:
    op.create_table(
        "peer",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("address", _CODE_POINTS),
        sa.Column("pushed", sa.BigInteger, nullable=False),
        sa.Column("pulled", _CODE_POINTS),
        sa.Column("clock_offset_ms", sa.BigInteger, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "peer_pool",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("key", _CODE_POINTS, primary_key=True),
    )
    op.create_table(
        "gap",
        sa.Column("id", _ROW_KEY, primary_key=True),
        sa.Column("node", _CODE_POINTS, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("global_id", _CODE_POINTS, nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    op.create_index("gap_node_digest", "gap", ["node", "digest"], unique=True)
    op.create_index("gap_digest", "gap", ["digest"])
    op.create_table(
        "node_key",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("key", _CODE_POINTS, primary_key=True),
        sa.Column("state", _CODE_POINTS, nullable=False),
        sa.Column("pinned_at", sa.BigInteger, nullable=False),
        sa.Column("source", _CODE_POINTS, nullable=False),
    )
