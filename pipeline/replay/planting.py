"""Planting: false texts, at their hour, with spread curves drawn from measured bursts.

Everything follows from the seed, the texts, the shapes and the background's hours.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Final

from pipeline.errors import PipelineError
from pipeline.replay.bursts import Shape, bursts_of, grown
from pipeline.replay.retelling import retell

GROWS: Final = 50
"""Posts from which a planted narrative counts as one that grew."""
LARGEST: Final = 200
_TRIES: Final = 200
WEEK: Final = timedelta(days=7)


class CannotPlant(PipelineError):
    """What is to be planted, or its shapes, do not fit the time there is."""

    code = "planting"


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseText:
    """A false post as it circulated; ``posted`` and ``debunked`` where they are known."""

    id: str
    text: str
    platform: str = "x"
    posted: date | None = None
    debunked: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedPost:
    """One post of a planting, ready to be sent."""

    at: datetime
    text: str
    account: str
    platform: str
    planting: int
    how: str
    """first, copy, near or retold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planting:
    """One false text and what became of it: its moments are those of its posts, ascending."""

    number: int
    source: FalseText
    moments: tuple[datetime, ...]
    accounts: int
    shape: int
    """Which of the given shapes it follows."""

    @property
    def grows(self) -> bool:
        """Return whether it reaches ``GROWS`` posts."""
        return len(self.moments) >= GROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is planted, and when."""

    start: datetime
    """Midnight of the first day, local time of the background (aware)."""
    days: int
    end: datetime
    """After it nothing is planted: the end of the feed."""
    a_day: float = 100
    """False texts that begin in a day and mostly die at once."""
    growers_a_day: float = 3


def fold(moments: Sequence[datetime], start: datetime, span: timedelta) -> list[datetime]:
    """Return each moment put into ``[start, start + span)`` by whole weeks.

    The hour of the week stays; weeks that lie outside are laid over those inside.

    Raises:
        ValueError: the span is not whole weeks.
    """
    if span <= timedelta(0) or span % WEEK:
        raise ValueError("a span of whole weeks is needed")
    return [start + (at - start) % span for at in moments]


def hours_of(moments: Sequence[datetime]) -> tuple[int, ...]:
    """Return how many of the moments lie in each hour of the day (24, in their own time zone)."""
    counted = Counter(at.hour for at in moments)
    return tuple(counted[hour] for hour in range(24))


def plant(
    *,
    small: Sequence[FalseText],
    growers: Sequence[FalseText],
    shapes: Sequence[Shape],
    hours: Sequence[int],
    plan: Plan,
    seed: int,
    first: int = 0,
) -> tuple[list[Planting], list[PlantedPost]]:
    """Return the plantings (numbered from ``first``) and their posts in order of time.

    Every text is used at most once; where there are fewer than the plan asks for, all are used.
    ``hours`` is the profile that the hour of a start is drawn from (24 counts).
    """
    dice = random.Random(f"planting-{seed}")
    plantings: list[Planting] = []
    posts: list[PlantedPost] = []
    bursts = [(i, s) for i, s in enumerate(shapes) if s in bursts_of(shapes)]
    ordinary = [(i, s) for i, s in enumerate(shapes) if s.posts < GROWS]
    big = _chosen(growers, plan.growers_a_day * plan.days, dice)
    taken = {text.id for text in big}
    rest = [text for text in small if text.id not in taken]
    little = _chosen(rest, plan.a_day * plan.days, dice)
    for source, grows in [(s, True) for s in big] + [(s, False) for s in little]:
        number = first + len(plantings)
        start, shape, index = _place(grows, bursts, ordinary, hours, plan, dice)
        moments = _moments(start, shape, plan.end)
        plantings.append(
            Planting(
                number=number,
                source=source,
                moments=tuple(moments),
                accounts=len(set(shape.accounts[: len(moments)])),
                shape=index,
            )
        )
        posts += _posts(plantings[-1], shape, dice, seed)
    posts.sort(key=lambda post: (post.at, post.planting))
    return plantings, posts


def _chosen(texts: Sequence[FalseText], wanted: float, dice: random.Random) -> list[FalseText]:
    return dice.sample(list(texts), min(len(texts), round(wanted)))


def _place(
    grows: bool,
    bursts: Sequence[tuple[int, Shape]],
    ordinary: Sequence[tuple[int, Shape]],
    hours: Sequence[int],
    plan: Plan,
    dice: random.Random,
) -> tuple[datetime, Shape, int]:
    """Return a start and a shape; one that grows reaches ``GROWS`` posts before the end."""
    for _ in range(_TRIES):
        start = _start(hours, plan, dice)
        if not grows:
            index, shape = dice.choice(ordinary)
            return start, shape, index
        index, burst = dice.choice(bursts)
        # Sizes fall off as bursts do: half as many of twice the size.
        posts = round(GROWS * (LARGEST / GROWS) ** dice.random())
        shape = grown(burst, posts, dice)
        if len(_moments(start, shape, plan.end)) >= GROWS:
            return start, shape, index
    raise CannotPlant("no measured burst reaches fifty posts within the time of the feeds")


def _start(hours: Sequence[int], plan: Plan, dice: random.Random) -> datetime:
    day = timedelta(days=dice.randrange(plan.days))
    hour = timedelta(hours=dice.choices(range(24), hours)[0])
    return plan.start + day + hour + timedelta(seconds=dice.randrange(3600))


def _moments(start: datetime, shape: Shape, end: datetime) -> list[datetime]:
    out, at = [start], start
    for gap in shape.gaps_s:
        at += timedelta(seconds=gap)
        if at >= end:
            break
        out.append(at)
    return out


def _posts(planting: Planting, shape: Shape, dice: random.Random, seed: int) -> list[PlantedPost]:
    out = []
    for k, at in enumerate(planting.moments):
        text, how = (
            (planting.source.text, "first") if k == 0 else retell(planting.source.text, dice)
        )
        name = f"{seed}/{planting.number}/{shape.accounts[k]}"
        out.append(
            PlantedPost(
                at=at,
                text=text,
                account="p" + sha256(name.encode()).hexdigest()[:10],
                platform=planting.source.platform,
                planting=planting.number,
                how=how,
            )
        )
    return out
