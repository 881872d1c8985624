"""Stages of a narrative, with hysteresis, and what it is listed and cut by.

Up goes at once, as far as the measurement says; down goes one stage at a time, past lower
thresholds, and not before a stage has lasted ``DWELL``. So a number that hovers about a threshold
moves nothing twice. Out (*padam*) is what is silent for long measured by its own pace.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from pipeline.spread.forecast import CATCHES, LARGE
from pipeline.spread.values import Reason, Spread, Stage, Staged

RISKY: Final = 0.06
"""Aggregated risk from which a narrative is watched. Of the false posts of 2025, 91 % lie above
when seen once and 92 % when seen three times; of the narratives of real chatter 1 to 2 % on
elections, taxes and vaccines, and 12 to 17 % on the police and the minister of finance."""
NOT_RISKY: Final = 0.04
"""One that is watched is let go below that."""
CATCHING: Final = 0.25
"""Chance of reaching ``CATCHES`` posts from which a narrative is an *obor*. All of 300 bursts of
50 to 200 posts, grown from 8 measured ones that the forecast was not fitted on, passed it before
their 10th post (the median at the 5th), and so did 17 of 1000 of that half's clusters that stayed
below 50; at 0.5 it is the 7th post, and 10 of 1000."""
NOT_CATCHING: Final = 0.12
CATCHING_ACCOUNTS: Final = 2
CATCHING_POSTS: Final = 3
"""Of the last day: however much there was before, one post is no revival."""
BURNING: Final = 0.35
"""Chance of reaching ``LARGE`` posts (or half as many again) from which it is an *api*."""
NOT_BURNING: Final = 0.12
BURNING_ACCOUNTS: Final = 4
TAKEN_UP_ACCOUNTS: Final = 3
LIKELY_LARGE: Final = 0.05
"""Chance of growing large from which risk counts in full. With five alerts a day 47 % of 147
planted narratives (development texts and bursts) were told of early so; with 0.02 39 %, with 0.1
40 %, and with the chance itself as the factor 20 %. From ten a day on it makes no difference."""
DWELL: Final = timedelta(hours=2)
SILENCE_HOURS: Final = 24.0
"""Least silence that puts one out. After it, of those with 2 to 9 posts 5 to 17 % get even one
more on the next day, and 0.3 to 4 % get three (election and vaccine timelines); after half a day
it is 9 to 24 % and 0.7 to 8 %."""
MOST_SILENCE_HOURS: Final = 72.0
USUAL_GAPS: Final = 6.0
"""A narrative that is slow by nature is out after so many of its usual gaps."""
SURPRISING: Final = 0.01
RISK_PRIOR: Final = 0.02
"""Mean risk of chatter: 0.005 to 0.05 on the five timelines."""
RISK_PRIOR_POSTS: Final = 0.5
"""Posts that the prior is worth. Risk varies within a narrative by a sixth of what it varies
between them (near-copies); half a post allows for looser groups."""

_ORDER: Final = (Stage.QUIET, Stage.LILIN, Stage.OBOR, Stage.API)
_WEIGHTS: Final = {
    Stage.API: 8.0,
    Stage.OBOR: 4.0,
    Stage.LILIN: 1.0,
    Stage.PADAM: 0.2,
    Stage.QUIET: 0.1,
}


def aggregate_risk(risk_sum: float, posts: int) -> float:
    """Return a narrative's risk: the mean of its posts', shrunk to that of chatter.

    One odd post does not decide: it is a share of the mean, and alone it is held back by a third.
    """
    return (risk_sum + RISK_PRIOR * RISK_PRIOR_POSTS) / (posts + RISK_PRIOR_POSTS)


def urgency(risk: float, spread: Spread) -> float:
    """Return how much of a narrative's risk counts by now, 0 to 1: what alerts are chosen by.

    ``risk`` (the calibrated chance that it is false or harmful) counts in full once it is
    ``LIKELY_LARGE`` that it becomes large, half at half that chance; it does not count for more
    when it *has* become large. So where few alerts can be read, the riskiest are told of while
    they are small; a measure that grows with the narrative would have the cut-off wait for the
    largest. What one or two accounts tell each other counts a third or two: others have not taken
    it up.
    """
    under_way = min(1.0, spread.forecast.large / LIKELY_LARGE)
    taken_up = min(1.0, spread.accounts / TAKEN_UP_ACCOUNTS)
    return min(1.0, max(0.0, risk)) * under_way * taken_up


def heat(spread: Spread, risk: float, stage: Stage) -> float:
    """Return what the list is sorted by: risk × (log of the posts about now) × the stage's weight.

    Posts about now are those of the last day and those expected of the next; reach counts as much
    as a doubling for every factor of thirty.
    """
    about_now = spread.posts_last_day + spread.forecast.mean
    size = math.log2(2.0 + about_now) + math.log10(1.0 + max(0, spread.reach)) / 1.5
    return _WEIGHTS[stage] * min(1.0, max(0.0, risk)) * size


def silence_of(spread: Spread) -> float:
    """Return after how many hours without a post the narrative is out."""
    usual = USUAL_GAPS * (spread.usual_gap_hours or 0.0)
    return min(MOST_SILENCE_HOURS, max(SILENCE_HOURS, usual))


def stage_of(before: Staged | None, spread: Spread, risk: float, *, now: datetime) -> Staged:
    """Return the stage that a narrative is in now, since when, and why.

    ``before`` is what this returned last; None: never staged. ``risk`` is the aggregated one.
    """
    was = Stage.QUIET if before is None else before.stage
    stage = _next(before, was, spread, risk, now)
    since = before.since if before is not None and stage is was else now
    return Staged(stage=stage, since=since, reasons=tuple(_reasons(stage, was, spread, risk)))


def next_look(spread: Spread, staged: Staged, *, now: datetime) -> datetime | None:
    """Return when the stage may change though no post comes; None: never.

    A candle can only go out, and when is known; a torch or a fire cools within hours.
    """
    if staged.stage in (Stage.QUIET, Stage.PADAM):
        return None
    if staged.stage is Stage.LILIN:
        return now + timedelta(hours=max(0.0, silence_of(spread) - spread.quiet_hours))
    return max(now + DWELL / 12, staged.since + DWELL)


def _next(before: Staged | None, was: Stage, spread: Spread, risk: float, now: datetime) -> Stage:
    if not spread.posts or risk < (RISKY if was is Stage.QUIET else NOT_RISKY):
        return Stage.QUIET
    silence = silence_of(spread) * (0.5 if was is Stage.PADAM else 1.0)
    if spread.quiet_hours >= silence:
        return Stage.PADAM
    place = _ORDER.index(was) if was in _ORDER else 1
    reached = _reached(spread, place)
    if reached >= place:
        return _ORDER[reached]
    # Either way, so that a clock put back does not hold a stage for ever.
    if before is not None and abs(now - before.since) < DWELL:
        return was
    return _ORDER[place - 1]


def _reached(spread: Spread, place: int) -> int:
    """Return the place in the order that the measurement reaches, coming from ``place``."""
    forecast, posts = spread.forecast, spread.posts_last_day
    if spread.accounts >= BURNING_ACCOUNTS and (
        forecast.large >= NOT_BURNING
        if place == 3
        else forecast.large >= BURNING and posts >= CATCHES
    ):
        return 3
    if spread.accounts >= CATCHING_ACCOUNTS and (
        forecast.catches >= NOT_CATCHING
        if place >= 2
        else forecast.catches >= CATCHING and posts >= CATCHING_POSTS
    ):
        return 2
    return 1


def _reasons(stage: Stage, was: Stage, spread: Spread, risk: float) -> Iterator[Reason]:
    """Yield the reasons of a stage, the weightiest first."""
    forecast = spread.forecast
    if stage is Stage.QUIET:
        yield Reason(code="not_risky", numbers={"risk": risk})
        return
    if stage is Stage.PADAM:
        yield Reason(
            code="silent",
            numbers={"hours": spread.quiet_hours, "silence_hours": silence_of(spread)},
        )
        return
    if was is Stage.PADAM:
        yield Reason(code="revived", numbers={"posts_last_day": spread.posts_last_day})
    coming = {"low": forecast.low, "high": forecast.high, "hours": forecast.hours}
    if stage is Stage.LILIN:
        yield Reason(code="few_risky_posts", numbers={"posts": spread.posts, "risk": risk})
        if spread.accounts < CATCHING_ACCOUNTS and spread.posts > 2:
            yield Reason(
                code="few_accounts", numbers={"accounts": spread.accounts, "posts": spread.posts}
            )
    elif stage is Stage.OBOR:
        if spread.posts_last_day >= CATCHES:
            yield Reason(
                code="caught", numbers={"posts": spread.posts_last_day, "hours": forecast.hours}
            )
        else:
            yield Reason(
                code="forecast_catches",
                numbers={"chance": forecast.catches, "posts": CATCHES, **coming},
            )
    else:
        target = max(LARGE, math.ceil(1.5 * spread.posts_last_day))
        yield Reason(
            code="forecast_large", numbers={"chance": forecast.large, "posts": target, **coming}
        )
    if spread.doubling_hours is not None:
        yield Reason(
            code="fast_growth",
            numbers={"growth": spread.growth, "doubling_hours": spread.doubling_hours},
        )
    if stage is not Stage.LILIN and spread.posts_last_hour >= 3:
        yield Reason(
            code="fast_pace", numbers={"posts": spread.posts_last_hour, "rate": spread.rate}
        )
    if spread.surprise <= SURPRISING:
        yield Reason(
            code="surprising_volume",
            numbers={
                "posts": spread.window_posts,
                "expected": spread.expected,
                "hours": spread.window_hours,
                "p": spread.surprise,
            },
        )
    if spread.accounts >= 3:
        yield Reason(
            code="many_accounts", numbers={"accounts": spread.accounts, "posts": spread.posts}
        )
    if stage is not Stage.LILIN and spread.posts_last_hour == 0:
        yield Reason(code="cooling", numbers={"hours": spread.quiet_hours})
