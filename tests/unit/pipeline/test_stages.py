from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.spread import (
    CATCHING,
    RISKY,
    Moment,
    Season,
    Spread,
    Stage,
    Staged,
    aggregate_risk,
    heat,
    measure,
    next_look,
    silence_of,
    stage_of,
    urgency,
)
from pipeline.spread.stages import (
    BURNING,
    CATCHING_POSTS,
    DWELL,
    LIKELY_LARGE,
    NOT_CATCHING,
    SILENCE_HOURS,
)

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
FLAT = Season()
RISK = 0.4
ORDER = [Stage.QUIET, Stage.LILIN, Stage.OBOR, Stage.API]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def spread_at(hours: float, posted: Iterable[float], *, accounts: int = 10**6) -> Spread:
    """Return the spread at an hour of what was posted until then."""
    moments = [
        Moment(at=at(h), account=1 + i % accounts, platform="x", text=1, reach=0)
        for i, h in enumerate(posted)
        if h <= hours
    ]
    return measure(moments, [], now=at(hours), season=FLAT)


def changed(spread: Spread, *, catches: float, large: float = 0.0) -> Spread:
    return replace(spread, forecast=replace(spread.forecast, catches=catches, large=large))


def life(
    posted: list[float], *, until: float, step: float = 0.25, risk: float = RISK, **more: Any
) -> list[tuple[float, Staged]]:
    """Return what a narrative is called as time goes by: looked at after posts and in between."""
    hours = sorted({*posted, *(step * i for i in range(int(until / step)))})
    found: list[tuple[float, Staged]] = []
    for hour in hours:
        if hour >= posted[0]:
            before = found[-1][1] if found else None
            spread = spread_at(hour, posted, **more)
            found.append((hour, stage_of(before, spread, risk, now=at(hour))))
    return found


def stages(life: list[tuple[float, Staged]]) -> list[Stage]:
    """Return the stages in turn, each once as long as it lasts."""
    out: list[Stage] = []
    for _, staged in life:
        if not out or staged.stage is not out[-1]:
            out.append(staged.stage)
    return out


BURST = [0.0, 0.2, 0.3, 0.4, 0.45, *(0.5 + i * 0.04 for i in range(60))]
"""Sixty-five posts in three hours, slow at first."""


def test_what_is_not_risky_is_quiet_however_it_spreads() -> None:
    staged = stage_of(None, spread_at(3, BURST), 0.01, now=at(3))
    assert staged.stage is Stage.QUIET
    assert [reason.code for reason in staged.reasons] == ["not_risky"]


def test_a_risky_post_is_a_candle_and_goes_out() -> None:
    found = life([0.0], until=60)
    assert stages(found) == [Stage.LILIN, Stage.PADAM]
    assert found[0][1].reasons[0].code == "few_risky_posts"
    assert found[-1][1].since == at(SILENCE_HOURS)
    assert found[-1][1].reasons[0].numbers == {
        "hours": pytest.approx(59.75),
        "silence_hours": SILENCE_HOURS,
    }


def test_a_burst_catches_before_its_tenth_post_burns_cools_and_goes_out() -> None:
    found = life(BURST, until=60)
    assert stages(found) == [Stage.LILIN, Stage.OBOR, Stage.API, Stage.OBOR, Stage.PADAM]
    caught = next(hour for hour, staged in found if staged.stage is Stage.OBOR)
    assert caught < BURST[9]


def test_a_torch_says_what_is_to_come_and_a_fire_how_fast_it_is() -> None:
    found = dict(reversed([(staged.stage, staged) for _, staged in life(BURST, until=6)]))
    torch, fire = found[Stage.OBOR].reasons, found[Stage.API].reasons
    assert torch[0].code == "forecast_catches"
    assert torch[0].numbers["chance"] >= CATCHING
    assert fire[0].code == "forecast_large"
    assert {"fast_pace", "surprising_volume", "many_accounts"} <= {r.code for r in fire}


def test_a_narrative_that_went_out_and_comes_back_burns_anew() -> None:
    again = [h + 100 for h in BURST]
    found = life([*BURST, *again], until=170)
    once = [Stage.LILIN, Stage.OBOR, Stage.API, Stage.OBOR, Stage.PADAM]
    assert stages(found) == [*once, *once]
    first = next(staged for hour, staged in found if hour >= 100)
    assert first.reasons[0].code == "revived"


def test_one_account_that_repeats_itself_is_no_torch() -> None:
    found = life(BURST, until=6, accounts=1)
    assert stages(found) == [Stage.LILIN]
    assert "few_accounts" in [reason.code for reason in found[-1][1].reasons]


def test_a_whole_burst_that_comes_at_once_burns_at_once() -> None:
    assert stage_of(None, spread_at(0, [0.0] * 80), RISK, now=START).stage is Stage.API


@given(st.integers(0, 300), st.floats(30, 2000), st.integers(0, CATCHING_POSTS - 1))
def test_posts_that_come_days_late_start_no_burst_now(
    late: int, days_ago: float, fresh: int
) -> None:
    posted = [-days_ago - i / 60 for i in range(late)][::-1] + [0.0] * fresh
    staged = stage_of(None, spread_at(0, posted), RISK, now=START)
    assert staged.stage in (Stage.QUIET, Stage.LILIN, Stage.PADAM)


# Nothing flickers


def turns(
    spreads: Iterable[tuple[float, Spread, float]], before: Staged | None = None
) -> list[Staged]:
    """Return what a narrative is called, looked at at these hours."""
    found = [] if before is None else [before]
    for hour, spread, risk in spreads:
        found.append(stage_of(found[-1] if found else None, spread, risk, now=at(hour)))
    return found


def moves(found: list[Staged]) -> int:
    return sum(a.stage is not b.stage for a, b in pairwise(found))


hovering = st.lists(st.floats(-1, 1), min_size=2, max_size=60)
FEW = spread_at(0.5, [0.0, 0.1, 0.2, 0.3, 0.5])


@given(hovering, st.sampled_from([CATCHING, NOT_CATCHING]))
def test_a_chance_that_hovers_about_a_threshold_moves_nothing_twice(
    shifts: list[float], threshold: float
) -> None:
    torch = Staged(stage=Stage.OBOR, since=at(-9), reasons=())
    before = torch if threshold == NOT_CATCHING else None
    found = turns(
        [(i / 6, changed(FEW, catches=threshold + 0.06 * x), RISK) for i, x in enumerate(shifts)],
        before,
    )
    assert moves(found) <= 1


@given(hovering)
def test_a_risk_that_hovers_about_the_threshold_moves_nothing_twice(shifts: list[float]) -> None:
    spread = changed(FEW, catches=0.0)
    found = turns([(i / 6, spread, RISKY + 0.015 * x) for i, x in enumerate(shifts)])
    assert moves(found) <= 1


@given(hovering)
def test_a_silence_that_hovers_about_its_end_moves_nothing_twice(shifts: list[float]) -> None:
    few = changed(FEW, catches=0.0)
    found = turns(
        [
            (i / 6, replace(few, quiet_hours=SILENCE_HOURS + 5 * x), RISK)
            for i, x in enumerate(shifts)
        ]
    )
    assert moves(found) <= 1


chances = st.floats(0, 1)


@given(st.lists(st.tuples(st.floats(0, 3), chances, chances), min_size=2, max_size=60))
def test_it_goes_down_one_stage_at_a_time_and_stays_a_while(
    looks: list[tuple[float, float, float]],
) -> None:
    hour, before = 0.0, None
    many = replace(FEW, posts_last_day=12)
    for wait, catches, share in looks:
        hour += wait
        spread = changed(many, catches=catches, large=catches * share)
        staged = stage_of(before, spread, RISK, now=at(hour))
        if before is not None:
            fall = ORDER.index(before.stage) - ORDER.index(staged.stage)
            assert fall <= 1
            if fall == 1:
                assert at(hour) - before.since >= DWELL
            if fall == 0:
                assert staged.since == before.since
            else:
                assert staged.since == at(hour)
        before = staged


def test_a_clock_put_back_holds_no_stage_for_ever() -> None:
    ahead = Staged(stage=Stage.API, since=at(10_000), reasons=())
    assert stage_of(ahead, changed(FEW, catches=0.0), RISK, now=START).stage is Stage.OBOR


def test_a_slow_narrative_is_given_more_time_before_it_counts_as_out() -> None:
    slow, quick = spread_at(40, [0.0, 8, 16, 24, 32, 40]), spread_at(5, [0.0, 1, 2, 3, 4, 5])
    assert (silence_of(slow), silence_of(quick)) == (48, SILENCE_HOURS)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=12), st.floats(0, 20), st.floats(0, 0.99))
def test_no_stage_changes_before_the_next_look_unless_a_post_comes(
    posted: list[float], wait: float, share: float
) -> None:
    posted.sort()
    now = posted[-1] + wait
    spread = spread_at(now, posted)
    staged = stage_of(None, spread, RISK, now=at(now))
    due = next_look(spread, staged, now=at(now))
    assert (due is None) == (staged.stage is Stage.PADAM)
    if due is not None:
        later = now + share * (due - at(now)) / timedelta(hours=1)
        again = stage_of(staged, spread_at(later, posted), RISK, now=at(later))
        assert again.stage is staged.stage


# What it is listed and cut by


def test_one_odd_post_does_not_decide() -> None:
    odd, alike = 0.9 + 9 * 0.01, 10 * 0.3
    assert aggregate_risk(odd, 10) < 0.1 < aggregate_risk(alike, 10)
    assert aggregate_risk(0.9, 1) < 0.65
    assert aggregate_risk(0.0, 0) < RISKY


@given(st.floats(0, 1), st.integers(1, 1000))
def test_the_aggregated_risk_lies_between_that_of_the_posts_and_that_of_chatter(
    risk: float, posts: int
) -> None:
    found = aggregate_risk(risk * posts, posts)
    assert min(risk, 0.02) - 1e-9 <= found <= max(risk, 0.02) + 1e-9


@given(st.floats(0, 1), chances, st.integers(1, 50))
def test_urgency_is_a_share_of_the_risk_and_never_falls_as_a_narrative_grows(
    risk: float, large: float, accounts: int
) -> None:
    spread = replace(changed(FEW, catches=1.0, large=large), accounts=accounts)
    found = urgency(risk, spread)
    assert 0 <= found <= risk
    more = replace(changed(spread, catches=1.0, large=min(1.0, large + 0.1)), accounts=accounts + 1)
    assert urgency(risk, more) >= found


def test_once_it_is_under_way_the_riskier_is_more_urgent_however_large_the_other_is() -> None:
    small, large = (changed(FEW, catches=1.0, large=chance) for chance in (LIKELY_LARGE, 0.9))
    assert urgency(0.5, small) == urgency(0.5, large) == 0.5
    assert urgency(0.6, small) > urgency(0.5, large)
    assert urgency(0.5, changed(FEW, catches=1.0, large=LIKELY_LARGE / 2)) == pytest.approx(0.25)


def test_what_others_take_up_is_more_urgent_than_what_one_account_repeats() -> None:
    spread = changed(FEW, catches=1.0, large=0.3)
    assert urgency(0.5, replace(spread, accounts=1)) == pytest.approx(0.5 / 3)
    assert urgency(0.5, spread) == pytest.approx(0.5)


def test_of_equal_narratives_the_higher_stage_is_hotter_and_the_dead_one_cold() -> None:
    order = (Stage.API, Stage.OBOR, Stage.LILIN, Stage.PADAM, Stage.QUIET)
    heats = [heat(FEW, RISK, stage) for stage in order]
    assert heats == sorted(heats, reverse=True)


def test_a_riskier_a_larger_and_a_more_seen_narrative_is_hotter() -> None:
    usual = heat(FEW, RISK, Stage.LILIN)
    assert heat(FEW, 0.8, Stage.LILIN) > usual
    assert heat(replace(FEW, posts_last_day=40), RISK, Stage.LILIN) > usual
    assert heat(replace(FEW, reach=100_000), RISK, Stage.LILIN) > usual


def test_a_fire_needs_a_forecast_of_fifty_and_a_torch_beneath_it() -> None:
    burning = changed(FEW, catches=1.0, large=BURNING)
    assert stage_of(None, burning, RISK, now=START).stage is Stage.OBOR
    assert stage_of(None, replace(burning, posts_last_day=10), RISK, now=START).stage is Stage.API
