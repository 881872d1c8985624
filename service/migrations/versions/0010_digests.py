"""Digests by post instead of by band: what is written grows at its end alone. Shorter word numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op

from models.text import normalise
from pipeline.digest import exact_of, plain, runs_of

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PART = 1_000

_BUCKETS = 1 << 17
"""Places of the table of word weights: words are kept as such places from now on."""

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NARRATIVES = sa.table("narratives", sa.column("id", _ID), sa.column("profile", sa.LargeBinary))
_POSTS = sa.table("posts", sa.column("id", _ID), sa.column("text", sa.Text))


def upgrade() -> None:
    """Make the table anew: the bands are those that were kept, the runs are cut from the texts."""
    bands: dict[int, list[int]] = {}
    for band, post_id in op.get_bind().execute(sa.text("SELECT band, post_id FROM digests")):
        bands.setdefault(post_id, []).append(band)
    op.drop_table("digests")
    table = op.create_table(
        "digests",
        sa.Column("post_id", _ID, autoincrement=False, nullable=False),
        sa.Column("bands", sa.LargeBinary(), nullable=False),
        sa.Column("runs", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["post_id"], ["posts.id"], name="fk_digests_post_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("post_id", name="pk_digests"),
    )
    for rows in _rewritten(bands):
        op.bulk_insert(table, rows)
    narratives = op.get_bind().execute(sa.select(_NARRATIVES.c.id, _NARRATIVES.c.profile)).all()
    shorter = sa.update(_NARRATIVES).where(_NARRATIVES.c.id == sa.bindparam("_id"))
    for start in range(0, len(narratives), _PART):
        op.get_bind().execute(
            shorter.values(profile=sa.bindparam("_profile")),
            [
                {"_id": number, "_profile": _shortened(profile or b"")}
                for number, profile in narratives[start : start + _PART]
            ],
        )


def _rewritten(bands: Mapping[int, Sequence[int]]) -> Iterator[list[dict[str, Any]]]:
    post_ids = sorted(bands)
    for start in range(0, len(post_ids), _PART):
        part = post_ids[start : start + _PART]
        query = sa.select(_POSTS.c.id, _POSTS.c.text).where(_POSTS.c.id.in_(part))
        posts = op.get_bind().execute(query).all()
        runs = runs_of([plain(normalise(text)) for _, text in posts])
        exact = exact_of(runs).tolist()
        yield [
            {
                "post_id": post_id,
                "bands": np.array([same, *sorted(bands[post_id])], "<i8").tobytes(),
                "runs": own.astype("<u4").tobytes(),
            }
            for (post_id, _), own, same in zip(posts, runs, exact, strict=True)
        ]


def _shortened(profile: bytes) -> bytes:
    pairs = np.frombuffer(profile, "<u4").reshape(-1, 2).tolist()
    counts: dict[int, int] = {}
    for word, count in pairs:
        word &= _BUCKETS - 1
        counts[word] = max(counts.get(word, 0), count)
    return np.array(list(counts.items()), "<u4").tobytes()


def downgrade() -> None:
    """Make the table by band again."""
    rows = op.get_bind().execute(sa.text("SELECT post_id, bands FROM digests")).all()
    op.drop_table("digests")
    table = op.create_table(
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
    for start in range(0, len(rows), _PART):
        values = [
            {"band": band, "post_id": post_id}
            for post_id, bands in rows[start : start + _PART]
            for band in np.frombuffer(bands, "<i8").tolist()[1:]
        ]
        op.bulk_insert(table, values)
