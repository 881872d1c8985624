"""What was told of a narrative stays when it comes back and is told of anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_KEY = ("watch_list_id", "narrative_id", "kind")
_BEFORE = "uq_alerts_watch_list_id_narrative_id_kind"
_AFTER = "uq_alerts_watch_list_id_narrative_id_kind_wave"


def upgrade() -> None:
    """Number the alerts of a narrative and kind; so far there is one of each."""
    with op.batch_alter_table("alerts") as alerts:
        alerts.add_column(sa.Column("wave", sa.Integer(), nullable=False, server_default="0"))
        alerts.drop_constraint(_BEFORE, type_="unique")
        alerts.create_unique_constraint(_AFTER, [*_KEY, "wave"])


def downgrade() -> None:
    """Keep the latest alert of each."""
    op.execute(
        "DELETE FROM alerts WHERE wave < (SELECT max(wave) FROM alerts AS later WHERE "
        + " AND ".join(f"later.{name} = alerts.{name}" for name in _KEY)
        + ")"
    )
    with op.batch_alter_table("alerts") as alerts:
        alerts.drop_constraint(_AFTER, type_="unique")
        alerts.create_unique_constraint(_BEFORE, [*_KEY])
        alerts.drop_column("wave")
