"""Watch-lists, the alerts raised or held back for them, and what was due at all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and a watch-list for everything, so that alerts show on the page."""
    lists = op.create_table(
        "watch_lists",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("regions", sa.JSON(), nullable=False),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("platforms", sa.JSON(), nullable=False),
        sa.Column("minimum_risk", sa.Double(), nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("cut_off", sa.Double(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("budget >= 0", name="ck_watch_lists_budget"),
        sa.PrimaryKeyConstraint("id", name="pk_watch_lists"),
        sa.UniqueConstraint("name", name="uq_watch_lists_name"),
    )
    op.bulk_insert(
        lists,
        [
            {
                "name": "Semua",
                **{
                    name: []
                    for name in (
                        *("terms", "regions", "languages", "labels", "platforms", "channels"),
                    )
                },
                "minimum_risk": 0.0,
                "budget": 40,
                "active": True,
            }
        ],
    )
    _make_alerts()


def _make_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("watch_list_id", _ID, nullable=False),
        sa.Column("narrative_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("held_because", sa.String(length=10), nullable=True),
        sa.Column("urgency", sa.Double(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handled_by_id", _ID, nullable=True),
        sa.CheckConstraint("kind IN ('obor', 'api')", name="ck_alerts_kind"),
        sa.CheckConstraint("state IN ('raised', 'held')", name="ck_alerts_state"),
        sa.CheckConstraint("(state = 'held') = (held_because IS NOT NULL)", name="ck_alerts_held"),
        sa.ForeignKeyConstraint(
            ["watch_list_id"], ["watch_lists.id"], name="fk_alerts_watch_list_id"
        ),
        sa.ForeignKeyConstraint(
            ["narrative_id"], ["narratives.id"], name="fk_alerts_narrative_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["handled_by_id"], ["accounts.id"], name="fk_alerts_handled_by_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint(
            "watch_list_id",
            "narrative_id",
            "kind",
            name="uq_alerts_watch_list_id_narrative_id_kind",
        ),
    )
    for columns in (
        ["watch_list_id", "state", "at"],
        ["watch_list_id", "due_at"],
        ["at", "id"],
        ["narrative_id"],
    ):
        op.create_index(f"ix_alerts_{'_'.join(columns)}", "alerts", columns)
    op.create_table(
        "alert_candidates",
        sa.Column("id", _ID, nullable=False),
        sa.Column("narrative_id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("urgency", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["narrative_id"],
            ["narratives.id"],
            name="fk_alert_candidates_narrative_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alert_candidates"),
        sa.UniqueConstraint("narrative_id", "kind", name="uq_alert_candidates_narrative_id_kind"),
    )
    op.create_index("ix_alert_candidates_at", "alert_candidates", ["at"])


def downgrade() -> None:
    """Take watch-lists and alerts away."""
    op.drop_table("alert_candidates")
    op.drop_table("alerts")
    op.drop_table("watch_lists")
