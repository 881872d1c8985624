"""What is read of narratives: pages of them, one with its posts, and what they look like in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    func,
    select,
    text,
    tuple_,
)
from sqlalchemy.orm import Session, contains_eager, defer, load_only

from service.queue.repository import NOT_DECIDED, not_reviewed_by
from service.tables import (
    NARRATIVE_SHOWN,
    Account,
    Narrative,
    NarrativeEvent,
    QueueItem,
    Review,
    StoredPost,
)

STAGES: Final = ("api", "obor", "lilin", "padam", "quiet")
"""As ``pipeline.spread.Stage`` names them, the hottest first."""
WATCHED: Final = ("lilin", "obor", "api")
"""Stages of what is risky and alive."""
MINIMUM: Final = 2
"""Posts from which a narrative is listed unless asked otherwise; a watched one is at any size."""
SEARCHED: Final = 3000
"""Narratives that one page looks through for words or sizes, which have no index."""
_COMPARED: Final = 400
"""Narratives that a narrative is compared with, hottest and latest each: 600 KB of vectors."""
_NO_VECTORS: Final = (defer(Narrative.centre), defer(Narrative.profile))
Cursor = tuple[float, int]
"""What the list is sorted by, and the number, of the last row of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a person wants to see of the narratives; ``minimum`` is in posts, None everything."""

    stage: str | None = None
    minimum: int = MINIMUM
    words: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Narratives without their vectors, and the cursor of the next page; None: there is none."""

    narratives: list[Narrative]
    next: Cursor | None


def page(
    session: Session,
    filters: Filters,
    *,
    after: Cursor | None = None,
    limit: int = 25,
    searched: int = SEARCHED,
) -> Page:
    """Return narratives, the hottest first, from ``after`` on.

    A search for words, or for more posts than ``MINIMUM``, looks through ``searched`` narratives
    a page, so such a page may be short and yet have a next one.
    """
    query = select(Narrative).order_by(Narrative.heat.desc(), Narrative.id.desc())
    if after is not None:
        query = query.where(tuple_(Narrative.heat, Narrative.id) < tuple_(*after))
    if filters.stage is not None:
        query = query.where(Narrative.stage == filters.stage, Narrative.merged_into_id.is_(None))
    elif filters.minimum >= MINIMUM:
        query = query.where(text(NARRATIVE_SHOWN))  # word for word, or the index is not used
    else:
        query = query.where(Narrative.merged_into_id.is_(None))
    end: Cursor | None = None
    listed = filters.stage is None and filters.minimum <= MINIMUM
    if filters.words or not (listed or filters.minimum <= 1):
        place = query.with_only_columns(Narrative.heat, Narrative.id)
        last = session.execute(place.offset(searched - 1).limit(1)).first()
        end = None if last is None else (last[0], last[1])
        among = query.with_only_columns(Narrative.id).limit(searched).subquery()
        query = (
            select(Narrative)
            .where(Narrative.id.in_(select(among.c.id)), *_wanted(filters))
            .order_by(Narrative.heat.desc(), Narrative.id.desc())
        )
    found = list(session.scalars(query.options(*_NO_VECTORS).limit(limit + 1)))
    if len(found) > limit:
        end = (found[limit - 1].heat, found[limit - 1].id)
    return Page(narratives=found[:limit], next=end)


def _wanted(filters: Filters) -> list[ColumnElement[bool]]:
    wanted = [
        func.lower(Narrative.title).contains(word, autoescape=True)
        for word in (filters.words or "").lower().split()[:8]
    ]
    if filters.minimum > 1:
        small = filters.minimum <= MINIMUM
        many = Narrative.posts >= filters.minimum
        wanted.append(many | (Narrative.stage != "quiet") if small else many)
    return wanted


def find(session: Session, narrative_id: int) -> Narrative | None:
    """Return a narrative, its vector left for when it is asked for."""
    return session.scalar(
        select(Narrative).where(Narrative.id == narrative_id).options(*_NO_VECTORS)
    )


def by_number(session: Session, numbers: Collection[int]) -> dict[int, Narrative]:
    """Return narratives by number, with what a line about each needs."""
    if not numbers:
        return {}
    brief = load_only(
        *(Narrative.title, Narrative.stage, Narrative.posts, Narrative.risk),
        *(Narrative.verdict, Narrative.verdict_at, Narrative.verdict_by_id),
    )
    query = select(Narrative).where(Narrative.id.in_(set(numbers))).options(brief)
    return {narrative.id: narrative for narrative in session.scalars(query)}


def deciders(session: Session, narratives: Collection[Narrative]) -> dict[int, str]:
    """Return by narrative who gave its verdict."""
    by = {n.id: n.verdict_by_id for n in narratives if n.verdict_by_id is not None}
    if not by:
        return {}
    query = select(Account.id, Account.name).where(Account.id.in_(set(by.values())))
    names = {row.id: row.name for row in session.execute(query)}
    return {number: names[account] for number, account in by.items()}


# --- counts -------------------------------------------------------------------------------------


def stage_counts(session: Session) -> dict[str, int]:
    """Return how many narratives stand in each of the stages that are watched."""
    query = (
        select(Narrative.stage, func.count())
        .where(Narrative.stage.in_(WATCHED), Narrative.merged_into_id.is_(None))
        .group_by(Narrative.stage)
    )
    counts = {row[0]: row[1] for row in session.execute(query)}
    return {stage: counts.get(stage, 0) for stage in WATCHED}


def hottest(session: Session, stage: str, most: int) -> list[Narrative]:
    """Return the hottest narratives of a stage."""
    return page(session, Filters(stage=stage, minimum=1), limit=most).narratives


def moved(session: Session, most: int = 20) -> list[datetime]:
    """Return when the watched narratives entered their stages, the latest first."""
    query = (
        select(Narrative.stage_since)
        .where(
            Narrative.stage.in_(WATCHED),
            Narrative.merged_into_id.is_(None),
            Narrative.stage_since.is_not(None),
        )
        .order_by(Narrative.stage_since.desc())
        .limit(most)
    )
    return [moment for moment in session.scalars(query) if moment is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Open items of a narrative: all, those free for the viewer's verdict, those of others.

    ``blind``: the viewer has yet to give a verdict on items that someone else has given one on,
    so the viewer must not be told what was said of the narrative.
    """

    open: int = 0
    mine: int = 0
    held: int = 0
    blind: bool = False


def work(
    session: Session, narrative_ids: Collection[int], viewer_id: int, now: datetime
) -> dict[int, Work]:
    """Return by narrative what there is to decide; a narrative with nothing open is left out."""
    if not narrative_ids:
        return {}
    fresh = not_reviewed_by(viewer_id)
    given = exists().where(Review.item_id == QueueItem.id, Review.undone_at.is_(None))
    held = and_(
        QueueItem.assignee_id.is_not(None),
        QueueItem.assignee_id != viewer_id,
        QueueItem.claim_until > now,
    )

    def count(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count().filter(condition)

    query = (
        select(
            StoredPost.narrative_id,
            func.count(),
            count(fresh),
            count(and_(fresh, held)),
            count(and_(fresh, given)),
        )
        .join(StoredPost.item)
        .where(StoredPost.narrative_id.in_(set(narrative_ids)), NOT_DECIDED)
        .group_by(StoredPost.narrative_id)
    )
    return {
        number: Work(open=items, mine=mine - others, held=others, blind=second > 0)
        for number, items, mine, others, second in session.execute(query)
        if number is not None
    }


def open_items(
    narrative_id: int, viewer_id: int, columns: Sequence[Any] = (QueueItem.id,)
) -> Select[Any]:
    """Return the query of a narrative's open items that the viewer has given no verdict on."""
    return (
        select(*columns)
        .join(QueueItem.post)
        .where(
            StoredPost.narrative_id == narrative_id,
            NOT_DECIDED,
            not_reviewed_by(viewer_id),
        )
    )


# --- one narrative ------------------------------------------------------------------------------


class Order(StrEnum):
    """How a narrative's posts are sorted."""

    NEWEST = "newest"
    REACH = "reach"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostsPage:
    """Posts with their items, and the cursor of the next page; None: there is none."""

    posts: list[StoredPost]
    next: Cursor | None


def posts(
    session: Session,
    narrative_id: int,
    order: Order,
    *,
    after: Cursor | None = None,
    limit: int = 25,
) -> PostsPage:
    """Return a narrative's posts, the newest or the most seen first, from ``after`` on."""
    by: Any = StoredPost.event_at if order is Order.NEWEST else StoredPost.reach
    query = (
        select(StoredPost)
        .outerjoin(StoredPost.item)
        .where(StoredPost.narrative_id == narrative_id)
        .options(contains_eager(StoredPost.item), defer(StoredPost.embedding))
        .order_by(by.desc(), StoredPost.id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        edge = _edge(order, after[0])
        if edge is None:
            return PostsPage(posts=[], next=None)
        query = query.where(tuple_(by, StoredPost.id) < tuple_(edge, after[1]))
    found = list(session.scalars(query))
    end: Cursor | None = None
    if len(found) > limit:
        last = found[limit - 1]
        assert last.event_at is not None
        end = (
            _micros(last.event_at) if order is Order.NEWEST else float(last.reach),
            last.id,
        )
    return PostsPage(posts=found[:limit], next=end)


_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _micros(moment: datetime) -> float:
    """Return microseconds since 1970: a double holds them whole until the year 2255."""
    return float((moment - _EPOCH) // timedelta(microseconds=1))


def _edge(order: Order, value: float) -> datetime | int | None:
    """Return what a cursor holds; None: no post can have it."""
    if not abs(value) < 2**62:
        return None
    try:
        moment = _EPOCH + timedelta(microseconds=value)
    except OverflowError:
        moment = None
    return moment if order is Order.NEWEST else int(value)


def events(session: Session, narrative_id: int, most: int = 50) -> list[NarrativeEvent]:
    """Return what happened to a narrative, the latest first."""
    query = select(NarrativeEvent).where(NarrativeEvent.narrative_id == narrative_id)
    return list(session.scalars(query.order_by(NarrativeEvent.id.desc()).limit(most)))


def standing_verdicts(session: Session, narrative_id: int) -> list[NarrativeEvent]:
    """Return the verdicts on all of a narrative that were not taken back, the latest first."""
    query = select(NarrativeEvent).where(
        NarrativeEvent.narrative_id == narrative_id,
        NarrativeEvent.kind == "verdict",
        NarrativeEvent.undone_at.is_(None),
    )
    return list(session.scalars(query.order_by(NarrativeEvent.id.desc())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """A narrative that may tell the same, and the cosine of the two centres."""

    narrative: Narrative
    likeness: float


def like(
    session: Session, narrative: Narrative, *, at_least: float = 0.5, most: int = 5
) -> list[Like]:
    """Return the narratives most like one, among the hottest and those that had a post last."""
    own = _vector(narrative.centre)
    if own is None:
        return []
    shown = (
        select(Narrative.id, Narrative.centre)
        .where(text(NARRATIVE_SHOWN), Narrative.id != narrative.id)
        .limit(_COMPARED)
    )
    near: dict[int, float] = {}
    for order in (Narrative.heat.desc(), Narrative.last_seen_at.desc()):
        for number, centre in session.execute(shown.order_by(order)):
            other = _vector(centre)
            if other is not None and other.shape == own.shape:
                near[number] = float(other @ own)
    best = sorted(near.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    found = by_number(session, [number for number, cosine in best if cosine >= at_least])
    return [
        Like(narrative=found[number], likeness=cosine) for number, cosine in best if number in found
    ]


def _vector(centre: bytes | None) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    vector = np.frombuffer(centre or b"", np.float32)
    length = float(np.linalg.norm(vector))
    return vector / length if length else None


# --- as a file ----------------------------------------------------------------------------------


def first_seen_since(
    session: Session, since: datetime, after: tuple[datetime, int] | None, limit: int
) -> list[Narrative]:
    """Return listed narratives that began at ``since`` or later, by their last post.

    The last post has an index and cannot be before the first.
    """
    query = (
        select(Narrative)
        .where(
            Narrative.last_seen_at >= since,
            Narrative.first_seen_at >= since,
            text(NARRATIVE_SHOWN),
        )
        .options(*_NO_VECTORS)
        .order_by(Narrative.last_seen_at, Narrative.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Narrative.last_seen_at, Narrative.id) > tuple_(*after))
    return list(session.scalars(query))
