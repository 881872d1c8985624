"""Keys of posts in the order of their time: what comes in now stands together in their index."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from models.text import normalise

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_PART = 1_000
_LENGTH = 32
_PLACE = 8
_LONG_NUMBER = 15

_POSTS = sa.table(
    "posts",
    sa.column("id", sa.BigInteger()),
    sa.column("key", sa.String()),
    sa.column("platform", sa.String()),
    sa.column("external_id", sa.String()),
    sa.column("account", sa.String()),
    sa.column("text", sa.Text()),
    sa.column("posted_at", sa.DateTime(timezone=True)),
)
_WRITE = (
    sa.update(_POSTS).where(_POSTS.c.id == sa.bindparam("_id")).values(key=sa.bindparam("_key"))
)


def upgrade() -> None:
    """Put the time before each digest; times that are part of a digest are taken in UTC."""
    _rewrite(_by_time)


def downgrade() -> None:
    """Take the time away again.

    What is known by its words and a time was so by the time as it was sent. In what time zone is
    not kept: unless it was UTC, such a post counts as new when it is sent again.
    """
    _rewrite(lambda row: _digest(row)[:_LENGTH])


def _rewrite(key_of: Callable[[Any], str]) -> None:
    connection = op.get_bind()
    last = 0
    while True:
        query = sa.select(_POSTS).where(_POSTS.c.id > last).order_by(_POSTS.c.id).limit(_PART)
        rows = connection.execute(query).all()
        if not rows:
            return
        last = rows[-1].id
        keys = {row.id: key_of(row) for row in rows}
        # Two posts may have become the same one (a time in two time zones): the later keeps its
        # key, that nothing else has.
        taken = set(
            connection.scalars(sa.select(_POSTS.c.key).where(_POSTS.c.key.in_(keys.values())))
        )
        changes = []
        for number, key in keys.items():
            if key not in taken:
                taken.add(key)
                changes.append({"_id": number, "_key": key})
        if changes:
            connection.execute(_WRITE, changes)


def _at(row: Any) -> datetime | None:
    """Return the time of a post that is known by its words; SQLite keeps no time zone."""
    at: datetime | None = row.posted_at
    if at is None or row.external_id:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _digest(row: Any) -> str:
    identity: tuple[str, ...]
    if row.external_id:
        identity = ("id", row.external_id)
    else:
        identity = ("text", normalise(row.text))
        at = _at(row)
        if row.account or at:
            identity = (*identity, row.account or "", at.isoformat() if at else "")
    return hashlib.sha256("\x1f".join((row.platform, *identity)).encode()).hexdigest()


def _by_time(row: Any) -> str:
    digest, at = _digest(row), _at(row)
    place = digest[-_PLACE:]
    if at:
        place = f"{math.floor(at.timestamp()) % 16**_PLACE:08x}"
    elif row.external_id and len(row.external_id) >= _LONG_NUMBER:
        number = row.external_id
        place = number[:_PLACE] if number.isascii() and number.isdigit() else place
    return place + digest[: _LENGTH - _PLACE]
