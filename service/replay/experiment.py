"""The planted replay: false posts in real chatter, what the desk said of them, what rivals would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pipeline.clusters import BCubed, b_cubed
from pipeline.replay.bursts import Shape
from pipeline.replay.earliness import (
    Case,
    Outcome,
    Raised,
    coverage,
    moments_of,
    outcome,
    whole_days,
)
from pipeline.replay.planting import FalseText, Plan, PlantedPost, Planting, hours_of, plant
from pipeline.replay.rivals import alarms, copies, cut_for, cut_in_vain, rivals, waves
from service.replay.material import Dated, planted
from service.replay.run import STEP, Played, Rules, play
from service.replay.scores import KeptScores

BUDGETS: Final = (5, 10, 20, 40)
"""Alerts a day that are compared."""
BUDGET: Final = 20
"""The one the targets speak of."""
A_DAY: Final = 100
GROWERS_A_DAY: Final = 3
VAIN: Final = 5.0
"""Alerts in vain a day that the targets allow."""
LETTER: Final = ", copies to the letter"
ABLATION: Final = "flagged volume"
"""No rival that was asked for: it counts posts that our own model flagged. Shown beside them."""
COPIES: Final = ("volume threshold", "z-score")
"""Rivals that are also tried without our grouping: on copies to the letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one replay plays: its background, and what is planted in each part of its time.

    In the days from ``start`` to ``middle`` cut-offs are learnt; from there to ``end`` is measured.
    Both are whole days.
    """

    name: str
    seed: int
    start: datetime
    middle: datetime
    end: datetime
    background: tuple[Dated, ...]
    first_texts: tuple[FalseText, ...]
    """Texts of the days in which cut-offs are learnt."""
    growers: tuple[FalseText, ...]
    """Texts of the days that are measured: of these some grow …"""
    small: tuple[FalseText, ...]
    """… and of these (the others of ``growers`` too) most die at once."""
    first_shapes: tuple[Shape, ...]
    shapes: tuple[Shape, ...]
    a_day: float = A_DAY
    growers_a_day: float = GROWERS_A_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Grower:
    """A planting that grew: what it was and when the desk spoke, at the budget of the targets."""

    seed: int
    planting: Planting
    risk: float
    """Of its text as first posted."""
    case: Case
    entered: tuple[tuple[str, datetime], ...]
    """Stages that the narrative of its alert (else of its first post) entered."""


@dataclass(slots=True, kw_only=True)
class Trial:
    """What came of one setting."""

    name: str
    seed: int
    days: int
    """That are measured."""
    posts: int
    """Of these days and of those before, what is planted too."""
    posts_a_day: float
    """Of the background."""
    planted: int
    plantings: int
    seconds: float
    ours: dict[int, Outcome] = field(default_factory=dict)
    """By budget."""
    lately: Outcome
    """At the budget of the targets, an alert told by the last day's posts of its narrative."""
    theirs: dict[str, dict[int, Outcome]] = field(default_factory=dict)
    """By rival and budget."""
    as_often: dict[str, Outcome] = field(default_factory=dict)
    """Rivals with the cut that is in vain no more than ``VAIN`` times a day in calibration."""
    growers: list[Grower] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    """Of the forecasts of all watched narratives: whether what came lay within the interval."""
    held_growers: list[bool] = field(default_factory=list)
    """The same, of narratives that mostly are plantings that grew."""
    together: BCubed
    """Of the planted posts, by their plantings."""
    kinds: dict[str, int] = field(default_factory=dict)
    """How the planted posts were told."""


def plant_in(setting: Setting) -> tuple[list[Planting], list[PlantedPost]]:
    """Return the plantings of both parts and their posts."""
    hours = hours_of([d.at for d in setting.background])

    def plan(start: datetime, stop: datetime) -> Plan:
        return Plan(
            start=start,
            days=whole_days(start, stop),
            end=setting.end,
            a_day=setting.a_day,
            growers_a_day=setting.growers_a_day,
        )

    before, first_posts = plant(
        small=setting.first_texts,
        growers=setting.first_texts,
        shapes=setting.first_shapes,
        hours=hours,
        plan=plan(setting.start, setting.middle),
        seed=setting.seed,
    )
    measured, posts = plant(
        small=(*setting.growers, *setting.small),
        growers=setting.growers,
        shapes=setting.shapes,
        hours=hours,
        plan=plan(setting.middle, setting.end),
        seed=setting.seed,
        first=len(before),
    )
    return before + measured, first_posts + posts


def run_trial(
    setting: Setting,
    scores: KeptScores,
    rules: Rules,
    *,
    budgets: Sequence[int] = BUDGETS,
    step: timedelta = STEP,
) -> Trial:
    """Plant, play and measure one setting at several budgets."""
    plantings, posts = plant_in(setting)
    feed = sorted([*setting.background, *planted(posts)], key=lambda d: d.at)
    played = play(feed, scores, rules, budgets=budgets, step=step)
    since, until = setting.middle, setting.end
    inside = [s for s in played.seen if s.planting is not None]
    trial = Trial(
        name=setting.name,
        seed=setting.seed,
        days=whole_days(since, until),
        posts=len(played.seen),
        posts_a_day=len(setting.background) / whole_days(setting.start, until),
        planted=len(inside),
        plantings=len(plantings),
        seconds=played.seconds,
        together=b_cubed([s.narrative for s in inside], [s.planting for s in inside]),
        kinds=_counted(posts),
        lately=outcome(played.raised(BUDGET, lately=True), plantings, since=since, until=until),
    )
    for budget in budgets:
        trial.ours[budget] = outcome(played.raised(budget), plantings, since=since, until=until)
    trial.theirs = rival_outcomes(played, plantings, rules.flagged, setting, budgets)
    trial.as_often = _as_often(played, plantings, rules.flagged, setting)
    _note_forecasts(trial, played, plantings, since, until)
    trial.growers = _growers(trial, setting, played, plantings, scores)
    return trial


def rival_outcomes(
    played: Played,
    plantings: Sequence[Planting],
    flagged: float,
    setting: Setting,
    budgets: Sequence[int],
) -> dict[str, dict[int, Outcome]]:
    """Return what the rivals would have done on the same narratives, by name and budget."""
    since, until = setting.middle, setting.end
    days = (since - setting.start) / timedelta(days=1)
    out: dict[str, dict[int, Outcome]] = {}
    together, alone = waves(played.seen), waves(copies(played.seen))
    ways = {
        name: (levels_of, together) for name, levels_of in rivals(flagged, setting.seed).items()
    }
    ways |= {f"{name}{LETTER}": (ways[name][0], alone) for name in COPIES}
    for name, (levels_of, seen) in ways.items():
        levels = levels_of(seen)
        out[name] = {}
        for budget in budgets:
            cut = (
                1.0
                if name == "first come"
                else cut_for(levels, seen, until=since, alerts=budget * days)
            )
            raised = alarms(levels, seen, cut=cut, a_day=budget)
            out[name][budget] = outcome(raised, plantings, since=since, until=until)
    return out


def _as_often(
    played: Played, plantings: Sequence[Planting], flagged: float, setting: Setting
) -> dict[str, Outcome]:
    days = (setting.middle - setting.start) / timedelta(days=1)

    def in_vain(raised: Sequence[Raised]) -> float:
        found = outcome(raised, plantings, since=setting.start, until=setting.middle)
        return sum(found.in_vain) / days

    out = {}
    seen = waves(played.seen)
    for name, levels_of in rivals(flagged, setting.seed).items():
        levels = levels_of(seen)
        cut = cut_in_vain(
            levels,
            seen,
            until=setting.middle,
            a_day=BUDGET,
            in_vain=in_vain,
            most=VAIN,
        )
        raised = alarms(levels, seen, cut=cut, a_day=BUDGET)
        out[name] = outcome(raised, plantings, since=setting.middle, until=setting.end)
    return out


def _counted(posts: Sequence[PlantedPost]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for post in posts:
        counts[post.how] = counts.get(post.how, 0) + 1
    return counts


def _note_forecasts(
    trial: Trial,
    played: Played,
    plantings: Sequence[Planting],
    since: datetime,
    until: datetime,
) -> None:
    moments = moments_of(played.seen)
    grew = {p.number for p in plantings if p.grows}
    counts: dict[int, list[int]] = {}
    for post in played.seen:
        count = counts.setdefault(post.narrative, [0, 0])
        count[0] += 1
        count[1] += post.planting in grew
    growing = {narrative for narrative, (all_, own) in counts.items() if 2 * own > all_}
    made = [f for f in played.foretold if f.at >= since]
    trial.held = coverage(made, moments, until=until)
    of_growers = [f for f in made if f.narrative in growing]
    trial.held_growers = coverage(of_growers, moments, until=until)


def _growers(
    trial: Trial,
    setting: Setting,
    played: Played,
    plantings: Sequence[Planting],
    scores: KeptScores,
) -> list[Grower]:
    by_number = {p.number: p for p in plantings}
    first: dict[int, int] = {}
    for post in played.seen:
        if post.planting is not None:
            first.setdefault(post.planting, post.narrative)
    for told in reversed(played.told):
        if told.budget == BUDGET and told.planting is not None:
            first[told.planting] = told.narrative
    cases = trial.ours[BUDGET].cases
    risks = scores.score_and_embed([by_number[c.planting].source.text for c in cases])
    entered: dict[int, list[tuple[str, datetime]]] = {}
    for change in played.entered:
        entered.setdefault(change.narrative, []).append((change.stage, change.at))
    return [
        Grower(
            seed=setting.seed,
            planting=by_number[case.planting],
            risk=score.risk,
            case=case,
            entered=tuple(entered.get(first.get(case.planting, 0), ())),
        )
        for case, (score, _) in zip(cases, risks, strict=True)
    ]
