"""Earliness and the rivals: what an alert was worth, and what simple alarms would have said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.replay.earliness import (
    Foretold,
    Raised,
    Seen,
    belongs,
    case,
    coverage,
    interval,
    moments_of,
    outcome,
    peak,
    ratio,
    whole_days,
)
from pipeline.replay.planting import FalseText, Planting
from pipeline.replay.rivals import (
    alarms,
    at_random,
    copies,
    cut_for,
    cut_in_vain,
    first_come,
    risk_only,
    risky_volume,
    volume,
    waves,
    z_score,
)

WIB = timezone(timedelta(hours=7))
START = datetime(2026, 1, 5, tzinfo=WIB)
END = START + timedelta(days=2)


def after(**span: float) -> datetime:
    return START + timedelta(**span)


def planting(number: int, posts: int, *, begins: float = 1, every: float = 10) -> Planting:
    """``begins`` in hours, a post ``every`` so many minutes."""
    return Planting(
        number=number,
        source=FalseText(
            id=str(number), text="", posted=date(2025, 3, 1), debunked=date(2025, 3, 8)
        ),
        moments=tuple(after(hours=begins, minutes=every * k) for k in range(posts)),
        accounts=posts,
        shape=0,
    )


def seen(*rows: tuple[float, int, float]) -> list[Seen]:
    """Each row: hours, narrative, risk."""
    return [Seen(at=after(hours=h), narrative=n, risk=r) for h, n, r in rows]


def raised(hours: float, number: int | None, narrative: int = 9) -> Raised:
    return Raised(at=after(hours=hours), narrative=narrative, planting=number)


def test_an_alert_belongs_to_what_most_of_its_posts_belong_to() -> None:
    assert belongs([3, 3, None]) == 3
    assert belongs([3, None]) is None
    assert belongs([3, 4, 5]) is None
    assert belongs([]) is None


def test_an_alert_before_the_tenth_of_a_hundred_posts_is_early() -> None:
    found = case(planting(1, 100), after(hours=1, minutes=45))
    assert (found.seen_before, found.to_come) == (5, 0.95)
    assert found.before_tenth
    assert found.early


def test_nine_of_fifty_are_before_the_tenth_and_yet_too_few_are_to_come() -> None:
    found = case(planting(1, 50), after(hours=1, minutes=85))
    assert found.seen_before == 9
    assert found.before_tenth
    assert not found.early


def test_the_tenth_post_is_too_late_and_no_alert_is_never_early() -> None:
    assert not case(planting(1, 100), after(hours=1, minutes=90)).before_tenth
    assert not case(planting(1, 100), None).before_tenth


def test_the_peak_is_the_busiest_hour() -> None:
    at = [after(hours=h) for h in (0, 5, 5.1, 5.2, 9)]
    assert peak(at) == after(hours=5)
    found = case(
        Planting(
            number=1, source=FalseText(id="a", text=""), moments=tuple(at), accounts=1, shape=0
        ),
        after(hours=2),
    )
    assert found.hours_before_peak == 3
    assert found.days_gained is None, "without dates nothing is said of days"


def test_days_gained_count_from_the_alert_to_the_debunk() -> None:
    assert case(planting(1, 100), after(hours=13)).days_gained == 6.5


def test_false_posts_that_stay_small_are_in_vain_and_harmless_ones_too() -> None:
    found = outcome(
        [raised(2, 1), raised(3, 2), raised(4, None), raised(30, None), raised(31, 1)],
        [planting(1, 60), planting(2, 4)],
        since=START,
        until=END,
    )
    assert found.alerts == (3, 2)
    assert found.in_vain == (2, 1)
    assert found.on_harmless == (1, 1)
    assert [c.planting for c in found.cases] == [1]
    assert found.cases[0].alerted_at == after(hours=2), "the first alert counts"


def test_what_grew_before_the_span_is_neither_counted_nor_in_vain() -> None:
    found = outcome([raised(25, 1)], [planting(1, 300)], since=after(days=1), until=END)
    assert found.cases == ()
    assert found.alerts == (1,)
    assert found.in_vain == (0,)


def test_alerts_outside_the_span_do_not_count() -> None:
    found = outcome(
        [raised(1, 1), raised(49, None)],
        [planting(1, 60, begins=25)],
        since=after(days=1),
        until=END,
    )
    assert found.alerts == (0,)
    assert found.cases[0].alerted_at is None


def test_a_forecast_holds_when_what_came_lies_in_it() -> None:
    moments = moments_of(seen((0, 1, 0), (1, 1, 0), (2, 1, 0), (8, 1, 0)))
    made = [
        Foretold(at=START, narrative=1, hours=3, low=2, high=5),
        Foretold(at=START, narrative=1, hours=3, low=3, high=5),
        Foretold(at=after(hours=7), narrative=1, hours=3, low=0, high=0),
        Foretold(at=START, narrative=2, hours=1, low=0, high=1),
    ]
    assert coverage(made, moments, until=after(hours=9)) == [True, False, True]


def test_an_interval_holds_its_mean_and_of_nothing_there_is_none() -> None:
    found = interval([0, 1] * 50)
    assert found.value == 0.5
    assert 0.38 < found.low < 0.5 < found.high < 0.62
    assert interval([]).count == 0
    assert interval([1.0] * 5).low == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_an_interval_lies_between_the_least_and_the_most(values: list[float]) -> None:
    found = interval(values)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_part_of_a_day_is_no_day_to_count_by() -> None:
    assert whole_days(START, END) == 2
    with pytest.raises(ValueError, match="whole days"):
        outcome([], [], since=START, until=START + timedelta(days=3.5))


def test_twice_as_many_is_twice_with_an_interval_around_it() -> None:
    found = ratio([1.0, 1.0, 0.0, 0.0] * 20, [1.0, 0.0, 0.0, 0.0] * 20)
    assert found.value == 2
    assert 1.3 < found.low < 2 < found.high < 3.5
    assert found.count == 80


def test_what_both_made_of_the_same_cases_is_resampled_together() -> None:
    same = [1.0, 0.0, 1.0, 0.0, 0.0] * 8
    found = ratio(same, same)
    assert (found.value, found.low, found.high) == (1, 1, 1), "apart they would differ by chance"
    other = ratio(same, same[1:] + same[:1])
    assert other.value == 1
    assert other.low < 1 < other.high


def test_more_than_nothing_has_no_bound_and_of_nothing_there_is_no_ratio() -> None:
    assert ratio([1.0] * 9, [0.0] * 9).value == float("inf")
    some = ratio([1.0] * 9, [1.0] + [0.0] * 8)
    assert some.value == 9
    assert 1 < some.low < 9
    assert some.high == float("inf"), "where no case of theirs is drawn"
    assert math.isnan(ratio([0.0], [0.0]).value)
    assert ratio([], []).count == 0
    with pytest.raises(ValueError, match="of every case"):
        ratio([1.0], [])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_a_ratio_lies_in_its_interval_or_there_is_none(cases: list[tuple[bool, bool]]) -> None:
    found = ratio([float(a) for a, _ in cases], [float(b) for _, b in cases])
    if not math.isnan(found.value):
        assert found.low <= found.high
        turned = ratio([float(b) for _, b in cases], [float(a) for a, _ in cases])
        if 0 < found.value < float("inf"):
            assert found.value * turned.value == pytest.approx(1)


def test_volume_counts_the_last_day_of_the_narrative_alone() -> None:
    assert volume(seen((0, 1, 0), (1, 2, 0), (2, 1, 0), (24.5, 1, 0))) == [1, 1, 2, 2]


def test_flagged_volume_counts_flagged_posts() -> None:
    assert risky_volume(0.5)(seen((0, 1, 0.6), (1, 1, 0.1), (2, 1, 0.9))) == [1, 1, 2]


def test_a_z_score_is_high_for_the_same_count_after_quiet_and_low_after_noise() -> None:
    burst = [(30 + k / 10, 1, 0.0) for k in range(10)]
    noise = [(6 + k / 10, 2, 0.0) for k in range(250)]
    both = seen(*sorted(noise + burst))
    highest = {1: 0.0, 2: 0.0}
    for post, level in zip(both, z_score(both), strict=True):
        if post.at >= after(hours=30):
            highest[post.narrative] = max(level, highest[post.narrative])
    assert highest[1] > 5 > 2 > highest[2]


def test_the_cut_lets_no_more_narratives_pass_than_the_budget() -> None:
    rows = seen((0, 1, 0.9), (1, 2, 0.8), (2, 3, 0.8), (3, 4, 0.1), (60, 5, 1.0))
    cut = lambda most: cut_for(risk_only(rows), rows, until=END, alerts=most)  # noqa: E731
    assert cut(1) == 0.9
    assert cut(2) == 0.9, "two have 0.8: both or none"
    assert cut(3) == 0.8
    assert cut(99) == 0.1
    assert cut(0) == float("inf")


def test_an_alarm_is_raised_once_a_narrative_and_never_over_the_budget() -> None:
    rows = seen((0, 1, 0.9), (1, 1, 0.9), (2, 2, 0.9), (3, 3, 0.9), (25, 3, 0.9), (26, 1, 0.9))
    found = alarms(risk_only(rows), rows, cut=0.5, a_day=2)
    assert [(a.narrative, a.at) for a in found] == [
        (1, START), (2, after(hours=2)), (3, after(hours=25)),
    ]  # fmt: skip


def test_an_alarm_knows_what_its_narrative_was_when_it_was_raised() -> None:
    rows = [
        Seen(at=START, narrative=1, risk=0.9, planting=7),
        Seen(at=START, narrative=1, risk=0.9, planting=None),
    ]
    (found,) = alarms(risk_only(rows), rows, cut=0.5, a_day=1)
    assert found.planting == 7


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.integers(1, 5), st.floats(0, 1)), min_size=1, max_size=40
    ),
    st.integers(1, 4),
)
def test_no_rival_ever_breaks_the_budget(rows: list[tuple[float, int, float]], a_day: int) -> None:
    posts = seen(*sorted(rows))
    for levels in (volume, z_score, risk_only, first_come(0.5), at_random(1), risky_volume(0.3)):
        given_ = levels(posts)
        assert len(given_) == len(posts)
        cut = cut_for(given_, posts, until=END, alerts=2 * a_day)
        found = alarms(given_, posts, cut=cut, a_day=a_day)
        days = [a.at.date() for a in found]
        assert all(days.count(d) <= a_day for d in days)
        assert len({a.narrative for a in found}) == len(found)


def test_chance_is_the_same_for_the_same_seed() -> None:
    rows = seen((0, 1, 0), (1, 2, 0))
    assert at_random(3)(rows) == at_random(3)(rows) != at_random(4)(rows)


def test_first_come_takes_what_is_flagged() -> None:
    assert first_come(0.5)(seen((0, 1, 0.5), (1, 1, 0.4))) == [1.0, 0.0]


def test_a_moment_without_a_day_of_its_own_is_no_rivals_business() -> None:
    utc = Seen(at=datetime(2026, 1, 5, 20, tzinfo=UTC), narrative=1, risk=1.0)
    wib = Seen(at=datetime(2026, 1, 5, 20, tzinfo=UTC).astimezone(WIB), narrative=2, risk=1.0)
    found = alarms([1.0, 1.0], [utc, wib], cut=1.0, a_day=1)
    assert len(found) == 2, "the day is that of the moment's own zone"


def test_an_interval_of_one_value_is_that_value() -> None:
    assert interval([3.0]).low == pytest.approx(3.0)


def test_copies_alone_make_a_wording_a_narrative() -> None:
    rows = [
        Seen(at=START, narrative=1, risk=0.0, text=11),
        Seen(at=START, narrative=1, risk=0.0, text=12),
        Seen(at=START, narrative=2, risk=0.0, text=11),
    ]
    assert [s.narrative for s in copies(rows)] == [11, 12, 11]
    assert volume(copies(rows)) == [1, 1, 2]


def test_the_generous_cut_is_the_lowest_that_is_not_too_often_in_vain() -> None:
    rows = [
        Seen(at=after(hours=h), narrative=n, risk=r, planting=p)
        for h, n, r, p in ((0, 1, 0.9, 7), (1, 2, 0.8, None), (2, 3, 0.7, 7), (3, 4, 0.6, None))
    ]

    def in_vain(found: Sequence[Raised]) -> float:
        return sum(a.planting != 7 for a in found)

    def cut(most: float, until: datetime = END) -> float:
        levels = risk_only(rows)
        return cut_in_vain(levels, rows, until=until, a_day=9, in_vain=in_vain, most=most)

    assert cut(0) == 0.9
    assert cut(1) == 0.7
    assert cut(2) == 0.6
    assert cut(0, until=after(minutes=30)) == 0.9, "what comes later is not looked at"


def test_what_comes_back_after_two_days_is_a_narrative_of_its_own() -> None:
    rows = seen((0, 5, 0.1), (1, 6, 0.2), (40, 5, 0.3), (88, 5, 0.4), (89, 5, 0.5), (90, 6, 0.6))

    found = [post.narrative for post in waves(rows)]

    assert found[0] == found[2] != found[1]
    assert found[3] == found[4]
    assert len(set(found)) == 4
    assert [post.risk for post in waves(rows)] == [post.risk for post in rows]
