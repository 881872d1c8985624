"""What the queue is filtered by stands in the queue's own rows and its index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COPIED = ("label", "technique", "risk", "platform", "source")


def upgrade() -> None:
    """Copy the columns from the posts and make the index wide enough for every filter."""
    op.add_column(
        "queue", sa.Column("label", sa.String(length=20), nullable=False, server_default="valid")
    )
    op.add_column("queue", sa.Column("technique", sa.String(length=20), nullable=True))
    op.add_column("queue", sa.Column("risk", sa.Double(), nullable=False, server_default="0"))
    op.add_column(
        "queue", sa.Column("platform", sa.String(length=40), nullable=False, server_default="")
    )
    op.add_column(
        "queue", sa.Column("source", sa.String(length=200), nullable=False, server_default="")
    )
    queue, posts = (
        sa.table(name, *(sa.column(c) for c in ("id", "post_id", *_COPIED)))
        for name in ("queue", "posts")
    )
    op.execute(
        sa.update(queue).values(
            {
                name: sa.select(posts.c[name])
                .where(posts.c.id == queue.c.post_id)
                .scalar_subquery()
                for name in _COPIED
            }
        )
    )
    op.drop_index("ix_queue_open", "queue")
    op.create_index(
        "ix_queue_open",
        "queue",
        [
            *("open", "priority", "id", "risk", "label", "technique", "platform", "source"),
            *("state", "first_seen_at"),
        ],
    )


def downgrade() -> None:
    """Take the columns away."""
    op.drop_index("ix_queue_open", "queue")
    for name in reversed(_COPIED):
        op.drop_column("queue", name)
    op.create_index("ix_queue_open", "queue", ["open", "priority", "id"])
