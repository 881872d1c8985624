"""The alert budget: "we can read so many a day", and what follows from it. Pure functions.

A candidate is a narrative that was due for an alert, whether it was raised or not. From the last
week of them follows the cut-off: the least urgency with which as many pass as can be read. The
budget is kept exactly all the same: never more than so many in any 24 hours.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from service.stats.service import Precision, wilson

HISTORY: Final = timedelta(days=7)
"""A week: candidates come and go with the days of it."""
DAY: Final = timedelta(days=1)
LEAST_DAYS: Final = 1.0
"""History that a cut-off is taken from: less than a day may be a morning alone."""
ENOUGH_VERDICTS: Final = 10
"""Fewer verdicts give an interval of some 50 points: no number is shown then."""
MOST_BUDGET: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A narrative that was due at ``at``; ``urgency`` is the highest it came to."""

    narrative_id: int
    kind: str
    at: datetime
    urgency: float
    title: str = ""
    kept: bool | None = None
    """What people decided on it: worth it (True), valid (False), nothing yet (None)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRun:
    """What a week would have brought with a watch-list's settings."""

    days: float
    """So much history there is, ``HISTORY`` at most."""
    cut_off: float
    raised: tuple[Candidate, ...]
    """The latest first."""
    below: int
    """Due, but less urgent than the cut-off."""
    over: int
    """Urgent enough, but the day's budget was spent, or half of it and it was told of before."""
    by_day: tuple[tuple[date, int], ...]
    precision: Precision | None
    """Share of the alerts that people would find worth it; None: too few verdicts."""

    @property
    def a_day(self) -> float:
        """Return how many alerts a day came of it."""
        return len(self.raised) / max(self.days, 1.0)

    @property
    def enough(self) -> bool:
        """Return whether there was enough to take the cut-off from."""
        return self.days >= LEAST_DAYS


def history(since: datetime, now: datetime) -> float:
    """Return how many days of history there are since then, ``HISTORY`` at most."""
    return max(0.0, (min(now - since, HISTORY)) / DAY)


def cut_off(urgencies: Iterable[float], *, budget: int, days: float, floor: float = 0.0) -> float:
    """Return the least urgency that passes, so that ``budget`` a day would have passed.

    The n-th highest of ``days`` days, n = ``budget`` · ``days``; ``floor`` where there were not so
    many: who can read all of them gets all of them.
    """
    most = int(budget * days)
    ordered = sorted(urgencies, reverse=True)
    return max(floor, ordered[most - 1]) if 0 < most < len(ordered) else floor


def has_room(raised: int, budget: int) -> bool:
    """Return whether one more may be raised after ``raised`` in the last 24 hours."""
    return raised < budget


def has_room_again(raised: int, budget: int) -> bool:
    """Return whether there is room too for one whose narrative was told of before: half is left.

    With ten alerts a day 81 % of 147 planted narratives (development texts and bursts) were told
    of early so; where such an alert may take the last room as well, 67 %.
    """
    return 2 * raised < budget


def precision(candidates: Iterable[Candidate], *, least: float | None = None) -> Precision | None:
    """Return how many of those as urgent as ``least`` were worth it; None: too few verdicts."""
    judged = [
        c.kept for c in candidates if c.kept is not None and (least is None or c.urgency >= least)
    ]
    return wilson(sum(judged), len(judged)) if len(judged) >= ENOUGH_VERDICTS else None


def shadow(
    candidates: Sequence[Candidate],
    *,
    budget: int,
    now: datetime,
    since: datetime | None,
    default: float,
    floor: float,
    zone: tzinfo,
) -> ShadowRun:
    """Return what the last week would have brought.

    ``since``: when candidates began to be kept, None: never. ``default`` is the cut-off while
    there is no week of them; ``zone`` says when a day begins.
    """
    start = now - HISTORY
    days = 0.0 if since is None else history(since, now)
    week = sorted(
        (c for c in candidates if start < c.at <= now),
        key=lambda c: (c.at, -c.urgency, c.narrative_id),
    )
    least = (
        cut_off((c.urgency for c in week), budget=budget, days=days, floor=floor)
        if days >= LEAST_DAYS
        else max(default, floor)
    )
    raised: list[Candidate] = []
    told: set[int] = set()
    last_day: deque[datetime] = deque()
    below = over = 0
    for candidate in week:
        while last_day and last_day[0] <= candidate.at - DAY:
            last_day.popleft()
        if candidate.urgency < least:
            below += 1
        elif (has_room_again if candidate.narrative_id in told else has_room)(
            len(last_day), budget
        ):
            last_day.append(candidate.at)
            told.add(candidate.narrative_id)
            raised.append(candidate)
        else:
            over += 1
    counts = Counter(c.at.astimezone(zone).date() for c in raised)
    first = (now - timedelta(days=min(days, HISTORY / DAY))).astimezone(zone).date()
    length = (now.astimezone(zone).date() - first).days + 1
    return ShadowRun(
        days=days,
        cut_off=least,
        raised=tuple(reversed(raised)),
        below=below,
        over=over,
        by_day=tuple((d, counts[d]) for n in range(length) for d in (first + timedelta(days=n),)),
        precision=precision(candidates, least=least),
    )
