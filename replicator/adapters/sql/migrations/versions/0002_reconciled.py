"""Keep the reconciled sets with their summary, what each origin has, floors, and introductions.

Fills the new tables from the posts that are there. What was decided against before stands in no
pool's set, because nobody knows its pools any more; repair enters it where a peer has it. Written
out, not taken from `schema`; sums are made here for the same reason.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"

_CODE_POINTS: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_DAY_MS: Final = 86_400_000
_LEAF_ITEMS: Final = 384
"""Items under one entry that this migration makes: there is room for more."""
_BATCH_LEAVES: Final = 32


def upgrade() -> None:
    """Make the tables and fill them."""
    _make_sets()
    _make_floors()
    _make_members()
    connection = op.get_bind()
    _drop_entries_of_lost_posts(connection)
    _fill_sets(connection)
    connection.exec_driver_sql(
        "INSERT INTO origin (node, posts, size, floor)"
        " SELECT node, count(*), sum(size), 0 FROM post GROUP BY node"
    )


def _make_sets() -> None:
    op.create_table(
        "reconciled",
        sa.Column("pool", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("published", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "summary",
        sa.Column("pool", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("published", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("total", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )


def _make_floors() -> None:
    op.add_column("log", sa.Column("floor", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("log", sa.Column("last", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column(
        "decision", sa.Column("published", sa.BigInteger, nullable=False, server_default="0")
    )
    # Posts are at most some minutes younger than the time at which they are decided against
    statement = sa.text("UPDATE decision SET published = decided_at + :day")
    op.get_bind().execute(statement, {"day": _DAY_MS})
    op.create_index("decision_published", "decision", ["published"])
    op.create_index("gap_published", "gap", ["published"])
    op.create_index("post_node_published", "post", ["node", "published"])
    op.create_index("announcement_post", "announcement", ["post"])
    op.create_table(
        "origin",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("posts", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _make_members() -> None:
    op.create_table(
        "member",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("pools", _CODE_POINTS, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
        sa.Column("offered", sa.Boolean, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )


def _drop_entries_of_lost_posts(connection: sa.Connection) -> None:
    """Remove what the log tells of posts that lost an equivocation: entries now go with posts."""
    connection.exec_driver_sql(
        "UPDATE log SET last = coalesce((SELECT max(sequence) FROM change), 0)"
    )
    for statement in (
        "DELETE FROM change WHERE NOT EXISTS (SELECT 1 FROM post WHERE post.id = change.post)",
        "DELETE FROM announcement"
        " WHERE NOT EXISTS (SELECT 1 FROM post WHERE post.id = announcement.post)",
    ):
        connection.exec_driver_sql(statement)


def _fill_sets(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        "INSERT INTO reconciled (pool, published, digest)"
        " SELECT post_pool.pool, post.published, post.digest"
        " FROM post_pool JOIN post ON post.id = post_pool.post ORDER BY 1, 2, 3"
    )
    summary = sa.table(
        "summary", *map(sa.column, ("pool", "published", "digest", "items", "total"))
    )
    for (pool,) in connection.exec_driver_sql("SELECT id FROM pool").fetchall():
        for leaves in _summaries(connection, pool):
            connection.execute(sa.insert(summary), leaves)


def _summaries(connection: sa.Connection, pool: int) -> Iterator[list[dict[str, object]]]:
    """Yield the summary of one pool's set in order, some entries at a time."""
    place: tuple[int, bytes] = (0, b"")
    rows = sa.text(
        "SELECT published, digest FROM reconciled"
        " WHERE pool = :pool AND (published, digest) > (:published, :digest)"
        " ORDER BY published, digest LIMIT :most"
    )
    most = _LEAF_ITEMS * _BATCH_LEAVES
    first = True
    while True:
        names = {"pool": pool, "published": place[0], "digest": place[1], "most": most}
        items = [(row[0], bytes(row[1])) for row in connection.execute(rows, names)]
        if not items:
            return
        parts = [items[at : at + _LEAF_ITEMS] for at in range(0, len(items), _LEAF_ITEMS)]
        lowers = [part[0] for part in parts]
        if first:
            lowers[0], first = (0, b""), False
        yield [
            {
                "pool": pool,
                "published": lower[0],
                "digest": lower[1],
                "items": len(part),
                "total": _total(part),
            }
            for lower, part in zip(lowers, parts, strict=True)
        ]
        place = items[-1]


def _total(items: list[tuple[int, bytes]]) -> bytes:
    total = sum(int.from_bytes(digest, "little") for _, digest in items)
    return (total % 2**256).to_bytes(32, "little")
