"""What narratives count of a post's reach, and an index for narratives that are taken away."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_GROWN = sa.text("counted_reach <> reach")
_MERGED = sa.text("merged_into_id IS NOT NULL")

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what narratives have counted so far is what their posts say."""
    op.add_column("posts", sa.Column("counted_reach", sa.BigInteger(), nullable=True))
    op.execute("UPDATE posts SET counted_reach = reach WHERE narrative_id IS NOT NULL")
    op.create_index(
        "ix_posts_reach_grown", "posts", ["id"], sqlite_where=_GROWN, postgresql_where=_GROWN
    )
    op.create_index(
        "ix_narratives_merged_into_id",
        "narratives",
        ["merged_into_id"],
        sqlite_where=_MERGED,
        postgresql_where=_MERGED,
    )


def downgrade() -> None:
    """Take both away."""
    op.drop_index("ix_narratives_merged_into_id", "narratives")
    op.drop_index("ix_posts_reach_grown", "posts")
    op.drop_column("posts", "counted_reach")
