from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.spread import Bucket, Moment, Season, Spread, Stage, measure, stage_of
from pipeline.spread.forecast import CATCHES, GAIN, SHAPE, SPREAD, forecast_of
from pipeline.spread.growth import PRIOR_SD, growth_of
from pipeline.spread.season import HOURS
from pipeline.spread.surprise import upper_tail

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
FLAT = Season()


def moment(hours_ago: float, account: int = 0, text: int = 1, **more: Any) -> Moment:
    values: dict[str, Any] = {"platform": "x", "reach": 0, **more}
    return Moment(at=NOW - timedelta(hours=hours_ago), account=account, text=text, **values)


def measured(moments: Sequence[Moment], buckets: Sequence[Bucket] = (), **more: Any) -> Spread:
    return measure(moments, buckets, **{"now": NOW, "season": FLAT, **more})


def spread_of(*hours_ago: float, **more: Any) -> Spread:
    """Return the spread of posts by one account each."""
    return measured([moment(age, i + 1) for i, age in enumerate(hours_ago)], **more)


def numbers_of(spread: Spread) -> list[float]:
    """Return every number of a measurement."""
    found: list[float] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for part in value.values():
                walk(part)
        elif isinstance(value, list | tuple):
            for part in value:
                walk(part)
        elif isinstance(value, int | float):
            found.append(value)

    walk(asdict(spread))
    return found


# Any posts

posts = st.lists(
    st.builds(
        moment,
        st.one_of(st.floats(-5, 5), st.floats(0, 400), st.just(1.0)),
        st.integers(0, 4),
        st.integers(1, 3),
        reach=st.integers(0, 10**9),
    ),
    max_size=40,
)


@given(posts, st.randoms(use_true_random=False))
def test_posts_out_of_order_measure_the_same_to_the_last_bit(
    moments: list[Moment], dice: random.Random
) -> None:
    shuffled = list(moments)
    dice.shuffle(shuffled)
    assert measured(shuffled) == measured(sorted(moments, key=lambda m: m.at))


@given(posts)
def test_every_number_of_a_measurement_is_finite_and_in_its_range(moments: list[Moment]) -> None:
    spread = measured(moments)
    forecast = spread.forecast
    assert all(map(math.isfinite, numbers_of(spread)))
    assert 0 <= forecast.low <= forecast.mid <= forecast.high
    assert 0 <= forecast.large <= forecast.catches <= 1
    assert 0 <= spread.surprise <= 1
    assert spread.posts_last_hour <= spread.posts_last_day <= spread.posts == len(moments)
    assert spread.accounts <= spread.posts
    assert spread.quiet_hours >= 0


def test_a_post_from_the_future_counts_as_posted_now() -> None:
    early = measured([moment(2, 1), moment(0, 2), moment(0, 3)])
    assert measured([moment(2, 1), moment(-0.05, 2), moment(-9000, 3)]) == early


def test_no_posts_are_no_spread() -> None:
    spread = measured([])
    assert spread.posts == spread.accounts == spread.rate == spread.peak_rate == 0
    assert spread.surprise == 1
    assert stage_of(None, spread, 0.9, now=NOW).stage is Stage.QUIET


def test_a_single_post_hardly_ever_catches() -> None:
    spread = spread_of(0)
    assert spread.forecast.catches < 0.03
    assert (spread.growth, spread.doubling_hours, spread.usual_gap_hours) == (0, None, None)
    assert spread.surprise == 1


def test_ten_thousand_copies_in_one_minute_are_measured() -> None:
    spread = measured([moment(i % 60 / 3600, i % 7000 + 1) for i in range(10_000)])
    assert all(map(math.isfinite, numbers_of(spread)))
    assert spread.posts_last_hour == spread.peak_rate == 10_000
    assert spread.surprise < 1e-9
    assert stage_of(None, spread, 0.9, now=NOW).stage is Stage.API


def test_copies_of_the_very_same_second_have_no_growth() -> None:
    spread = measured([moment(0, i) for i in range(1, 500)])
    assert (spread.growth, spread.doubling_hours) == (0, None)


# Counts


def test_an_unknown_account_counts_as_one_of_its_own() -> None:
    assert measured([moment(1, 0), moment(1, 0), moment(1, 5), moment(1, 5)]).accounts == 3


def test_what_came_before_the_moments_counts_by_the_hour() -> None:
    older = [Bucket(at=NOW - timedelta(hours=h), posts=4, reach=7) for h in (30, 29, 10)]
    spread = measured([moment(2, 1, reach=5), moment(0.5, 2)], older)
    assert (spread.posts, spread.posts_last_day, spread.posts_last_hour) == (14, 6, 1)
    assert (spread.reach, spread.peak_rate) == (26, 4)
    assert spread.forecast.mean > spread_of(2, 0.5).forecast.mean


def test_the_busiest_hour_need_not_begin_on_the_hour() -> None:
    assert spread_of(9, 5.4, 5.2, 4.9, 4.5, 1).peak_rate == 4


def test_the_usual_gap_is_that_of_the_latest_posts() -> None:
    slow_then_quick = [*range(90, 30, -2), *np.arange(12, 0, -0.5).tolist()]
    assert spread_of(*slow_then_quick).usual_gap_hours == 0.5


# Growth


def log_posterior(growth: float, ages: Sequence[float]) -> float:
    """Return the density as the docstring gives it, by brute force."""
    span, grid = ages[0], np.linspace(0, ages[0], 4001)
    total = np.trapezoid(np.exp(growth * grid), grid)
    since = sum(span - age for age in ages[1:])
    rest = growth * since - (len(ages) - 1) * math.log(total)
    return float(rest) - growth**2 / (2 * PRIOR_SD**2)


@given(st.lists(st.floats(0, 20), min_size=2, max_size=30))
def test_the_growth_is_the_most_probable_one(ages: list[float]) -> None:
    ages = sorted(ages, reverse=True)
    if ages[0] < 0.01:
        return
    growth, sd = growth_of(ages)
    best = log_posterior(growth, ages)
    assert log_posterior(growth - 0.1, ages) < best > log_posterior(growth + 0.1, ages)
    assert 0 < sd <= PRIOR_SD


@pytest.mark.parametrize("growth", [0.3, 0.7])
def test_exponential_growth_is_found_with_its_doubling_time(growth: float) -> None:
    since = [math.log(1 + i / 60 * (math.exp(growth * 10) - 1)) / growth for i in range(61)]
    spread = spread_of(*(10 - x for x in since))
    assert spread.growth == pytest.approx(growth, rel=0.15)
    assert spread.doubling_hours == pytest.approx(math.log(2) / spread.growth)


def test_an_even_pace_and_a_fading_one_do_not_double() -> None:
    assert spread_of(*range(20, -1, -1)).doubling_hours is None
    assert spread_of(10, 9.9, 9.8, 9.6, 9.3, 9, 8, 6).growth < 0


def test_posts_of_other_days_say_nothing_about_growth() -> None:
    assert spread_of(200, 190, 3, 2, 1, 0).growth == spread_of(3, 2, 1, 0).growth


# Forecast


def test_the_forecast_is_the_distribution_it_claims_to_be() -> None:
    rng = np.random.default_rng(20261125)
    for pace, size in ((0.5, 1.0), (3.0, 3.0), (5.0, 9.0), (20.0, 60.0)):
        found = forecast_of(pace, size, 0.0, 4)
        level = GAIN * (0.4 + pace / (1 + pace / 40)) * (size + 0.3)
        mean = level * np.exp(SPREAD * rng.standard_normal(200_000))
        further = rng.poisson(mean * rng.gamma(SHAPE, 1 / SHAPE, 200_000))
        inside = np.mean((further >= found.low) & (further <= found.high))
        assert found.catches == pytest.approx(np.mean(further >= 6), abs=0.005)
        assert found.large == pytest.approx(np.mean(further >= 46), abs=0.005)
        assert inside >= 0.795
        assert np.mean(further < found.low) <= 0.105
        assert np.mean((further >= found.low) & (further < found.high)) <= 0.805
        assert np.mean(further <= found.mid) >= 0.495


def test_chances_fall_smoothly_where_counting_gives_way_to_the_continuous() -> None:
    chances = [forecast_of(30.0, 300.0, 0.0, n).large for n in range(400, 640)]
    steps = [before - after for before, after in pairwise(chances)]
    assert min(steps) >= 0
    assert max(steps) < 0.005


def test_faster_posts_are_likelier_to_catch() -> None:
    chances = [
        spread_of(4 * gap, 3 * gap, 2 * gap, gap, 0).forecast.catches for gap in (0.02, 1, 9)
    ]
    assert chances[0] > 0.3 > chances[1] > 0.12 > chances[2]


def test_many_accounts_are_likelier_to_catch_than_one_that_repeats_itself() -> None:
    ages = (0.4, 0.3, 0.2, 0.1, 0)
    alone = measured([moment(age, 7) for age in ages]).forecast.catches
    unknown = measured([moment(age, 0) for age in ages]).forecast.catches
    assert alone < 0.5 * spread_of(*ages).forecast.catches
    assert unknown == spread_of(*ages).forecast.catches


def test_silence_makes_catching_less_likely() -> None:
    chances = [
        spread_of(*(age + h for age in (0.3, 0.2, 0.1, 0))).forecast.catches for h in range(9)
    ]
    assert all(before > after for before, after in pairwise(chances))


def test_what_has_ten_posts_of_a_day_has_caught() -> None:
    assert spread_of(*np.arange(9, -1, -1).tolist()).forecast.catches == 1
    assert CATCHES == 10


# Surprise


def weekly() -> tuple[Season, list[float]]:
    """Return a season learned to the full, busy by day and dead by night, and its factors."""
    shape = [1.6 if hour % 24 < 14 else 0.16 for hour in range(HOURS)]
    season = Season.from_list([0.0, *(1e6 * x for x in shape), *([1e6] * HOURS)])
    return season, season.factors.tolist()


def unchanged(
    rate: float, span: float, now: datetime, factors: Sequence[float], rng: np.random.Generator
) -> list[float]:
    """Return ages of a seasonal Poisson process that a first post opened ``span`` hours ago."""
    most = max(factors)
    ages = rng.uniform(0, span, rng.poisson(rate * most * span))
    hours = [int((now.timestamp() - age * 3600) // 3600 - 96) % HOURS for age in ages]
    kept = rng.uniform(0, most, len(ages)) < [factors[hour] for hour in hours]
    return [span, *ages[kept].tolist()]


@pytest.mark.parametrize("looked_at", ["any moment", "a post"])
@pytest.mark.parametrize("seasonal", [False, True])
@pytest.mark.parametrize("rate", [0.1, 1.0, 6.0])
def test_unchanged_rates_surprise_no_more_often_than_the_level_says(
    rate: float, seasonal: bool, looked_at: str
) -> None:
    rng = np.random.default_rng(7)
    season, factors = weekly() if seasonal else (FLAT, [1.0] * HOURS)
    values = []
    for _ in range(600):
        now = NOW + timedelta(hours=float(rng.uniform(0, HOURS)))
        ages = unchanged(rate, float(rng.uniform(6.1, 60)), now, factors, rng)
        ages += [0.0] if looked_at == "a post" else []
        moments = [
            Moment(at=now - timedelta(hours=age), account=0, platform="x", text=1, reach=0)
            for age in ages
        ]
        values.append(measure(moments, [], now=now, season=season).surprise)
    for alpha in (0.2, 0.1, 0.05, 0.01):
        error = 3 * math.sqrt(alpha * (1 - alpha) / len(values))
        assert np.mean(np.array(values) <= alpha) <= alpha + error


def test_a_usual_pace_at_a_busy_hour_is_no_surprise_and_at_night_it_is() -> None:
    season, _ = weekly()
    noon, night = datetime(2026, 11, 25, 10, tzinfo=UTC), datetime(2026, 11, 25, 23, tzinfo=UTC)
    found = []
    for now in (noon, night):
        past = [now - timedelta(hours=h) for h in range(4, 100) if (now.hour - h) % 24 < 14]
        moments = [
            Moment(at=at, account=0, platform="x", text=1, reach=0)
            for at in [*past, *(now - timedelta(minutes=12 * i) for i in range(4))]
        ]
        found.append(measure(moments, [], now=now, season=season).surprise)
    assert found[0] > 0.05 > 0.001 > found[1]


def test_a_flood_after_a_slow_past_is_a_surprise() -> None:
    spread = spread_of(*range(90, 9, -9), *np.linspace(0.9, 0, 8).tolist())
    assert spread.surprise < 1e-4
    assert (spread.window_posts, spread.window_hours) == (7, 1.0)
    assert spread.expected < 0.3


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.02, 0.9))
def test_the_tail_is_that_of_the_exact_test_of_two_rates(
    past: int, count: int, share: float
) -> None:
    shape = past + 1.0
    mean = shape * share / (1 - share)
    trials = count + past
    exact = sum(
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k)
        for k in range(count, trials + 1)
    )
    found = upper_tail(count, shape, mean)
    assert found == (pytest.approx(exact, rel=1e-3) if count > mean else 1)


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.floats(1, 10**6), st.floats(1e-6, 10**6))
def test_the_tail_of_any_counts_is_a_chance(count: int, shape: float, mean: float) -> None:
    assert 0 <= upper_tail(count, shape, mean) <= 1


# Signs


def codes(moments: Sequence[Moment]) -> list[str]:
    return [sign.code for sign in measured(moments).signs]


def test_many_accounts_with_the_same_text_in_the_same_minutes_are_a_sign() -> None:
    spread = measured([moment(2, 9), *(moment(1 + i / 200, i + 1) for i in range(6))])
    (sign,) = spread.signs
    assert sign.code == "same_text_same_minutes"
    assert sign.numbers == {"accounts": 6, "posts": 6, "minutes": 5}


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([moment(2.3 * i, i + 1) for i in range(6)], id="over hours"),
        pytest.param([moment(1 + i / 200, i + 1, i) for i in range(6)], id="other words"),
        pytest.param([moment(1 + i / 200, 0) for i in range(6)], id="accounts unknown"),
        pytest.param([moment(1 + i / 200, i % 2 + 1) for i in range(5)], id="two accounts"),
    ],
)
def test_what_is_no_sign_is_not_shown_as_one(moments: list[Moment]) -> None:
    assert codes(moments) == []


def test_one_account_that_posts_again_and_again_is_a_sign() -> None:
    ages = (9, 8.1, 5, 3.3, 3.1, 2, 0.4)
    (sign,) = measured([moment(age, 2 if age == 5 else 1, i) for i, age in enumerate(ages)]).signs
    assert sign.code == "few_accounts_many_posts"
    assert sign.numbers == {"accounts": 2, "posts": 7, "most": 6}


def test_posts_by_the_clock_are_a_sign() -> None:
    (sign,) = measured([moment(i * 0.5 + i % 2 / 60, i + 1, i) for i in range(12)]).signs
    assert sign.code == "even_gaps"
    assert sign.numbers["minutes"] == pytest.approx(30, abs=1)


# Hours of the week


def fed(season: Season, days: int, *, start: datetime = NOW, night: int = 1) -> Season:
    """Let a season see whole days: 20 posts an hour from 0 to 14, ``night`` in the others."""
    first = start.replace(hour=0)
    for hour in range(days * 24):
        at = first + timedelta(hours=hour)
        season.add(at, 20 if at.hour < 14 else night)
    return season


def test_nothing_learned_is_flat() -> None:
    assert set(Season().factors.tolist()) == {1.0}
    assert set(Season.from_list([]).factors.tolist()) == {1.0}


def test_one_day_teaches_little_and_a_fortnight_teaches_the_days() -> None:
    night = NOW.replace(hour=20)
    true = 1 / ((14 * 20 + 10 * 1) / 24)
    one, many = fed(Season(), 1), fed(Season(), 14)
    assert 0.5 < one.factor(night) < 1
    assert many.factor(night) == pytest.approx(true, abs=0.2)
    assert many.factors.mean() == pytest.approx(1)


def test_a_day_without_any_post_is_an_outage_and_teaches_nothing() -> None:
    season = fed(Season(), 14)
    before = season.factors.copy()
    season.add(NOW.replace(hour=0) + timedelta(days=16), 20)
    assert np.abs(season.factors - before).max() < 0.1


def test_posts_of_an_archive_do_not_move_the_season() -> None:
    season = fed(Season(), 14)
    before = season.as_list()
    season.add(NOW - timedelta(days=9), 10_000)
    assert season.as_list() == before


def test_a_season_stored_and_read_goes_on_as_if_it_had_not_been() -> None:
    kept, stored = fed(Season(), 9), Season.from_list(fed(Season(), 9).as_list())
    later = NOW + timedelta(days=9)
    assert fed(stored, 3, start=later).as_list() == fed(kept, 3, start=later).as_list()


@pytest.mark.parametrize("numbers", [[1.0], [math.nan] * 337, [math.inf] * 337])
def test_what_cannot_be_a_season_is_a_season_yet_to_be_learned(numbers: list[float]) -> None:
    assert Season.from_list(numbers).as_list() == Season().as_list()


@given(st.floats(0, 300), st.floats(0, 300), st.integers(0, HOURS * 3600))
def test_seasonal_time_adds_up_whatever_the_hour(a: float, b: float, second: int) -> None:
    season, factors = weekly()
    exposure = season.exposure(NOW.timestamp() + second)
    low, high = sorted((a, b))
    assert exposure.plain(low) <= exposure.plain(high) <= high * max(factors) + 1e-9
    assert exposure.faded(high) - exposure.faded(low) <= exposure.plain(high) - exposure.plain(low)
    assert exposure.plain(HOURS) == pytest.approx(HOURS)
