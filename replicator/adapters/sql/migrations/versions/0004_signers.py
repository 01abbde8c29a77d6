"""Keep who signed what was decided against, and which nodes' posts are to be judged anew.

The proofs tell who signed what was decided before. Where they do not, and a key of the origin is
pinned, such a decision keeps nothing else out. Written out, not taken from `schema`, which goes on
changing.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"

_CODE_POINTS: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the column and the table; the posts of every pinned node are judged anew."""
    op.add_column("decision", sa.Column("signers", sa.LargeBinary))
    op.create_table(
        "repinned",
        sa.Column("node", _CODE_POINTS, primary_key=True),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("after_id", _CODE_POINTS, nullable=False),
        sa.Column("found", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    names = ("node", "place", "after_id", "found")
    table = sa.table("repinned", *map(sa.column, names))
    connection = op.get_bind()
    nodes = connection.exec_driver_sql("SELECT DISTINCT node FROM node_key").fetchall()
    for place, (node,) in enumerate(nodes, 1):
        row = {"node": node, "place": place, "after_id": "", "found": False}
        connection.execute(table.insert().values(row))
    _fill_signers(connection)


def _fill_signers(connection: sa.Connection) -> None:
    """Take from the proofs who signed: a form byte, then 32 bytes of key and 64 of value each."""
    proofs = connection.exec_driver_sql(
        "SELECT kept, kept_signatures, lost, lost_signatures FROM equivocation"
    )
    fill = sa.text("UPDATE decision SET signers = :signers WHERE digest = :digest")
    for kept, kept_signed, lost, lost_signed in proofs.fetchall():
        for digest, signed in ((kept, kept_signed), (lost, lost_signed)):
            keys = b"".join(signed[at : at + 32] for at in range(1, len(signed), 96))
            connection.execute(fill, {"signers": keys, "digest": digest})
