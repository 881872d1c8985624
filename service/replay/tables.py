"""The tables of a replay's reports."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pipeline.pii import printable
from pipeline.replay.earliness import Case, Interval, Outcome, interval, ratio
from service.replay.experiment import BUDGET, Grower, Trial
from service.replay.run import Told

OURS: Final = "Lilin"
TITLE_WIDTH: Final = 90


def is_early(case: Case) -> bool:
    """Return whether a case was alerted as early as the targets ask."""
    return case.early


def is_before_tenth(case: Case) -> bool:
    """Return whether a case was alerted before its tenth post, however many were to come."""
    return case.before_tenth


def is_alerted(case: Case) -> bool:
    """Return whether a case was alerted at all."""
    return case.alerted_at is not None


def outcomes(trials: Sequence[Trial], budget: int, rival: str | None = None) -> list[Outcome]:
    """Return the outcome of each trial: the desk's own, or a rival's."""
    return [t.ours[budget] if rival is None else t.theirs[rival][budget] for t in trials]


def share(
    trials: Sequence[Trial],
    budget: int,
    holds: Callable[[Case], bool] = is_early,
    rival: str | None = None,
) -> Interval:
    """Return the share of all plantings that grew for which something holds."""
    found = outcomes(trials, budget, rival)
    return interval([float(holds(case)) for one in found for case in one.cases])


def per_day(trials: Sequence[Trial], budget: int, name: str, rival: str | None = None) -> Interval:
    """Return the mean over days of a count of ``Outcome``: alerts, in_vain or on_harmless."""
    found = outcomes(trials, budget, rival)
    return interval([float(count) for one in found for count in getattr(one, name)])


def times(trials: Sequence[Trial], budget: int, rival: str) -> Interval:
    """Return how many times a rival's share caught early the desk's is: of the same plantings."""
    return times_of(outcomes(trials, budget), outcomes(trials, budget, rival))


def times_of(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> Interval:
    """Return how many times as many cases are early in ours as in theirs."""
    early = [[float(c.early) for one in of for c in one.cases] for of in (ours, theirs)]
    return ratio(*early)


def percent(found: Interval) -> str:
    """Return a share with its interval."""
    if not found.count:
        return "–"
    return f"{found.value:.0%} ({found.low:.0%}–{found.high:.0%})"


def number(found: Interval) -> str:
    """Return a mean, or how many times, with its interval; what has no bound is told by ∞."""
    if math.isnan(found.value):
        return "–"
    shown = ("∞" if math.isinf(x) else f"{x:.1f}" for x in (found.value, found.low, found.high))
    return "{} ({}–{})".format(*shown)


def median(values: Iterable[float | None]) -> str:
    """Return the median of the values that are known."""
    known = [v for v in values if v is not None]
    return f"{statistics.median(known):.3g}" if known else "–"


def at_budgets(trials: Sequence[Trial], budgets: Sequence[int]) -> list[str]:
    """Return what the desk did at each budget."""
    lines = [
        "| alerts a day that can be read | before the 10th post | … with ≥ 85 % to come "
        "| alerted at all | posts at the alert | still to come | hours before the peak "
        "| alerts a day | in vain a day | of these on nothing planted |",
        "|---" * 10 + "|",
    ]
    for budget in budgets:
        cases = [case for one in outcomes(trials, budget) for case in one.cases]
        to_come = median(None if c.to_come is None else 100 * c.to_come for c in cases)
        cells = [
            percent(share(trials, budget, is_before_tenth)),
            f"**{percent(share(trials, budget))}**",
            percent(share(trials, budget, is_alerted)),
            median(c.seen_before for c in cases),
            f"{to_come} %",
            median(c.hours_before_peak for c in cases),
            *(number(per_day(trials, budget, n)) for n in ("alerts", "in_vain", "on_harmless")),
        ]
        lines.append(f"| {budget} | {' | '.join(cells)} |")
    return lines


def beside_rivals(
    trials: Sequence[Trial], budgets: Sequence[int], *, vain_at: int = BUDGET
) -> list[str]:
    """Return what the desk and its rivals caught early, at each budget."""
    lines = [
        "| | " + " | ".join(f"{b} a day" for b in budgets) + f" | in vain a day, at {vain_at} "
        "| of these on nothing planted |",
        "|---" * (len(budgets) + 3) + "|",
    ]
    for rival in (None, *trials[0].theirs):
        cells = [percent(share(trials, b, rival=rival)) for b in budgets]
        cells += [number(per_day(trials, vain_at, n, rival)) for n in ("in_vain", "on_harmless")]
        lines.append(f"| {rival or f'**{OURS}**'} | {' | '.join(cells)} |")
    return lines


def as_often(trials: Sequence[Trial]) -> list[str]:
    """Return what the rivals catch when they are in vain no more often than the targets allow."""
    ours = outcomes(trials, BUDGET)
    found = {f"**{OURS}**, {BUDGET} a day": ours}
    found |= {n: [t.as_often[n] for t in trials] for n in trials[0].as_often}
    lines = [
        "| | caught early | alerts a day | in vain a day | of these on nothing planted |",
        "|---" * 5 + "|",
    ]
    for name, of_rival in found.items():
        early = interval([float(c.early) for one in of_rival for c in one.cases])
        counts = (
            interval([float(n) for one in of_rival for n in getattr(one, kind)])
            for kind in ("alerts", "in_vain", "on_harmless")
        )
        lines.append(f"| {name} | {percent(early)} | {' | '.join(map(number, counts))} |")
    return lines


def plantings(growers: Sequence[Grower]) -> list[str]:
    """Return every planting that grew, and when it was alerted."""
    lines = [
        "| seed | no. | first post (WIB) | posts | accounts | shape | hours | risk | alert at post "
        "| to come | hours before the peak |",
        "|---" * 11 + "|",
    ]
    for g in sorted(growers, key=lambda g: (g.seed, g.planting.moments[0])):
        moments, case = g.planting.moments, g.case
        hours = (moments[-1] - moments[0]).total_seconds() / 3600
        alert = ["never", "", ""]
        if case.to_come is not None and case.hours_before_peak is not None:
            alert = [str(case.seen_before), f"{case.to_come:.0%}", f"{case.hours_before_peak:.1f}"]
        cells = [
            *(str(g.seed), str(g.planting.number), f"{moments[0]:%a %d %H:%M}"),
            *(str(len(moments)), str(g.planting.accounts), str(g.planting.shape)),
            *(f"{hours:.1f}", f"{g.risk:.2f}", *alert),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def told(alerts: Sequence[Told]) -> list[str]:
    """Return alerts in their order, titles masked and cut."""
    return [
        "| when (WIB) | stage | posts then | narrative |",
        "|---|---|---|---|",
        *(f"| {t.at:%Y-%m-%d %H:%M} | {t.kind} | {t.posts} | {title(t.title)} |" for t in alerts),
    ]


def title(words: str) -> str:
    """Return a narrative's title for a cell of a table: masked, on one line, cut."""
    return printable(words, width=TITLE_WIDTH).replace("|", "/")
