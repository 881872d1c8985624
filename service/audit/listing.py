"""The audit trail to look at: filters, pages by key, and the whole of it as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service import export
from service.database import Database
from service.export import Format
from service.tables import AuditRow

FIELDS: Final = ("id", "at", "actor", "action", "subject", "details", "hash")
WINDOW: Final = 200_000
"""Rows that one page by actor looks through: the actor has no index, and a page must stay quick."""
_EXPORTED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilters:
    """What to see of the trail; None: everything. ``since`` is included, ``until`` is not."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Rows, the newest first; ``before`` leads to the older ones, None: there are none."""

    rows: Sequence[AuditRow]
    before: int | None


def page(
    session: Session,
    filters: AuditFilters,
    *,
    before: int | None = None,
    limit: int = 50,
    window: int = WINDOW,
) -> AuditPage:
    """Return a page of rows older than the row ``before``.

    By actor alone, a page looks through ``window`` rows and may be short, even empty, while
    ``before`` says that there is more to look through.
    """
    low, high = _bounds(session, filters)
    if before is not None:
        high = min(high, before)
    scans = filters.actor is not None and filters.subject is None
    floor = max(low, high - window) if scans else low
    found = list(
        session.scalars(
            select(AuditRow)
            .where(AuditRow.id >= floor, AuditRow.id < high, *_same(filters))
            .order_by(AuditRow.id.desc())
            .limit(limit)
        )
    )
    if len(found) == limit:
        return AuditPage(rows=found, before=found[-1].id if found[-1].id > low else None)
    return AuditPage(rows=found, before=floor if floor > low else None)


def _same(filters: AuditFilters) -> list[Any]:
    pairs = (
        (AuditRow.actor, filters.actor),
        (AuditRow.action, filters.action),
        (AuditRow.subject, filters.subject),
    )
    return [column == value for column, value in pairs if value is not None]


def _bounds(session: Session, filters: AuditFilters) -> tuple[int, int]:
    """Return the first row and the row after the last of a span of time.

    Rows are written one after the other under a lock and have no gaps, so that their times rise
    with their numbers and halving finds a moment in some twenty look-ups, without an index. Clocks
    of several machines that differ by a second blur the bounds by as much.
    """
    end = (session.scalar(select(func.max(AuditRow.id))) or 0) + 1
    low = 1 if filters.since is None else _first_from(session, filters.since, end)
    high = end if filters.until is None else _first_from(session, filters.until, end)
    return low, high


def _first_from(session: Session, moment: datetime, end: int) -> int:
    low, high = 1, end
    while low < high:
        middle = (low + high) // 2
        at = session.scalar(select(AuditRow.at).where(AuditRow.id == middle))
        if at is not None and at < moment:
            low = middle + 1
        else:
            high = middle
    return low


def exported(database: Database, filters: AuditFilters, format: Format) -> Iterator[bytes]:  # noqa: A002
    """Yield the trail as a file, the oldest row first, in pieces.

    Each piece is read in a transaction of its own, so that a slow reader holds nothing up; what is
    written after the start is left out. In CSV, cells that a spreadsheet would run are defused.
    """
    with database.read() as session:
        low, high = _bounds(session, filters)
    yield export.head(FIELDS, format)
    while low < high:
        # By numbers, not by hits: a filter that finds little must not make one query of it all.
        stop = min(high, low + _EXPORTED_AT_ONCE)
        with database.read() as session:
            query = select(AuditRow).where(AuditRow.id >= low, AuditRow.id < stop)
            found = session.scalars(query.where(*_same(filters)).order_by(AuditRow.id)).all()
        if found:
            yield export.lines([as_dict(row) | {"at": row.at.isoformat()} for row in found], format)
        low = stop


def as_dict(row: AuditRow) -> dict[str, Any]:
    """Return a row's fields by name."""
    return {name: getattr(row, name) for name in FIELDS}
