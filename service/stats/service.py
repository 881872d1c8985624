"""The desk in figures: what came in, what was flagged, how quickly and how surely it was decided.

Everything is of the items first seen in the last ``days`` days, in days of WIB, and of the newest
``MOST_ITEMS`` of those, so that no page reads the whole queue. Golden items, which check the desk
itself, count nowhere but in ``golden``. Posts are counted by the index of ``received_at`` alone.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session

from service.pages.words import WIB
from service.queue import service as queue
from service.queue.service import Agreement, Golden
from service.tables import QueueItem, Review, StoredPost, Utc, Verdict

RANGES: Final = (7, 30, 90)
DAYS: Final = 30
MOST_DAYS: Final = 90
MOST_ITEMS: Final = 50_000
"""Items that are looked at: of 1,000,000 posts and 100,000 items, 0.4 s of one core."""
EXACT_POSTS: Final = 200_000
"""Up to so many, posts are counted one by one (5 ms); beyond, their numbers give the total."""
SLOW_S: Final = 0.5
KEPT_S: Final = 60.0
"""What took longer than ``SLOW_S`` is shown again for so long."""
_Z: Final = 1.959963984540054
"""The normal distribution's 97.5 % quantile: intervals of 95 %."""
_FURTHER: Final = 4
"""Counting days is cheap: it goes so many times as far back as the rest."""
_ONE_STEP_S: Final = 0.5
_LOOKED_AT: Final = (
    *("id", "label", "technique", "platform", "first_seen_at", "decided_at", "verdict"),
    "reviews_wanted",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of WIB: posts that came in, and how many of them were flagged."""

    day: date
    posts: int
    flagged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How many of the decided items were rightly flagged, with a 95 % interval (Wilson, 1927)."""

    decided: int
    kept: int
    """Decided as anything but valid."""
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long something took, in seconds: median and 90th percentile of ``count`` cases."""

    count: int
    median_s: float
    p90_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Items that share a platform or technique: how many, and what was decided on them."""

    name: str | None
    items: int
    decided: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The desk in figures."""

    days: int
    since: datetime
    posts_total: int
    """Exact up to ``EXACT_POSTS``; beyond, at most what was deleted or rolled back too high."""
    open: int
    overdue: int
    """Open and overdue are of the whole queue."""
    by_day: Sequence[Day]
    items: int
    capped: bool
    """There were more than ``MOST_ITEMS``."""
    verdicts: dict[str, int]
    by_label: dict[str, dict[str, int]]
    """Verdicts by the label that the model gave."""
    precision: Precision | None
    to_decision: Times | None
    """From first seen to decided."""
    to_verdict: Times | None
    """From a claim to the verdict of the one who claimed."""
    platforms: Sequence[Part]
    techniques: Sequence[Part]
    agreement: Agreement

    @property
    def posts(self) -> int:
        """How many posts came in."""
        return sum(day.posts for day in self.by_day)

    @property
    def flagged(self) -> int:
        """How many of them were flagged."""
        return sum(day.flagged for day in self.by_day)


class Kept:
    """What was slow to make is shown again for a while; what is quick is always made anew."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._making = threading.Lock()
        self._made: dict[int, tuple[float, Statistics]] = {}

    def get(self, days: int, make: Callable[[], Statistics]) -> Statistics:
        """Return the figures of a range made less than ``KEPT_S`` ago, or make them.

        One at a time: whoever asks while they are being made gets the same ones.
        """
        with self._making:
            started = self._clock()
            known = self._made.get(days)
            if known is not None and started - known[0] < KEPT_S:
                return known[1]
            made = make()
            ended = self._clock()
            if ended - started > SLOW_S:
                self._made[days] = (ended, made)
            else:
                self._made.pop(days, None)
            return made


def statistics(
    session: Session,
    *,
    days: int = DAYS,
    now: datetime | None = None,
    most_items: int = MOST_ITEMS,
    exact_posts: int = EXACT_POSTS,
) -> Statistics:
    """Return the desk in figures over the last ``days`` days, today included."""
    now = now or datetime.now(UTC)
    today = now.astimezone(WIB).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days - 1)
    newest = _newest(_LOOKED_AT, most_items + 1)
    item = newest.c
    here = (item.first_seen_at >= since, item.first_seen_at <= now)

    by = (item.label, item.technique, item.platform, item.verdict)
    groups = session.execute(select(*by, func.count()).where(*here).group_by(*by)).all()
    count = sum(row[-1] for row in groups)
    verdicts: dict[str, int] = {}
    by_label: dict[str, dict[str, int]] = {}
    for label, _, _, verdict, number in groups:
        if verdict is not None:
            verdicts[str(verdict)] = verdicts.get(str(verdict), 0) + number
            of_label = by_label.setdefault(str(label), {})
            of_label[str(verdict)] = of_label.get(str(verdict), 0) + number
    decided = sum(verdicts.values())
    flagged = _flagged_by_day(session, since, now, _FURTHER * most_items)
    return Statistics(
        days=days,
        since=since,
        posts_total=_total(session, exact_posts),
        open=_open(session),
        overdue=_open(session, QueueItem.due_at < now),
        by_day=[
            Day(day=day.date(), posts=_posts_of_day(session, day), flagged=flagged.get(number, 0))
            for number in range(days)
            for day in [since + timedelta(days=number)]
        ],
        items=count,
        capped=count > most_items,
        verdicts=verdicts,
        by_label=by_label,
        precision=wilson(decided - verdicts.get(Verdict.VALID.value, 0), decided),
        to_decision=times(_decision_times(session, newest, here)),
        to_verdict=times(_claim_times(session, newest, here)),
        platforms=_parts([(row[2], row[3], row[4]) for row in groups]),
        techniques=_parts([(row[1], row[3], row[4]) for row in groups]),
        agreement=_agreement(session, newest, here),
    )


def golden(session: Session) -> Sequence[Golden]:
    """Return how often each moderator found the known answers; for analysts and admins."""
    return queue.golden_agreement(session)


def wilson(kept: int, decided: int) -> Precision | None:
    """Return a share with its 95 % interval; None of nothing.

    Wilson (1927): unlike ±1.96 standard errors it stays within 0 and 1 and holds for few cases.
    """
    if not decided:
        return None
    share, z2 = kept / decided, _Z**2
    middle = (share + z2 / (2 * decided)) / (1 + z2 / decided)
    spread = share * (1 - share) / decided + z2 / (4 * decided**2)
    half = _Z * math.sqrt(spread) / (1 + z2 / decided)
    return Precision(
        decided=decided,
        kept=kept,
        share=share,
        low=max(0.0, middle - half),
        high=min(1.0, middle + half),
    )


def times(seconds: Sequence[float]) -> Times | None:
    """Return median and 90th percentile (nearest rank) of durations; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(max(0.0, s) for s in seconds)

    def rank(share: float) -> float:
        return ordered[math.ceil(share * len(ordered)) - 1]

    return Times(count=len(ordered), median_s=rank(0.5), p90_s=rank(0.9))


# --- within ------------------------------------------------------------------------------------


def _total(session: Session, exact: int) -> int:
    some = select(StoredPost.id).limit(exact + 1).subquery()
    count = session.scalar(select(func.count()).select_from(some)) or 0
    if count <= exact:
        return count
    first, last = session.execute(
        select(
            select(func.min(StoredPost.id)).scalar_subquery(),
            select(func.max(StoredPost.id)).scalar_subquery(),
        )
    ).one()
    return int(last - first + 1)


def _open(session: Session, *conditions: Any) -> int:
    query = select(func.count()).select_from(QueueItem).where(QueueItem.open, *conditions)
    return session.scalar(query) or 0


def _posts_of_day(session: Session, day: datetime) -> int:
    return (
        session.scalar(
            select(func.count()).where(
                StoredPost.received_at >= day, StoredPost.received_at < day + timedelta(days=1)
            )
        )
        or 0
    )


def _seconds(session: Session, start: Any, end: Any) -> ColumnElement[Any]:
    """Return the seconds between two moments as the database reckons them."""
    if session.get_bind().dialect.name == "sqlite":
        return (func.julianday(end) - func.julianday(start)) * 86_400.0
    return func.extract("epoch", end - start)


def _newest(columns: Sequence[str], most: int) -> Any:
    """Return the newest items, the golden ones apart, as a table to select from."""
    return (
        select(*(getattr(QueueItem, name) for name in columns))
        .where(QueueItem.golden.is_(None))
        .order_by(QueueItem.id.desc())
        .limit(most)
        .subquery("newest")
    )


def _flagged_by_day(session: Session, since: datetime, now: datetime, most: int) -> dict[int, int]:
    seen = _newest(("first_seen_at",), most).c.first_seen_at
    number = func.floor(_seconds(session, literal(since, Utc), seen) / 86_400.0)
    query = select(number, func.count()).where(seen >= since, seen <= now).group_by(number)
    return {int(day): int(count) for day, count in session.execute(query)}


def _decision_times(session: Session, newest: Any, here: Any) -> list[float]:
    taken = _seconds(session, newest.c.first_seen_at, newest.c.decided_at)
    query = select(taken).where(*here, newest.c.decided_at.is_not(None))
    return [float(seconds) for seconds in session.scalars(query)]


def _claim_times(session: Session, newest: Any, here: Any) -> list[float]:
    taken = _seconds(session, Review.claimed_at, Review.decided_at)
    query = (
        select(taken)
        .select_from(Review)
        .join(newest, newest.c.id == Review.item_id)
        .where(*here, Review.undone_at.is_(None), Review.claimed_at.is_not(None))
    )
    # Many decided at once are claimed and decided in one step: that took nobody any time.
    return [float(s) for s in session.scalars(query) if s > _ONE_STEP_S]


def _parts(rows: Sequence[tuple[str | None, str | None, int]]) -> list[Part]:
    found: dict[str | None, list[int]] = {}
    for name, verdict, number in rows:
        counts = found.setdefault(name, [0, 0, 0])
        counts[0] += number
        counts[1] += number if verdict is not None else 0
        counts[2] += number if verdict not in (None, Verdict.VALID) else 0
    parts = [Part(name=n, items=c[0], decided=c[1], kept=c[2]) for n, c in found.items()]
    return sorted(parts, key=lambda part: (-part.items, part.name or ""))


def _agreement(session: Session, newest: Any, here: Any) -> Agreement:
    """Return how far first and second verdicts agree, over the items that have two."""
    firm = (
        select(Review.item_id, Review.verdict)
        .join(newest, newest.c.id == Review.item_id)
        .where(
            *here,
            newest.c.reviews_wanted >= 2,
            Review.undone_at.is_(None),
            Review.verdict != Verdict.NEEDS_MORE,
        )
        .order_by(Review.item_id, Review.id)
    )
    by_item: dict[int, list[str]] = {}
    for item_id, verdict in session.execute(firm):
        by_item.setdefault(item_id, []).append(str(verdict))
    return queue.cohen_kappa([(v[0], v[1]) for v in by_item.values() if len(v) >= 2])
