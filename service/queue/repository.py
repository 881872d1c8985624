"""What is read of the queue: pages of it, one item, who can be given one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, contains_eager, joinedload, selectinload

from pipeline.pii import mask
from service.accounts import access
from service.accounts.access import Right
from service.tables import Account, QueueItem, Review, State, StoredPost

SEARCHED: Final = 3000
"""Items that one page looks through for words: the texts have no index. Some 30 ms on two cores."""
_HELD: Final = 2000
"""Most items that are held at one moment; a lease lasts minutes."""

NOT_DECIDED: Final = QueueItem.state != State.DECIDED
"""That an item is open, for queries that go from a narrative's few posts to their items: where the
condition is the column that the order's index begins with, SQLite walks all that is open instead."""

Cursor = tuple[float, int]
"""Priority and number of the last item of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a person wants to see of the queue; None: everything."""

    state: State | None = None
    label: str | None = None
    technique: str | None = None
    minimum_risk: float | None = None
    platform: str | None = None
    source: str | None = None
    seen_after: datetime | None = None
    seen_before: datetime | None = None
    assignee_id: int | None = None
    narrative_id: int | None = None
    words: str | None = None
    masked: bool = False
    """The words must stand in the text as it is with personal data masked: a hit tells no more than
    the caller may read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Items with their posts, and the cursor of the next page; None: there is none."""

    items: list[QueueItem]
    next: Cursor | None


def page(
    session: Session,
    filters: Filters,
    *,
    viewer_id: int,
    after: Cursor | None = None,
    limit: int = 50,
    searched: int = SEARCHED,
    now: datetime | None = None,
) -> Page:
    """Return items, highest priority first, from ``after`` on.

    Without a state, what is open: new, reopened, or claimed. An item on which the viewer has
    given a verdict that waits for a second one is not shown again to the viewer. A search for
    words looks through ``searched`` items a page, so such a page may be short and yet have a
    next one.
    """
    now = now or datetime.now(UTC)
    matching = matches(filters, viewer_id, now)
    held = _held(session, filters, now)
    if held is not None:
        matching = matching.where(QueueItem.id.in_(held))
    if after is not None:
        matching = matching.where(tuple_(QueueItem.priority, QueueItem.id) < tuple_(*after))
    end: Cursor | None = None
    if filters.words:
        ordered = matching.order_by(QueueItem.priority.desc(), QueueItem.id.desc())
        last = session.execute(
            ordered.with_only_columns(QueueItem.priority, QueueItem.id)
            .offset(searched - 1)
            .limit(1)
        ).first()
        end = None if last is None else (last[0], last[1])
        among = ordered.limit(searched).subquery()
        found: Select[Any] = (
            select(among.c.id)
            .join(StoredPost, StoredPost.id == among.c.post_id)
            .where(*_with_words(filters.words))
            .order_by(among.c.priority.desc(), among.c.id.desc())
        )
    else:
        found = matching.with_only_columns(QueueItem.id).order_by(
            QueueItem.priority.desc(), QueueItem.id.desc()
        )
    if filters.words and filters.masked:
        wanted = filters.words.lower().split()
        shown = session.execute(found.add_columns(StoredPost.text)).all()
        fitting = [number for number, text in shown if _all_in(wanted, mask(text).lower())]
        ids = fitting[: limit + 1]
    else:
        ids = list(session.scalars(found.limit(limit + 1)))
    items = items_of(session, ids[:limit])
    if len(ids) > limit:
        end = (items[-1].priority, items[-1].id)
    return Page(items=items, next=end)


def items_of(session: Session, ids: Collection[int]) -> list[QueueItem]:
    """Return items with all that is shown of them, highest priority first."""
    if not ids:
        return []
    return list(
        session.scalars(
            select(QueueItem)
            .join(QueueItem.post)
            .where(QueueItem.id.in_(ids))
            .options(
                contains_eager(QueueItem.post),
                joinedload(QueueItem.assignee),
                selectinload(QueueItem.reviews).joinedload(Review.account),
            )
            .order_by(QueueItem.priority.desc(), QueueItem.id.desc())
            .execution_options(populate_existing=True)
        )
    )


def find_item(session: Session, item_id: int) -> QueueItem | None:
    """Return an item with all that is shown of it."""
    return next(iter(items_of(session, [item_id])), None)


def moderators(session: Session) -> list[Account]:
    """Return the accounts that can hold an item, by name."""
    roles = [role for role, rights in access.ROLES.items() if Right.MODERATE in rights]
    return list(
        session.scalars(
            select(Account).where(Account.active, Account.role.in_(roles)).order_by(Account.name)
        )
    )


def matches(
    filters: Filters, viewer_id: int, now: datetime, *, narratives: Collection[int] = ()
) -> Select[QueueItem]:
    """Return the query of the items that the filters let pass, the words apart.

    ``narratives``: of these alone. The query of a narrative joins the posts.
    """
    if filters.narrative_id is not None:
        narratives = (filters.narrative_id,)
    is_open = NOT_DECIDED if narratives else QueueItem.open.expression
    wanted: list[ColumnExpressionArgument[bool]] = []
    if filters.state is None:
        wanted.append(is_open)
    elif filters.state is State.DECIDED:
        wanted.append(~is_open)
    elif filters.state is State.CLAIMED:
        wanted += [is_open, QueueItem.state == State.CLAIMED, QueueItem.claim_until > now]
    else:
        # A claim that ran out is no claim: such an item stands among the new ones.
        lapsed = and_(QueueItem.state == State.CLAIMED, QueueItem.claim_until <= now)
        same = QueueItem.state == filters.state
        wanted += [is_open, or_(same, lapsed) if filters.state is State.NEW else same]
    equal: tuple[tuple[Any, Any], ...] = (
        (QueueItem.label, filters.label),
        (QueueItem.technique, filters.technique),
        (QueueItem.platform, filters.platform),
        (QueueItem.source, filters.source),
        (QueueItem.assignee_id, filters.assignee_id),
    )
    wanted += [column == value for column, value in equal if value is not None]
    if filters.minimum_risk is not None:
        wanted.append(QueueItem.risk >= filters.minimum_risk)
    if filters.seen_after is not None:
        wanted.append(QueueItem.first_seen_at >= filters.seen_after)
    if filters.seen_before is not None:
        wanted.append(QueueItem.first_seen_at < filters.seen_before)
    if filters.state is not State.DECIDED:
        wanted.append(not_reviewed_by(viewer_id))
    found = select(QueueItem).where(*wanted)
    if not narratives:
        return found
    return found.join(QueueItem.post).where(StoredPost.narrative_id.in_(narratives))


def not_reviewed_by(account_id: int) -> ColumnElement[bool]:
    """Return the condition that an item has no standing verdict of the account."""
    return ~exists().where(
        Review.item_id == QueueItem.id,
        Review.account_id == account_id,
        Review.undone_at.is_(None),
    )


def _held(session: Session, filters: Filters, now: datetime) -> list[int] | None:
    """Return the items that can be meant by "claimed" or "mine", which are few; None: any."""
    query = select(QueueItem.id).limit(_HELD)
    if filters.assignee_id is not None:
        query = query.where(QueueItem.assignee_id == filters.assignee_id)
    elif filters.state is State.CLAIMED:
        query = query.where(QueueItem.assignee_id.is_not(None), QueueItem.claim_until > now)
    else:
        return None
    return list(session.scalars(query))


def _all_in(words: Collection[str], text: str) -> bool:
    return all(word in text for word in words)


def _with_words(words: str) -> list[ColumnExpressionArgument[bool]]:
    return [
        func.lower(StoredPost.text).contains(word, autoescape=True)
        for word in words.lower().split()[:8]
    ]
