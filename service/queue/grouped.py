"""Pages of the queue in which the items of one narrative are one row: its first item leads it.

An item leads if no other of its narrative that the viewer would be shown stands before it. So a
row stands in one place however the pages are cut, and when its item is decided the next one leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session

from service.queue import repository
from service.queue.repository import Cursor, Filters
from service.tables import QueueItem, StoredPost

_READ: Final = 100
"""Items read at once; most lead, or stand with others that do."""
_ROUNDS: Final = 8
"""Reads of one page: it may be short and yet have a next one, never slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An item, and how many others of its narrative stand behind it."""

    item: QueueItem
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows, and the cursor of the next page; None: there is none."""

    rows: list[Row]
    next: Cursor | None


def groups(filters: Filters) -> bool:
    """Return whether a list with these filters is one of rows that stand for narratives.

    Not where single items are looked for: by words, in one narrative, by who works on them, or
    among those that are decided.
    """
    single = (filters.state, filters.words, filters.narrative_id, filters.assignee_id)
    return all(value is None for value in single)


def page(
    session: Session,
    filters: Filters,
    *,
    viewer_id: int,
    after: Cursor | None = None,
    limit: int = 50,
    now: datetime | None = None,
) -> Page:
    """Return rows, highest priority first, from ``after`` on; filters as for the plain list."""
    now = now or datetime.now(UTC)
    if not groups(filters):
        plain = repository.page(
            session, filters, viewer_id=viewer_id, after=after, limit=limit, now=now
        )
        return Page(rows=[Row(item=item, others=0) for item in plain.items], next=plain.next)
    leading: dict[int, int] = {}
    """Numbers of the items that lead, with how many others stand behind each."""
    leaders: dict[int, int | None] = {}
    """By narrative the item that leads it; None: it stood on a page before."""
    place, more = after, True
    for _ in range(_ROUNDS):
        rows = _read(session, filters, viewer_id, place, set(leaders), now)
        fresh = {row.narrative_id for row in rows} - leaders.keys() - {None}
        counts = _leaders(session, filters, viewer_id, fresh, now)
        for row in rows:
            if row.narrative_id is None:
                leading[row.id] = 0
            elif row.narrative_id not in leaders:
                leader, many = counts[row.narrative_id]
                here = leader == row.id
                leaders[row.narrative_id] = row.id if here else None
                if here:
                    leading[row.id] = many - 1
            place = (row.priority, row.id)
            if len(leading) > limit:
                break
        more = len(rows) == _READ
        if len(leading) > limit or not more:
            break
    items = repository.items_of(session, list(leading)[:limit])
    end = place if more else None
    if len(leading) > limit:
        end = (items[-1].priority, items[-1].id)
    return Page(rows=[Row(item=item, others=leading[item.id]) for item in items], next=end)


def _read(
    session: Session,
    filters: Filters,
    viewer_id: int,
    place: Cursor | None,
    passed: set[int],
    now: datetime,
) -> list[Any]:
    """Return number, priority and narrative of the items that follow, of other narratives."""
    query = (
        repository.matches(filters, viewer_id, now)
        .join(QueueItem.post)
        .with_only_columns(QueueItem.id, QueueItem.priority, StoredPost.narrative_id)
        .order_by(QueueItem.priority.desc(), QueueItem.id.desc())
        .limit(_READ)
    )
    if place is not None:
        query = query.where(tuple_(QueueItem.priority, QueueItem.id) < tuple_(*place))
    if passed:
        other = StoredPost.narrative_id.not_in(passed)
        query = query.where(or_(StoredPost.narrative_id.is_(None), other))
    return list(session.execute(query).all())


def _leaders(
    session: Session, filters: Filters, viewer_id: int, narratives: set[int], now: datetime
) -> dict[int, tuple[int, int]]:
    """Return by narrative the item that leads it, and how many it has."""
    if not narratives:
        return {}
    order = (QueueItem.priority.desc(), QueueItem.id.desc())
    rank = func.row_number().over(partition_by=StoredPost.narrative_id, order_by=order)
    many = func.count().over(partition_by=StoredPost.narrative_id)
    ranked = (
        repository.matches(filters, viewer_id, now, narratives=narratives)
        .with_only_columns(
            QueueItem.id,
            StoredPost.narrative_id,
            rank.label("rank"),
            many.label("many"),
        )
        .subquery()
    )
    query = select(ranked.c.narrative_id, ranked.c.id, ranked.c.many).where(ranked.c.rank == 1)
    return {row.narrative_id: (row.id, row.many) for row in session.execute(query)}
