"""Growth of a narrative: the rate g of an exponentially growing Poisson process, with a prior.

Given the first post and the time T since, the n posts after it have the likelihood
``n log(g / (exp(gT) - 1)) + g Σx`` (x: hours from the first post; the level is conditioned out).
With a normal prior on g the maximum exists, is unique and is found by Newton's method: the
logarithm of the posterior is concave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

PRIOR_SD: Final = 1.0
"""An hour: doubling every 40 minutes is one standard deviation. Half or twice as much changes the
log-likelihood of the forecasts by 0.01 a forecast or less."""
WINDOW_HOURS: Final = 24.0
"""Older posts say nothing about growth now."""
CLEARLY: Final = 1.645
"""Standard deviations above 0 that make growth clear (95 %, one-sided)."""
_STEPS: Final = 40


def growth_of(ages: Sequence[float]) -> tuple[float, float]:
    """Return the most probable growth an hour and its standard deviation.

    ``ages``: hours since each post, descending, none negative. Without two posts of the last day
    nothing is known but the prior.
    """
    recent = [age for age in ages if age <= WINDOW_HOURS]
    n = len(recent) - 1
    if n < 1 or recent[0] <= 0.0:
        return 0.0, PRIOR_SD
    span = recent[0]
    total = span * n - sum(recent[1:])
    precision = 1.0 / PRIOR_SD**2
    growth, curvature = 0.0, precision
    for _ in range(_STEPS):
        mean, variance = _moments(growth, span)
        curvature = n * variance + precision
        step = (total - n * mean - growth * precision) / curvature
        step = max(-2.0, min(2.0, step))
        growth += step
        if abs(step) < 1e-7:
            break
    return growth, curvature**-0.5


def doubling_of(growth: float, sd: float) -> float | None:
    """Return the hours in which it doubles; None where the growth is not clearly above 0."""
    return math.log(2.0) / growth if growth > CLEARLY * sd else None


def _moments(growth: float, span: float) -> tuple[float, float]:
    """Return mean and variance of a moment with density ∝ exp(growth · x) on [0, span]."""
    z = growth * span
    if abs(z) < 1e-3:
        return span * (0.5 + z / 12.0), span * span / 12.0
    small = math.exp(-abs(z))
    share = 1.0 / (1.0 - small) - 1.0 / abs(z)
    variance = span * span * (1.0 / (z * z) - small / (1.0 - small) ** 2)
    return span * (share if z > 0 else 1.0 - share), variance
