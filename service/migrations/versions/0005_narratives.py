"""Narratives: what posts tell, how it spreads, and what near-duplicates are found by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UNGROUPED = sa.text("narrative_id IS NULL")
_DUE = sa.text("due > 0")
_SHOWN = sa.text("merged_into_id IS NULL AND (posts > 1 OR stage <> 'quiet')")

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; posts that are there wait to be grouped."""
    op.create_table(
        "narratives",
        sa.Column("id", _ID, autoincrement=False, nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("keywords", sa.JSON(), nullable=False),
        sa.Column("title_post_id", sa.BigInteger(), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posts", sa.Integer(), nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False),
        sa.Column("platforms", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("reach", sa.BigInteger(), nullable=False),
        sa.Column("risk_sum", sa.Double(), nullable=False),
        sa.Column("risk", sa.Double(), nullable=False),
        sa.Column("stage", sa.String(length=10), nullable=False, server_default="quiet"),
        sa.Column("stage_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("spread", sa.JSON(), nullable=True),
        sa.Column("heat", sa.Double(), nullable=False, server_default="0"),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("titled_posts", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("centre", sa.LargeBinary(), nullable=True),
        sa.Column("profile", sa.LargeBinary(), nullable=True),
        sa.Column("last_post_id", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=True),
        sa.Column("verdict_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict_by_id", _ID, nullable=True),
        sa.Column("merged_into_id", _ID, nullable=True),
        sa.CheckConstraint(
            "stage IN ('quiet', 'lilin', 'obor', 'api', 'padam')", name="ck_narratives_stage"
        ),
        sa.ForeignKeyConstraint(
            ["verdict_by_id"], ["accounts.id"], name="fk_narratives_verdict_by_id"
        ),
        sa.ForeignKeyConstraint(
            ["merged_into_id"], ["narratives.id"], name="fk_narratives_merged_into_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_narratives"),
    )
    op.create_index("ix_narratives_heat_id", "narratives", ["heat", "id"])
    op.create_index("ix_narratives_stage_heat_id", "narratives", ["stage", "heat", "id"])
    op.create_index(
        "ix_narratives_due", "narratives", ["due", "id"], sqlite_where=_DUE, postgresql_where=_DUE
    )
    op.create_index("ix_narratives_last_seen_at", "narratives", ["last_seen_at"])
    op.create_index(
        "ix_narratives_shown",
        "narratives",
        ["heat", "id"],
        sqlite_where=_SHOWN,
        postgresql_where=_SHOWN,
    )
    op.create_index("ix_narratives_look_at", "narratives", ["look_at"])
    op.create_index("ix_narratives_last_post_id", "narratives", ["last_post_id"])
    _make_parts()
    with op.batch_alter_table("posts") as posts:
        posts.add_column(sa.Column("event_at", sa.DateTime(timezone=True), nullable=True))
        posts.add_column(sa.Column("narrative_id", _ID, nullable=True))
        posts.add_column(sa.Column("joined_by", sa.String(length=10), nullable=True))
        posts.add_column(sa.Column("joined_likeness", sa.Double(), nullable=True))
        posts.add_column(sa.Column("variant_id", sa.BigInteger(), nullable=True))
        posts.create_foreign_key("fk_posts_narrative_id", "narratives", ["narrative_id"], ["id"])
        posts.create_index("ix_posts_narrative_id_event_at", ["narrative_id", "event_at"])
    op.create_index(
        "ix_posts_ungrouped", "posts", ["id"], sqlite_where=_UNGROUPED, postgresql_where=_UNGROUPED
    )


def _make_parts() -> None:
    narrative = sa.ForeignKeyConstraint
    op.create_table(
        "narrative_buckets",
        sa.Column("narrative_id", _ID, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("posts", sa.Integer(), nullable=False),
        sa.Column("risky", sa.Integer(), nullable=False),
        sa.Column("reach", sa.BigInteger(), nullable=False),
        narrative(
            ["narrative_id"],
            ["narratives.id"],
            name="fk_narrative_buckets_narrative_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("narrative_id", "at", name="pk_narrative_buckets"),
    )
    op.create_table(
        "narrative_accounts",
        sa.Column("narrative_id", _ID, nullable=False),
        sa.Column("account", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("posts", sa.Integer(), nullable=False),
        narrative(
            ["narrative_id"],
            ["narratives.id"],
            name="fk_narrative_accounts_narrative_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("narrative_id", "account", name="pk_narrative_accounts"),
    )
    op.create_table(
        "narrative_events",
        sa.Column("id", _ID, nullable=False),
        sa.Column("narrative_id", _ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        narrative(
            ["narrative_id"],
            ["narratives.id"],
            name="fk_narrative_events_narrative_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_narrative_events"),
    )
    op.create_index(
        "ix_narrative_events_narrative_id_id", "narrative_events", ["narrative_id", "id"]
    )
    head = op.create_table(
        "narrative_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("season", sa.JSON(), nullable=False),
        sa.Column("owner", sa.String(length=40), nullable=True),
        sa.Column("owner_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reclustered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_narrative_head"),
    )
    op.bulk_insert(head, [{"id": 1, "next_id": 1, "version": 0, "season": []}])
    op.create_table(
        "digests",
        sa.Column("band", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("post_id", _ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["post_id"], ["posts.id"], name="fk_digests_post_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("band", "post_id", name="pk_digests"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_digests_post_id", "digests", ["post_id"])


def downgrade() -> None:
    """Take narratives away; the posts stay."""
    op.drop_index("ix_posts_ungrouped", "posts")
    with op.batch_alter_table("posts") as posts:
        posts.drop_index("ix_posts_narrative_id_event_at")
        posts.drop_constraint("fk_posts_narrative_id", type_="foreignkey")
        for name in ("event_at", "narrative_id", "joined_by", "joined_likeness", "variant_id"):
            posts.drop_column(name)
    for name in (
        "digests",
        "narrative_head",
        "narrative_events",
        "narrative_accounts",
        "narrative_buckets",
        "narratives",
    ):
        op.drop_table(name)
