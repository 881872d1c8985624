"""Surprise: are there more posts now than the narrative's own past lets expect?

The rate has a gamma posterior: shape 1 + the posts of the past, rate the hours of the past, both
seasonal and faded with a half-life of a day. The posts of a window are then negative binomial,
and its upper tail is the p-value. Without fading that is the exact conditional test of two Poisson
rates (Przyborowski & Wilenski 1940), so it keeps its level whatever the true rate; fading makes
it more careful. A window is compared with a past of at least its own length; one that holds the
whole narrative is compared with a usual narrative instead, whose rate has a gamma prior. So once
a narrative is older than the longest window, only its own past counts.

The post that opened the narrative and the newest one are not counted: they are why one looks at
all, and what is left of a Poisson process seen from one of its points is again that process.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import neg
from typing import Final

from pipeline.spread.season import Exposure

WINDOWS: Final = (1.0, 3.0, 6.0)
"""Hours; three looks, so the smallest p-value counts three times (Bonferroni)."""
BASE_RATE: Final = 0.02
"""Posts an hour of a usual narrative in the day after its first, rounded up so that less is a
surprise: 0.016 in the election timeline, 0.008 in the vaccine one, 0.001 to 0.003 in the rest."""
PRIOR_HOURS: Final = 6.0
"""What a usual narrative's rate is worth: as if it had been watched for so long."""
_TERMS: Final = 256


@dataclass(frozen=True, slots=True)
class Surprise:
    """The most surprising window: its hours, posts counted and expected, and the p-value."""

    hours: float
    posts: int
    expected: float
    p: float


_NONE: Final = Surprise(hours=WINDOWS[0], posts=0, expected=0.0, p=1.0)


def surprise_of(
    ages: Sequence[float],
    older: Sequence[tuple[float, int]],
    exposure: Exposure,
    base_rate: float,
) -> Surprise:
    """Return how surprising the latest posts are.

    ``ages``: hours since each post, descending; ``older``: age and number of posts before them.
    """
    counted = ages[1:-1] if not older else ages[:-1]
    if not counted:
        return _NONE
    first = max((age for age, _ in older), default=ages[0] if ages else 0.0)
    best: Surprise | None = None
    for hours in WINDOWS:
        recent = len(counted) - bisect_left(counted, -hours, key=neg)
        if hours < first < 2 * hours:
            continue
        if first <= hours:
            shape, past_hours = 1.0 + base_rate * PRIOR_HOURS, PRIOR_HOURS
        else:
            # Faded as seen from the window's beginning, not from now.
            unfade = 2.0 ** (hours / Exposure.FADE_HOURS)
            past_hours = unfade * (exposure.faded(first) - exposure.faded(hours))
            shape = 1.0 + unfade * _faded(counted[: len(counted) - recent], older, hours)
        expected = shape / past_hours * exposure.plain(hours)
        p = upper_tail(recent, shape, expected)
        if best is None or p < best.p:
            best = Surprise(hours=hours, posts=recent, expected=expected, p=p)
    if best is None:
        return _NONE
    return replace(best, p=min(1.0, len(WINDOWS) * best.p))


def upper_tail(count: int, shape: float, mean: float) -> float:
    """Return the chance of ``count`` or more of a negative binomial; 1 where that is no surprise.

    ``shape`` is 1 or more, ``mean`` above 0. Terms after the 256th are bounded by a geometric
    series, so the answer is never below the true one. Counts up to the mean, whose chance is above
    a third, give 1.
    """
    if count <= mean or count == 0:
        return 1.0
    missed = mean / (shape + mean)
    log_first = (
        math.lgamma(count + shape)
        - math.lgamma(count + 1.0)
        - math.lgamma(shape)
        - shape * math.log1p(mean / shape)
        + count * math.log(missed)
    )
    term = total = ratio = 1.0
    for n in range(count, count + _TERMS):
        ratio = (shape + n) / (n + 1.0) * missed
        term *= ratio
        total += term
        if ratio < 1.0 and term * ratio < 1e-9 * (1.0 - ratio) * total:
            break
    # The ratios fall (shape ≥ 1), so the last one bounds those to come; from 1 on it bounds nothing.
    if ratio >= 1.0:
        return 1.0
    total += term * ratio / (1.0 - ratio)
    return math.exp(min(0.0, log_first + math.log(total)))


def _faded(ages: Sequence[float], older: Sequence[tuple[float, int]], beyond: float) -> float:
    fade = -math.log(2.0) / Exposure.FADE_HOURS
    posts = sum(math.exp(fade * age) for age in ages)
    return posts + sum(n * math.exp(fade * age) for age, n in older if age > beyond)
