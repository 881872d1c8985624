"""What the figures say in sentences: computed with each measurement; and what was read by eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.replay.earliness import Interval, interval
from service.replay.experiment import ABLATION, BUDGET, BUDGETS, COPIES, LETTER, VAIN, Trial
from service.replay.tables import number, per_day, percent, share, times, times_of
from service.replay.whole import Found

TIMES: Final = 2.0
"""So many times the share of the best rival is to be caught early."""


def best_rival(trials: Sequence[Trial], budget: int = BUDGET) -> str:
    """Return the rival that catches most early; what needs our own model is none."""
    names = [n for n in trials[0].theirs if n != ABLATION]
    return max(names, key=lambda n: share(trials, budget, rival=n).value)


def beside_best(trials: Sequence[Trial]) -> str:
    """Return how the desk stands beside its best rival, at the budget of the targets."""
    name = best_rival(trials)
    vain, plainly = (
        [number(per_day(trials, BUDGET, kind, rival)) for rival in (None, name)]
        for kind in ("in_vain", "on_harmless")
    )
    return (
        f"At {BUDGET} alerts a day Lilin catches {percent(share(trials, BUDGET))} early, the best "
        f"rival ({name}) {percent(share(trials, BUDGET, rival=name))}: Lilin catches "
        f"**{number(times(trials, BUDGET, name))} times** as many. It is in vain {vain[0]} times a "
        f"day, of these {plainly[0]} on nothing planted; the rival {vain[1]}, of these {plainly[1]}."
    )


def held_to_vain(trials: Sequence[Trial]) -> str:
    """Return how the desk stands beside the best rival that may be in vain as often as it may."""
    ours = [t.ours[BUDGET] for t in trials]
    theirs = {n: [t.as_often[n] for t in trials] for n in trials[0].as_often if n != ABLATION}
    early = {
        n: interval([float(c.early) for one in found for c in one.cases])
        for n, found in theirs.items()
    }
    name = max(early, key=lambda n: early[n].value)
    return (
        f"Of the rivals whose cut is in vain {VAIN:g} times a day or less in calibration, the best "
        f"({name}) catches {percent(early[name])}: Lilin {_times(times_of(ours, theirs[name]))} as "
        "many."
    )


def verdict(found: Found) -> list[str]:
    """Return in words whether twice the best rival was caught, and what that depends on."""
    trials = found.trials
    name = best_rival(trials)
    reached = times(trials, BUDGET, name).value >= TIMES
    others = []
    for budget in BUDGETS:
        if budget != BUDGET:
            best = best_rival(trials, budget)
            others.append(
                f"{budget} a day {percent(share(trials, budget))} and "
                f"{percent(share(trials, budget, rival=best))} ({best})"
            )
    letters = " and ".join(
        f"{percent(share(trials, BUDGET, rival=n + LETTER))} ({n})" for n in COPIES
    )
    raised = [number(per_day(trials, BUDGET, "alerts", rival)) for rival in (None, name)]
    lines = [
        f"**Twice the best rival: {'reached' if reached else 'not reached'}.** "
        f"{beside_best(trials)} Where {BUDGET} alerts a day can be read, with about "
        f"{trials[0].posts_a_day:,.0f} posts a day, Lilin raises {raised[0]} and the rival "
        f"{raised[1]}. {held_to_vain(trials)} With other budgets Lilin and the best rival catch: "
        f"{'; '.join(others)}. The grouping is ours in these rivals; on copies to the letter they "
        f"catch {letters} at {BUDGET} a day.",
        "",
    ]
    if found.busier:
        best = best_rival(found.busier)
        lines += [
            f"On a desk with {found.busier[0].posts_a_day:,.0f} posts a day, which is not what the "
            f"target was set on, Lilin catches {_times(times(found.busier, BUDGET, best))} as many "
            f"as the best rival ({best}): see “On a busier desk”.",
            "",
        ]
    return lines


def _times(found: Interval) -> str:
    return f"{number(found)} times"


BY_EYE: Final[tuple[str, ...]] = (
    "### Read by eye",
    "",
    "- **Vaccines, April 2021**: four in a month, all in vain: messages of the vaccination campaign "
    "and news of it, for the model gives the words “vaksin covid 19” too much risk. A rumour that "
    "the vaccine kills who has a weak heart was told in fewer than five posts, and no alert came of it.",
    "- **Finance minister, autumn 2025**: 13 in eight weeks. Worth a look: the rumour that an account "
    "which calls his predecessor a spy is his son's. The others are in vain: genuine news of him, "
    "four of them of the 200 trillion rupiah put into banks (one of these as *api*), of a lawsuit, "
    "subsidies, a railway's debt, fighter jets, customs officers. News is not the target; the one "
    "cure is the watch-list (labels, least risk) until the model tells it better apart. Criticism, "
    "and people who say that a quotation of his is a meme, were not told of.",
    "- **Police 2024/25, election 2023 and tax 2025**: none, though the election feed is full of "
    "the campaign's near-copies, which is what alarms of volume ring for.",
    "",
)
"""Of the real months: renewed by hand with each measurement."""
