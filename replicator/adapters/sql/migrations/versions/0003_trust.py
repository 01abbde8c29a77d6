"""Keep key announcements, the quarantine of posts, backfills, blocks and equivocating origins.

Written out, not taken from `schema`, which goes on changing.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"

_CODE_POINTS: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROW_KEY: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; of equivocations known before, the origins are flagged."""
    op.add_column("node_key", sa.Column("until", sa.BigInteger))
    op.create_table(
        "key_serial",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("serial", sa.BigInteger, nullable=False),
    )
    _make_quarantine()
    op.create_table(
        "backfill",
        sa.Column("id", _ROW_KEY, primary_key=True),
        sa.Column("peer", _CODE_POINTS, nullable=False),
        sa.Column("query", _CODE_POINTS, nullable=False),
        sa.Column("cursor", _CODE_POINTS),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("reason", _CODE_POINTS, nullable=False),
        sa.Column("posts", sa.BigInteger, nullable=False),
        sa.Column("remaining", sa.BigInteger),
    )
    op.create_index("backfill_peer_query", "backfill", ["peer", "query"], unique=True)
    op.create_table(
        "filled",
        sa.Column("name", _CODE_POINTS, primary_key=True),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "block",
        sa.Column("value", _CODE_POINTS, primary_key=True),
        sa.Column("kind", _CODE_POINTS, primary_key=True),
        sa.Column("blocked_at", sa.BigInteger, nullable=False),
        sa.Column("reason", _CODE_POINTS, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
    )
    op.create_index("block_state", "block", ["state"])
    op.add_column("decision", sa.Column("global_id", _CODE_POINTS))
    op.create_index("decision_global_id", "decision", ["global_id"])
    op.add_column("equivocation", sa.Column("kept_content", sa.LargeBinary))
    op.execute(
        "UPDATE equivocation SET kept_content ="
        " (SELECT content FROM post WHERE post.digest = equivocation.kept)"
    )
    op.execute(
        "UPDATE decision SET global_id ="
        " (SELECT max(global_id) FROM equivocation WHERE equivocation.lost = decision.digest)"
        " WHERE digest IN (SELECT lost FROM equivocation)"
    )
    _make_equivocators()


def _make_quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", _ROW_KEY, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("global_id", _CODE_POINTS, nullable=False),
        sa.Column("origin", _CODE_POINTS, nullable=False),
        sa.Column("deliverer", _CODE_POINTS, nullable=False),
        sa.Column("published", sa.BigInteger, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
        sa.Column("pools", _CODE_POINTS, nullable=False),
        sa.Column("signatures", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("quarantine_digest", "quarantine", ["digest", "deliverer"], unique=True)
    covered = ["origin", "deliverer", "size", "noted_at"]
    op.create_index("quarantine_origin", "quarantine", covered)
    op.create_index("quarantine_deliverer", "quarantine", ["deliverer", "size"])


def _make_equivocators() -> None:
    op.create_table(
        "equivocator",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
    )
    op.create_index("equivocator_last_at", "equivocator", ["last_at"])
    connection = op.get_bind()
    seen: dict[str, list[int]] = {}
    for post_id, noted_at in connection.exec_driver_sql(
        "SELECT global_id, noted_at FROM equivocation"
    ):
        seen.setdefault(post_id.partition("/")[0], []).append(noted_at)
    table = sa.table("equivocator", *map(sa.column, ("node", "first_at", "last_at", "times")))
    for node, times in seen.items():
        connection.execute(
            table.insert().values(
                node=node, first_at=min(times), last_at=max(times), times=len(times)
            )
        )
