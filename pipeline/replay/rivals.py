"""Simple alarms on the same narratives, each at the same budget: what early warning must beat.

Each gives every post a level: how alarming its narrative is now. A narrative is alerted once, when
its level reaches the cut, unless the day's budget is used up; what comes back after days counts as
another (``waves``). The cut is the lowest with which no more narratives a day than the budget
would have been alerted in the days of calibration.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np

from pipeline.replay.earliness import Raised, Seen, belongs

Levels = Callable[[Sequence[Seen]], list[float]]

_CUTS: Final = 60
OUT: Final = timedelta(hours=48)
DAY: Final = timedelta(hours=24)
HOUR: Final = timedelta(hours=1)


def volume(seen: Sequence[Seen]) -> list[float]:
    """Return the posts of the narrative in the last 24 hours."""
    return _within_day(seen, [True] * len(seen))


def risky_volume(flagged: float) -> Levels:
    """Return levels that count only posts with a risk of ``flagged`` or more."""

    def levels(seen: Sequence[Seen]) -> list[float]:
        return _within_day(seen, [post.risk >= flagged for post in seen])

    return levels


def _within_day(seen: Sequence[Seen], counts: Sequence[bool]) -> list[float]:
    recent: dict[int, deque[datetime]] = defaultdict(deque)
    out = []
    for post, count in zip(seen, counts, strict=True):
        times = recent[post.narrative]
        if count:
            times.append(post.at)
        while times and times[0] <= post.at - DAY:
            times.popleft()
        out.append(float(len(times)))
    return out


def z_score(seen: Sequence[Seen]) -> list[float]:
    """Return how far the narrative's last hour lies above its 24 hours before, in deviations.

    Hours without a post count as 0, and a deviation below 1 as 1: else every second post of a new
    narrative would be infinitely odd.
    """
    recent: dict[int, deque[datetime]] = defaultdict(deque)
    out = []
    for post in seen:
        times = recent[post.narrative]
        times.append(post.at)
        while times[0] <= post.at - DAY - HOUR:
            times.popleft()
        ago = Counter(int((post.at - at) / HOUR) for at in times)
        before = [ago[hour] for hour in range(1, 25)]
        out.append((ago[0] - float(np.mean(before))) / max(1.0, float(np.std(before))))
    return out


def risk_only(seen: Sequence[Seen]) -> list[float]:
    """Return the post's own risk."""
    return [post.risk for post in seen]


def first_come(flagged: float) -> Levels:
    """Return 1 for a post with a risk of ``flagged`` or more: alerted while the budget lasts."""

    def levels(seen: Sequence[Seen]) -> list[float]:
        return [float(post.risk >= flagged) for post in seen]

    return levels


def at_random(seed: int) -> Levels:
    """Return levels drawn at random."""

    def levels(seen: Sequence[Seen]) -> list[float]:
        dice = random.Random(f"rival-{seed}")
        return [dice.random() for _ in seen]

    return levels


def cut_for(
    levels: Sequence[float], seen: Sequence[Seen], *, until: datetime, alerts: float
) -> float:
    """Return the lowest cut that at most ``alerts`` narratives reach before ``until``."""
    highest: dict[int, float] = {}
    for post, level in zip(seen, levels, strict=True):
        if post.at < until:
            highest[post.narrative] = max(level, highest.get(post.narrative, level))
    reached = Counter(highest.values())
    cut, total = float("inf"), 0
    for level in sorted(reached, reverse=True):
        total += reached[level]
        if total > alerts:
            break
        cut = level
    return cut


def cut_in_vain(
    levels: Sequence[float],
    seen: Sequence[Seen],
    *,
    until: datetime,
    a_day: int,
    in_vain: Callable[[Sequence[Raised]], float],
    most: float,
) -> float:
    """Return the lowest cut with which alerts before ``until`` are in vain ``most`` times or less.

    ``in_vain`` counts them: it needs the truth, which a rival has not; so this is generous.
    """
    before = [i for i, post in enumerate(seen) if post.at < until]
    part, own = [seen[i] for i in before], [levels[i] for i in before]
    # Levels of many decimals (risks): so many cuts of them are enough to try.
    distinct = np.unique(own)[::-1]
    tried = distinct[np.unique(np.linspace(0, len(distinct) - 1, _CUTS).astype(int))]
    cut = float("inf")
    for level in tried.tolist():
        if in_vain(alarms(own, part, cut=level, a_day=a_day)) > most:
            break
        cut = level
    return cut


def copies(seen: Sequence[Seen]) -> list[Seen]:
    """Return the posts with every wording as a narrative of its own: what needs no grouping."""
    return [replace(post, narrative=post.text) for post in seen]


def waves(seen: Sequence[Seen]) -> list[Seen]:
    """Return the posts with what comes back after ``OUT`` as a narrative of its own.

    For the desk tells anew of what comes back after it was out for long; so may they.
    """
    last: dict[int, tuple[datetime, int]] = {}
    out = []
    for number, post in enumerate(seen):
        at, wave = last.get(post.narrative, (post.at, number))
        if post.at - at >= OUT:
            wave = number
        last[post.narrative] = max(at, post.at), wave
        out.append(replace(post, narrative=wave))
    return out


def alarms(
    levels: Sequence[float], seen: Sequence[Seen], *, cut: float, a_day: int
) -> list[Raised]:
    """Return the alerts: a narrative's first post at the cut, at most ``a_day`` in a day.

    What the budget leaves no room for is alerted later, if a later post of it reaches the cut.
    """
    used: Counter[date] = Counter()
    told: set[int] = set()
    whose: dict[int, list[int | None]] = defaultdict(list)
    out = []
    for post, level in zip(seen, levels, strict=True):
        whose[post.narrative].append(post.planting)
        if level < cut or post.narrative in told or used[post.at.date()] >= a_day:
            continue
        told.add(post.narrative)
        used[post.at.date()] += 1
        planting = belongs(whose[post.narrative])
        out.append(Raised(at=post.at, narrative=post.narrative, planting=planting))
    return out


def rivals(flagged: float, seed: int) -> dict[str, Levels]:
    """Return every rival by its name; ``flagged`` is the risk from which the model flags."""
    return {
        "volume threshold": volume,
        "z-score": z_score,
        "risk only": risk_only,
        "first come": first_come(flagged),
        "random": at_random(seed),
        "flagged volume": risky_volume(flagged),
    }
