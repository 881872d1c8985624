"""The measurement: from a narrative's posts to how it spreads now."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final

from pipeline.spread.forecast import (
    PACE_HALF_LIFE_H,
    REPEATED,
    SIZE_HALF_LIFE_H,
    forecast_of,
)
from pipeline.spread.growth import PRIOR_SD, doubling_of, growth_of
from pipeline.spread.season import Season
from pipeline.spread.signs import signs_of
from pipeline.spread.surprise import BASE_RATE, surprise_of
from pipeline.spread.values import Bucket, Moment, Spread

DAY_HOURS: Final = 24.0
LATEST_GAPS: Final = 20
"""Gaps from which the usual one is taken: the pace of late, not that of the beginning."""
_RATE_HALF_LIFE_H: Final = 1.0
_BUCKET_MIDDLE_H: Final = 0.5
_LN2: Final = math.log(2.0)

_Row = tuple[float, int, int]


def measure(
    moments: Sequence[Moment],
    buckets: Sequence[Bucket],
    *,
    now: datetime,
    season: Season,
    base_rate: float = BASE_RATE,
) -> Spread:
    """Return how a narrative spreads at ``now``.

    ``moments`` are its latest posts (a few hundred), in any order; ``buckets`` what came before
    them. ``base_rate``: posts an hour of a usual narrative. A post from the future counts as
    posted now. The same posts in another order give the same answer, to the last bit.
    """
    now_s = now.timestamp()
    stamped = [(m.at.timestamp() - now_s, m.account, m.text) for m in moments]
    stamped.sort()
    rows: list[_Row] = [(max(0.0, at / -3600.0), account, text) for at, account, text in stamped]
    ages = [row[0] for row in rows]
    older = _older(buckets, now_s, ages[0] if ages else 0.0)
    older_posts = sum(n for _, n in older)
    accounts = _accounts(rows)
    pace, size = _faded(rows, older, accounts)
    last_day = sum(age <= DAY_HOURS for age in ages)
    last_day += sum(n for age, n in older if age <= DAY_HOURS)
    if len(rows) + older_posts > 1:
        growth, sd = growth_of(ages)
        surprise = surprise_of(ages, older, season.exposure(now_s), base_rate)
    else:
        growth, sd = 0.0, PRIOR_SD
        surprise = surprise_of((), (), season.exposure(now_s), base_rate)
    return Spread(
        posts=len(rows) + older_posts,
        accounts=accounts,
        platforms=len({m.platform for m in moments}),
        reach=sum(m.reach for m in moments) + sum(b.reach for b in buckets),
        posts_last_hour=sum(age <= 1.0 for age in ages) + sum(n for age, n in older if age <= 1.0),
        posts_last_day=last_day,
        rate=_rate(ages),
        peak_rate=float(max(_busiest_hour(ages), _busiest_bucket(buckets))),
        growth=growth,
        doubling_hours=doubling_of(growth, sd),
        expected=surprise.expected,
        surprise=surprise.p,
        forecast=forecast_of(pace, size, growth, last_day),
        signs=signs_of(rows),
        quiet_hours=_quiet(ages, older),
        window_hours=surprise.hours,
        window_posts=surprise.posts,
        growth_sd=sd,
        usual_gap_hours=_usual_gap(ages),
    )


def _older(buckets: Sequence[Bucket], now_s: float, oldest: float) -> list[tuple[float, int]]:
    """Return age and number of the posts before the moments; none is younger than these."""
    return [
        (max(oldest, (now_s - b.at.timestamp()) / 3600.0 - _BUCKET_MIDDLE_H), b.posts)
        for b in buckets
        if b.posts > 0
    ]


def _accounts(rows: Sequence[_Row]) -> int:
    known = {account for _, account, _ in rows}
    unknown = sum(not account for _, account, _ in rows)
    return len(known) - (0 in known) + unknown


def _faded(
    rows: Sequence[_Row], older: Sequence[tuple[float, int]], accounts: int
) -> tuple[float, float]:
    """Return posts faded quickly and slowly, an account's further posts counting less."""
    quick, slow = -_LN2 / PACE_HALF_LIFE_H, -_LN2 / SIZE_HALF_LIFE_H
    exp = math.exp
    pace = size = 0.0
    seen: set[int] = set()
    for age, account, _ in rows:
        weight = 1.0
        if account:
            if account in seen:
                weight = REPEATED
            else:
                seen.add(account)
        pace += weight * exp(quick * age)
        size += weight * exp(slow * age)
    if older:
        fresh = accounts / len(rows) if rows else 1.0
        weight = fresh + (1.0 - fresh) * REPEATED
        pace += weight * sum(n * exp(quick * age) for age, n in older)
        size += weight * sum(n * exp(slow * age) for age, n in older)
    return pace, size


def _rate(ages: Sequence[float]) -> float:
    fade = -_LN2 / _RATE_HALF_LIFE_H
    return _LN2 / _RATE_HALF_LIFE_H * sum(math.exp(fade * age) for age in ages)


def _busiest_hour(ages: Sequence[float]) -> int:
    most = first = 0
    for i, age in enumerate(ages):
        while ages[first] - age > 1.0:
            first += 1
        most = max(most, i - first + 1)
    return most


def _busiest_bucket(buckets: Sequence[Bucket]) -> int:
    by_hour: dict[int, int] = defaultdict(int)
    for bucket in buckets:
        by_hour[int(bucket.at.timestamp() // 3600)] += bucket.posts
    return max(by_hour.values(), default=0)


def _quiet(ages: Sequence[float], older: Sequence[tuple[float, int]]) -> float:
    if ages:
        return ages[-1]
    return min((age for age, _ in older), default=0.0)


def _usual_gap(ages: Sequence[float]) -> float | None:
    late = ages[-LATEST_GAPS - 1 :]
    gaps = [before - after for before, after in pairwise(late)]
    return median(gaps) if gaps else None
