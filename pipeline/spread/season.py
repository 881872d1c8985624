"""The hours of a week: how much is posted in each, learned from all posts as they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

HOURS: Final = 168
FORGET_HOURS: Final = 4 * 168.0
"""Half-life of what was learned: four weeks."""
_SHRINK_DAY: Final = 3.0
"""Observed hours that it takes for an hour of the day to count half against a flat day."""
_SHRINK_WEEK: Final = 4.0
"""Observed weeks that it takes for an hour of the week to count half against that of any day."""
_OUTAGE_HOURS: Final = 12
"""Longer without any post at all, and the feed was down: those hours teach nothing."""
_LATE_HOURS: Final = 48
"""A post that comes later than that is from an archive whose hours were not watched."""
_LEAST, _MOST = 0.1, 5.0
_MONDAY: Final = 4 * 24
"""1970 began on a Thursday: so many hours before the first Monday."""


class Season:
    """168 factors, mean 1, by hour of the week in UTC (0: Monday, midnight to one).

    Counts and observed hours are kept with exponential forgetting; an hour of the week is shrunk
    to its hour of the day, and that to flat, so that a few days teach the days and a few weeks
    the weekends. Posts that come late count for their hour, faded by their age.
    """

    __slots__ = ("_counts", "_factors", "_hour", "_observed", "_view")

    def __init__(self) -> None:
        self._counts = [0.0] * HOURS
        self._observed = [0.0] * HOURS
        self._hour: int | None = None
        self._factors: NDArray[np.float64] | None = None
        self._view: tuple[float, Exposure] | None = None

    def add(self, at: datetime, posts: float = 1.0) -> None:
        """Learn from a post, or from several, of one moment (aware)."""
        hour = int(at.timestamp() // 3600)
        last = self._hour
        if last is None:
            self._hour = last = hour
            self._observed[_index(hour)] = 1.0
        elif hour > last:
            self._advance(last, hour)
            last = hour
        elif last - hour > _LATE_HOURS:
            return
        weight = posts if hour == last else posts * 2.0 ** ((hour - last) / FORGET_HOURS)
        self._counts[_index(hour)] += weight
        self._factors = self._view = None

    def _advance(self, last: int, hour: int) -> None:
        fade = 2.0 ** ((last - hour) / FORGET_HOURS)
        self._counts = [count * fade for count in self._counts]
        self._observed = [seen * fade for seen in self._observed]
        if hour - last <= _OUTAGE_HOURS:
            for passed in range(last + 1, hour):
                self._observed[_index(passed)] += 1.0
        self._observed[_index(hour)] += 1.0
        self._hour = hour

    @property
    def factors(self) -> NDArray[np.float64]:
        """Return the 168 factors; all 1 where nothing was learned. Not to be written to."""
        if self._factors is None:
            self._factors = self._computed()
        return self._factors

    def factor(self, at: datetime) -> float:
        """Return the factor of a moment's hour."""
        return float(self.factors[_index(int(at.timestamp() // 3600))])

    def _computed(self) -> NDArray[np.float64]:
        counts, observed = np.array(self._counts), np.array(self._observed)
        if counts.sum() <= 0:
            return np.ones(HOURS)
        usual = counts.sum() / observed.sum()
        by_day, seen_by_day = counts.reshape(7, 24).sum(0), observed.reshape(7, 24).sum(0)
        day = (by_day + _SHRINK_DAY * usual) / (seen_by_day + _SHRINK_DAY)
        week = (counts + _SHRINK_WEEK * np.tile(day, 7)) / (observed + _SHRINK_WEEK)
        factors = np.clip(week / week.mean(), _LEAST, _MOST)
        return np.asarray(factors / factors.mean())

    def exposure(self, now_s: float) -> Exposure:
        """Return the seasonal time before ``now_s`` (seconds since 1970); the last is kept."""
        if self._view is None or self._view[0] != now_s:
            self._view = now_s, Exposure(self.factors, now_s)
        return self._view[1]

    def as_list(self) -> list[float]:
        """Return what was learned as plain numbers, for storing."""
        hour = -1.0 if self._hour is None else float(self._hour)
        return [hour, *self._counts, *self._observed]

    @classmethod
    def from_list(cls, numbers: Sequence[float]) -> Season:
        """Return what was stored; nothing, or what cannot be it, is a season yet to be learned."""
        season = cls()
        if len(numbers) == 1 + 2 * HOURS and all(math.isfinite(x) for x in numbers):
            season._hour = None if numbers[0] < 0 else int(numbers[0])
            season._counts = [max(0.0, float(x)) for x in numbers[1 : HOURS + 1]]
            season._observed = [max(0.0, float(x)) for x in numbers[HOURS + 1 :]]
        return season


class Exposure:
    """Seasonal time before a moment: hours weighed by their factor, and faded by their age."""

    __slots__ = ("_edges", "_faded", "_plain", "_rates")

    FADE_HOURS: Final = 24.0
    """Half-life of what a narrative's past says about its present rate."""
    _REACH: Final = 240
    """Hours looked back: ten half-lives, beyond which a thousandth is left."""

    def __init__(self, factors: NDArray[np.float64], now_s: float) -> None:
        whole = math.floor(now_s / 3600)
        first = now_s / 3600 - whole
        edges = np.concatenate([[0.0], first + np.arange(self._REACH)])
        rates = factors[(whole - np.arange(self._REACH) - _MONDAY) % HOURS]
        weight = self.FADE_HOURS / math.log(2) * 2.0 ** (-edges / self.FADE_HOURS)
        plain = np.concatenate([[0.0], np.cumsum(rates * np.diff(edges))])
        faded = np.concatenate([[0.0], np.cumsum(rates * (weight[:-1] - weight[1:]))])
        self._edges: list[float] = edges.tolist()
        self._rates: list[float] = rates.tolist()
        self._plain: list[float] = plain.tolist()
        self._faded: list[float] = faded.tolist()

    def plain(self, age: float) -> float:
        """Return the seasonal hours from ``age`` hours before the moment to it."""
        bin_, begin = self._bin(age)
        return self._plain[bin_] + self._rates[bin_] * (self._held(age) - begin)

    def faded(self, age: float) -> float:
        """Return the same, each hour faded by its age (half-life ``FADE_HOURS``)."""
        bin_, begin = self._bin(age)
        scale = self.FADE_HOURS / math.log(2)
        fade = -math.log(2) / self.FADE_HOURS
        part = math.exp(fade * begin) - math.exp(fade * self._held(age))
        return self._faded[bin_] + self._rates[bin_] * scale * part

    def _held(self, age: float) -> float:
        return min(max(age, 0.0), self._edges[-1])

    def _bin(self, age: float) -> tuple[int, float]:
        first = self._edges[1]
        bin_ = 0 if age < first else min(int(age - first) + 1, self._REACH - 1)
        return bin_, self._edges[bin_]


def _index(hour: int) -> int:
    """Return the hour of the week of an hour since 1970."""
    return (hour - _MONDAY) % HOURS
