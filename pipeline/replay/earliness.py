"""Earliness: how much of what grew was alerted while it was small, and how often in vain."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from pipeline.replay.planting import Planting

BEFORE_POST: Final = 10
"""An alert counts as early before this post of a narrative …"""
TO_COME: Final = 0.85
"""… and with this share of its posts still to come."""
RESAMPLES: Final = 2000
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A post as the replay grouped it; ``planting`` None: a post of the background.

    ``at`` is in the desk's own time zone: days of the budget are its days.
    """

    at: datetime
    narrative: int
    risk: float
    planting: int | None = None
    text: int = 0
    """Stands for its wording: copies to the letter share one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alert; ``planting`` is what most posts of its narrative belonged to at that moment."""

    at: datetime
    narrative: int
    planting: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A planting that grew, and its first alert; the figures are None where there was none."""

    planting: int
    posts: int
    alerted_at: datetime | None = None
    seen_before: int | None = None
    """Its posts up to the alert."""
    to_come: float | None = None
    """Share of its posts after the alert."""
    hours_before_peak: float | None = None
    """From the alert to the start of its busiest hour; below 0: after it."""
    days_gained: float | None = None
    """From the alert to the debunk, if the first post stood on the day it really was posted."""

    @property
    def before_tenth(self) -> bool:
        """Return whether it was alerted before its tenth post."""
        return self.seen_before is not None and self.seen_before < BEFORE_POST

    @property
    def early(self) -> bool:
        """Return whether it was alerted before its tenth post with most still to come."""
        return self.before_tenth and self.to_come is not None and self.to_come >= TO_COME


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one system did at one budget in one replay; counts by day, the days without too."""

    cases: tuple[Case, ...]
    alerts: tuple[int, ...]
    in_vain: tuple[int, ...]
    """Alerts on what is no planting that grew: too soon (a false post that stayed small) or …"""
    on_harmless: tuple[int, ...]
    """… false in the plain sense: on what was not planted at all."""


def whole_days(since: datetime, until: datetime) -> int:
    """Return how many days a span has.

    Raises:
        ValueError: it has part of a day.
    """
    days, rest = divmod(until - since, DAY)
    if rest:
        raise ValueError("a span of whole days is needed")
    return days


def belongs(plantings: Iterable[int | None]) -> int | None:
    """Return the planting that more than half of the posts belong to, None: none does."""
    counted = Counter(plantings)
    number, posts = counted.most_common(1)[0] if counted else (None, 0)
    return number if 2 * posts > counted.total() else None


def outcome(
    raised: Sequence[Raised],
    plantings: Sequence[Planting],
    *,
    since: datetime,
    until: datetime,
) -> Outcome:
    """Return what the alerts in ``[since, until)``, so many whole days, were worth.

    Counted are plantings that begin there and grow. One that grew before ``since`` is neither
    counted nor held against the alert.

    Raises:
        ValueError: there is part of a day, of which a count a day would say too much.
    """
    grew = {p.number: p for p in plantings if p.grows}
    first: dict[int, datetime] = {}
    days = whole_days(since, until)
    alerts, in_vain, on_harmless = [0] * days, [0] * days, [0] * days
    for alert in sorted(raised, key=lambda a: a.at):
        if not since <= alert.at < until:
            continue
        day = (alert.at - since) // DAY
        alerts[day] += 1
        if alert.planting in grew:
            first.setdefault(alert.planting, alert.at)
            continue
        in_vain[day] += 1
        on_harmless[day] += alert.planting is None
    return Outcome(
        cases=tuple(
            case(p, first.get(p.number)) for p in grew.values() if since <= p.moments[0] < until
        ),
        alerts=tuple(alerts),
        in_vain=tuple(in_vain),
        on_harmless=tuple(on_harmless),
    )


def case(planting: Planting, alerted_at: datetime | None) -> Case:
    """Return how early the first alert on a planting was."""
    posts = len(planting.moments)
    if alerted_at is None:
        return Case(planting=planting.number, posts=posts)
    seen = bisect_right(planting.moments, alerted_at)
    gained = None
    source = planting.source
    if source.posted is not None and source.debunked is not None:
        waited = (alerted_at - planting.moments[0]).total_seconds() / 86400
        gained = (source.debunked - source.posted).days - waited
    return Case(
        planting=planting.number,
        posts=posts,
        alerted_at=alerted_at,
        seen_before=seen,
        to_come=1 - seen / posts,
        hours_before_peak=(peak(planting.moments) - alerted_at).total_seconds() / 3600,
        days_gained=gained,
    )


def peak(moments: Sequence[datetime]) -> datetime:
    """Return the start of the busiest hour: the first moment from which most fall in an hour."""
    best, most = moments[0], 0
    for i, at in enumerate(moments):
        inside = bisect_right(moments, at + timedelta(hours=1)) - i
        if inside > most:
            best, most = at, inside
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """A forecast as it was made: between ``low`` and ``high`` further posts in ``hours``."""

    at: datetime
    narrative: int
    hours: float
    low: float
    high: float
    catches: float = 0.0


def coverage(
    foretold: Sequence[Foretold],
    moments: Mapping[int, Sequence[datetime]],
    *,
    until: datetime,
) -> list[bool]:
    """Return for every forecast that ended before ``until`` whether what came lay within it.

    ``moments`` are the moments of each narrative's posts, ascending.
    """
    out = []
    for made in foretold:
        end = made.at + timedelta(hours=made.hours)
        if end > until:
            continue
        at = moments.get(made.narrative, ())
        came = bisect_right(at, end) - bisect_right(at, made.at)
        out.append(made.low <= came <= made.high)
    return out


def moments_of(seen: Sequence[Seen]) -> dict[int, list[datetime]]:
    """Return the moments of every narrative's posts, ascending."""
    out: dict[int, list[datetime]] = defaultdict(list)
    for post in seen:
        out[post.narrative].append(post.at)
    return {narrative: sorted(at) for narrative, at in out.items()}


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % bootstrap interval; of nothing it is nan."""

    value: float
    low: float
    high: float
    count: int


def interval(values: Sequence[float], *, seed: int = 7) -> Interval:
    """Return the mean of the values and its percentile bootstrap interval (Efron, 1979)."""
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    array = np.asarray(values, dtype=float)
    dice = np.random.default_rng(seed)
    means = array[dice.integers(0, len(array), (RESAMPLES, len(array)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(array.mean()), float(low), float(high), len(array))


def ratio(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 7) -> Interval:
    """Return how many times their mean ours is, both of the same cases in the same order.

    The interval is a paired bootstrap: what is resampled is a case, with what both made of it.
    Where the others have nothing it is inf, and nan where neither has anything.

    Raises:
        ValueError: there are not as many of the one as of the other.
    """
    if len(ours) != len(theirs):
        raise ValueError("of every case what both made of it is needed")
    if not len(ours):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    both = np.asarray([ours, theirs], dtype=float)
    dice = np.random.default_rng(seed)
    sums = both[:, dice.integers(0, both.shape[1], (RESAMPLES, both.shape[1]))].sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = both[0].sum() / both[1].sum()
        times = sums[0] / sums[1]
    times = times[~np.isnan(times)]
    if not len(times):
        return Interval(float("nan"), float("nan"), float("nan"), len(ours))
    # Values as they came: between inf and a number there is nothing to draw a line through.
    low = np.quantile(times, 0.025, method="lower")
    high = np.quantile(times, 0.975, method="higher")
    return Interval(float(value), float(low), float(high), len(ours))
