"""Planting: everything seeded, at its hour, with the pace of what was measured."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.digest import jaccard, plain, runs_of
from pipeline.replay.bursts import SILENCE_S, Shape, bursts_of, grown, measured_shapes
from pipeline.replay.planting import (
    GROWS,
    CannotPlant,
    FalseText,
    Plan,
    PlantedPost,
    Planting,
    fold,
    hours_of,
    plant,
)
from pipeline.replay.retelling import SHARES, retell

WIB = timezone(timedelta(hours=7))
START = datetime(2026, 1, 5, tzinfo=WIB)
TEXT = (
    "Warga desa diminta menyerahkan kartu lama sebelum Jumat. Yang tidak datang akan kehilangan "
    "bantuan beras. Semua orang sudah tahu, jangan sampai terlambat karena kantor hanya buka pagi."
)
STEADY = Shape(gaps_s=(60.0,) * 19, accounts=tuple(range(20)))
LONE = Shape(gaps_s=(), accounts=(0,))
PAIR = Shape(gaps_s=(1800.0,), accounts=(0, 0))


def minutes(*at: float) -> list[datetime]:
    return [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=m) for m in at]


def texts(count: int, name: str = "t") -> list[FalseText]:
    return [FalseText(id=f"{name}{n}", text=f"{TEXT} {name}{n}") for n in range(count)]


def planted(
    seed: int = 1, shapes: Sequence[Shape] = (STEADY, LONE, PAIR)
) -> tuple[list[Planting], list[PlantedPost]]:
    return plant(
        small=texts(300),
        growers=texts(40, "g"),
        shapes=shapes,
        hours=[0] * 9 + [3, 1] + [0] * 13,
        plan=Plan(start=START, days=7, end=START + timedelta(days=7), a_day=20, growers_a_day=2),
        seed=seed,
    )


def test_near_copies_are_one_burst_and_its_gaps_and_accounts_are_kept() -> None:
    shapes = measured_shapes(
        [TEXT, "Hujan deras di kota sejak sore", TEXT + " Viral!", TEXT],
        minutes(0, 1, 5, 30),
        ["a", "b", "c", "a"],
    )
    assert shapes == [
        Shape(gaps_s=(300.0, 1500.0), accounts=(0, 1, 0)),
        Shape(gaps_s=(), accounts=(0,)),
    ]


def test_posts_without_an_account_are_by_different_people() -> None:
    (shape,) = measured_shapes([TEXT, TEXT], minutes(0, 1), [None, None])
    assert shape.accounts == (0, 1)


def test_a_burst_is_of_ten_posts_by_several_accounts() -> None:
    one_account = Shape(gaps_s=(60.0,) * 19, accounts=(0,) * 20)
    nine = Shape(gaps_s=(60.0,) * 8, accounts=tuple(range(9)))
    assert bursts_of([one_account, nine, STEADY]) == [STEADY]


@given(st.integers(50, 200), st.integers(0, 1000))
def test_a_grown_burst_has_only_gaps_that_were_measured(posts: int, seed: int) -> None:
    shape = Shape(gaps_s=(1, 2, 3, 50_000, 4, 5, 6, 7, 8), accounts=tuple(range(10)))
    made = grown(shape, posts, random.Random(seed))
    assert made.posts == posts == len(made.gaps_s) + 1
    assert set(made.gaps_s) <= set(shape.gaps_s)
    assert sum(gap > SILENCE_S for gap in made.gaps_s) == 1, "a silence is kept once"
    assert made.accounts == tuple(range(posts)), "all measured posts are by different accounts"


def test_a_grown_burst_is_fast_where_the_measured_one_was() -> None:
    shape = Shape(gaps_s=(1.0,) * 20 + (1000.0,) * 20, accounts=tuple(range(41)))
    made = grown(shape, 100, random.Random(3))
    assert max(made.gaps_s[:40]) == 1
    assert min(made.gaps_s[-40:]) == 1000


def test_folding_keeps_the_hour_of_the_week_and_lies_in_the_span() -> None:
    given_ = [datetime(2021, 4, 1, 3, 7, tzinfo=UTC) + timedelta(hours=37 * n) for n in range(40)]
    folded = fold(given_, START, timedelta(days=14))
    assert all(START <= at < START + timedelta(days=14) for at in folded)
    for before, after in zip(given_, folded, strict=True):
        assert (after - before) % timedelta(days=7) == timedelta(0)
    assert len(set(folded)) == len(folded)


def test_folding_onto_no_whole_weeks_is_refused() -> None:
    with pytest.raises(ValueError, match="whole weeks"):
        fold([START], START, timedelta(days=10))


def test_the_same_seed_plants_the_same_and_another_does_not() -> None:
    assert planted(1) == planted(1)
    assert planted(1)[1] != planted(2)[1]


def test_as_many_are_planted_as_the_plan_says_and_no_text_twice() -> None:
    plantings, posts = planted()
    assert Counter(p.grows for p in plantings) == {False: 140, True: 14}
    assert len({p.source.id for p in plantings}) == len(plantings)
    assert sum(len(p.moments) for p in plantings) == len(posts)


def test_a_start_has_the_hour_of_the_background() -> None:
    plantings, _ = planted()
    assert {p.moments[0].hour for p in plantings} == {9, 10}


def test_posts_come_in_order_within_the_span_and_each_is_of_its_planting() -> None:
    plantings, posts = planted()
    assert all(a.at <= b.at for a, b in pairwise(posts))
    assert max(p.at for p in posts) < START + timedelta(days=7)
    for planting in plantings:
        own = [p for p in posts if p.planting == planting.number]
        assert tuple(p.at for p in own) == planting.moments
        assert own[0].text == planting.source.text
        assert own[0].how == "first"
        assert len({p.account for p in own}) == planting.accounts


def test_one_that_grows_reaches_fifty_posts_even_if_it_begins_late() -> None:
    slow = Shape(gaps_s=(3000.0,) * 19, accounts=tuple(range(20)))
    plantings, _ = planted(shapes=[slow, LONE])
    assert all(len(p.moments) >= GROWS for p in plantings if p.source.id.startswith("g"))


def test_a_burst_too_slow_for_the_span_is_said_to_be() -> None:
    slow = Shape(gaps_s=(20_000.0,) * 19, accounts=tuple(range(20)))
    with pytest.raises(CannotPlant, match="no measured burst"):
        planted(shapes=[slow, LONE])


def test_the_hours_of_the_background_are_counted() -> None:
    counted = hours_of([START, START + timedelta(minutes=5), START + timedelta(hours=30)])
    assert counted == (2, 0, 0, 0, 0, 0, 1, *(0,) * 17)


def test_most_that_pass_a_text_on_copy_it_and_the_others_stay_near_it() -> None:
    dice = random.Random(5)
    told = [retell(TEXT, dice) for _ in range(600)]
    counts = Counter(how for _, how in told)
    for how, share in SHARES.items():
        assert abs(counts[how] / 600 - share) < 0.06
    (original,) = runs_of([plain(TEXT.lower())])
    likeness = {
        how: [jaccard(original, runs_of([plain(t.lower())])[0]) for t, h in told if h == how]
        for how in SHARES
    }
    assert min(likeness["copy"]) == 1
    assert min(likeness["near"]) > 0.4
    assert min(likeness["retold"]) < 0.6, "some are told in other words"


@given(st.text(max_size=60), st.integers(0, 200))
def test_any_text_can_be_passed_on(text: str, seed: int) -> None:
    told, how = retell(text, random.Random(seed))
    assert how in SHARES
    assert isinstance(told, str)


def test_a_false_text_can_carry_its_dates() -> None:
    text = FalseText(id="a", text=TEXT, posted=date(2025, 1, 2), debunked=date(2025, 1, 9))
    assert (text.debunked - text.posted).days == 7  # type: ignore[operator]
