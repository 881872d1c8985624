"""Rate limits that hold across workers: tallies in the database, one row per key and span."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from service.tables import Tally


def add(session: Session, key: str, *, span_s: int, now: float | None = None) -> int:
    """Count one more of ``key`` in the running span and return how many there are now."""
    start = _start(span_s, now)
    dialect = session.get_bind().dialect.name
    insert: Any = sqlite_insert if dialect == "sqlite" else postgresql_insert
    statement = (
        insert(Tally)
        .values(key=key[:160], span=start, count=1)
        .on_conflict_do_update(index_elements=["key", "span"], set_={"count": Tally.count + 1})
        .returning(Tally.count)
    )
    return int(session.execute(statement).scalar_one())


def tally(session: Session, key: str, *, span_s: int, now: float | None = None) -> int:
    """Return how many of ``key`` were counted in the running span."""
    query = select(func.sum(Tally.count)).where(
        Tally.key == key[:160], Tally.span == _start(span_s, now)
    )
    return int(session.scalar(query) or 0)


def clear(session: Session, key: str) -> None:
    """Forget what was counted of ``key``."""
    session.execute(delete(Tally).where(Tally.key == key[:160]))


def seconds_left(span_s: int, now: float | None = None) -> int:
    """Return the seconds until the running span ends."""
    moment = time.time() if now is None else now
    return max(1, round(_start(span_s, now) + span_s - moment))


def _start(span_s: int, now: float | None) -> int:
    moment = time.time() if now is None else now
    return int(moment // span_s * span_s)
