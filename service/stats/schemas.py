"""The desk's figures as JSON."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from service.stats.service import DAYS, MOST_DAYS, Part, Precision, Statistics, Times
from service.web import Model


class StatsQuery(Model):
    """The range of the figures, in days of WIB with today as the last."""

    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = DAYS


class DayOut(Model):
    """One day: posts that came in, and how many of them were flagged."""

    day: date
    posts: int
    flagged: int


class PrecisionOut(Model):
    """Share of the decided items that were rightly flagged, with a 95 % interval (Wilson)."""

    decided: int
    kept: int
    share: float
    low: float
    high: float


class TimesOut(Model):
    """Median and 90th percentile, in seconds, of `count` cases."""

    count: int
    median_s: float
    p90_s: float


class PartOut(Model):
    """Items of one platform or technique (null: none), how many are decided and how many kept."""

    name: str | None
    items: int
    decided: int
    kept: int


class StatsOut(Model):
    """Where the desk stands: `posts`, `open` and `overdue` are of everything, the rest of `days`.

    `capped` says that only the newest items of the range were looked at.
    """

    posts: int
    open: int
    overdue: int
    verdicts: dict[str, int]
    second_reviews: int
    agreement: float | None
    kappa: float | None
    days: int
    by_day: list[DayOut]
    flagged: int
    capped: bool
    verdicts_by_label: dict[str, dict[str, int]]
    precision: PrecisionOut | None
    time_to_decision: TimesOut | None
    time_to_verdict: TimesOut | None
    platforms: list[PartOut]
    techniques: list[PartOut]

    @classmethod
    def of(cls, found: Statistics) -> StatsOut:
        """Return the figures as they are sent."""
        pairs = found.agreement
        return cls(
            posts=found.posts_total,
            open=found.open,
            overdue=found.overdue,
            verdicts=found.verdicts,
            second_reviews=pairs.pairs,
            agreement=pairs.alike if pairs.pairs else None,
            kappa=pairs.kappa,
            days=found.days,
            by_day=[DayOut(day=d.day, posts=d.posts, flagged=d.flagged) for d in found.by_day],
            flagged=found.flagged,
            capped=found.capped,
            verdicts_by_label=found.by_label,
            precision=_precision(found.precision),
            time_to_decision=_times(found.to_decision),
            time_to_verdict=_times(found.to_verdict),
            platforms=[_part(part) for part in found.platforms],
            techniques=[_part(part) for part in found.techniques],
        )


def _precision(p: Precision | None) -> PrecisionOut | None:
    if p is None:
        return None
    return PrecisionOut(decided=p.decided, kept=p.kept, share=p.share, low=p.low, high=p.high)


def _times(t: Times | None) -> TimesOut | None:
    return None if t is None else TimesOut(count=t.count, median_s=t.median_s, p90_s=t.p90_s)


def _part(part: Part) -> PartOut:
    return PartOut(name=part.name, items=part.items, decided=part.decided, kept=part.kept)
