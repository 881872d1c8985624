"""The parts of a replay: kept scores, dated feeds, steps of the clock, figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fake import FakeScorer
from models.scorer import Floats, Score
from pipeline.errors import FeedError
from pipeline.replay.bursts import Shape
from pipeline.replay.planting import CannotPlant, PlantedPost
from service.pages.words import WIB
from service.posts.intake import post_key
from service.replay import plots
from service.replay.material import (
    START,
    laid_over,
    planted,
    read_dated,
    read_false,
    shapes_of,
)
from service.replay.run import steps
from service.replay.scores import KeptScores
from service.replay.whole import planted_among

HEAD = "id_str,created_at,username,full_text,favorite_count,platform\n"


class Counting(FakeScorer):
    """Counts the texts that it scores."""

    scored = 0

    def score_and_embed(self, texts: Sequence[str]) -> list[tuple[Score, Floats]]:
        self.scored += len(texts)
        return super().score_and_embed(texts)


def feed(folder: Path, *rows: str, name: str = "umpan.csv") -> Path:
    path = folder / name
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_what_was_scored_once_is_not_scored_again(tmp_path: Path) -> None:
    model = Counting()
    first = KeptScores(model, tmp_path).score_and_embed(["satu dua", "viralkan ini", "satu dua"])
    assert model.scored == 2
    again = KeptScores(model, tmp_path).score_and_embed(["viralkan ini", "satu dua", "baru"])
    assert model.scored == 3
    assert [s for s, _ in again[:2]] == [first[1][0], first[0][0]]
    np.testing.assert_array_equal(again[0][1], first[1][1])


def test_kept_embeddings_are_those_that_the_desk_stores(tmp_path: Path) -> None:
    ((_, kept),) = KeptScores(FakeScorer(), tmp_path).score_and_embed(["satu dua tiga"])
    ((_, made),) = FakeScorer().score_and_embed(["satu dua tiga"])
    np.testing.assert_array_equal(kept.astype(np.float16), made.astype(np.float16))
    assert kept.dtype == np.float32


def test_a_text_without_words_and_one_with_half_a_character_are_kept_too(tmp_path: Path) -> None:
    scores = KeptScores(FakeScorer(), tmp_path)
    odd = ["!!", "\ud83d"]
    first, again = scores.score_and_embed(odd), scores.score_and_embed(odd)
    assert [s for s, _ in again] == [s for s, _ in first]
    assert [v.size for _, v in again] == [0, 0]


def test_scores_of_another_release_are_not_taken(tmp_path: Path) -> None:
    model = Counting()
    KeptScores(model, tmp_path).score_and_embed(["satu"])
    model.version = "fake-2"
    KeptScores(model, tmp_path).score_and_embed(["satu"])
    assert model.scored == 2


def test_a_feed_is_read_in_order_of_time_and_undated_rows_are_counted(tmp_path: Path) -> None:
    path = feed(
        tmp_path,
        "2,2026-01-06T10:00:00Z,b,dua,7,x",
        "3,bukan tanggal,c,tiga,1,x",
        "1,2026-01-05T10:00:00Z,a,satu,3,x",
    )
    found, without = read_dated(path)
    assert [d.post.text for d in found] == ["satu", "dua"]
    assert without == 1
    assert found[0].at.utcoffset() == timedelta(hours=7)


def test_likes_of_the_day_of_the_download_are_left_out(tmp_path: Path) -> None:
    found, _ = read_dated(feed(tmp_path, "1,2026-01-05T10:00:00Z,a,satu,900000,x"))
    assert found[0].post.engagement == {}


def test_a_feed_without_any_date_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="no row has a date"):
        read_dated(feed(tmp_path, "1,,a,satu,3,x"))


def test_feeds_of_different_years_are_laid_over_one_another(tmp_path: Path) -> None:
    old, _ = read_dated(feed(tmp_path, "1,2021-04-01T10:00:00Z,a,satu,3,x"))
    new, _ = read_dated(feed(tmp_path, "2,2025-10-02T09:00:00Z,b,dua,3,x", name="lain.csv"))
    together = laid_over([new, old])
    assert [d.post.text for d in together] == ["dua", "satu"]
    assert all(START <= d.at < START + timedelta(days=14) for d in together)
    assert all(d.post.posted_at == d.at for d in together)
    assert together[1].at.weekday() == 3


def test_every_planted_post_is_a_post_of_its_own() -> None:
    at = datetime(2026, 1, 5, tzinfo=WIB)
    made = [
        PlantedPost(at=at, text="sama", account=a, platform="whatsapp", planting=1, how="copy")
        for a in ("a", "b")
    ]
    assert len({post_key(d.post) for d in planted(made)}) == 2
    assert {d.planting for d in planted(made)} == {1}


def test_false_posts_are_read_with_their_days(tmp_path: Path) -> None:
    path = tmp_path / "salah.csv"
    path.write_text(
        "posted,debunked,platform,text\n"
        "2025-03-01,2025-03-09,TikTok,Ada uang gratis\n"
        ",2025-03-09,,Tanpa hari\n",
        encoding="utf-8",
    )
    first, second = read_false(path)
    assert first.posted is not None
    assert first.debunked is not None
    assert (first.debunked - first.posted).days == 8
    assert (first.platform, second.platform) == ("tiktok", "unknown")
    assert second.posted is None


def test_the_shapes_of_a_feed_are_those_of_its_copies(tmp_path: Path) -> None:
    rows = [
        f"{n},2026-01-05T10:0{n}:00Z,akun{n},Pasar tutup sampai hari Senin depan,0,x"
        for n in range(3)
    ]
    found, _ = read_dated(feed(tmp_path, *rows))
    assert shapes_of(found) == [Shape(gaps_s=(60.0, 60.0), accounts=(0, 1, 2))]


def test_planting_among_too_little_says_what_is_needed(tmp_path: Path) -> None:
    found, _ = read_dated(feed(tmp_path, "1,2026-01-05T10:00:00Z,a,satu,3,x"))
    with pytest.raises(CannotPlant, match="4 days or more"):
        planted_among(found, feed(tmp_path, "1,,a,palsu,1,x", name="salah.csv"), seed=1)


def test_a_silence_of_years_is_passed_over() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    made = list(steps([start, start + timedelta(days=3000)], timedelta(seconds=30)))
    assert len(made) < 300
    assert made[-1] == (2, start + timedelta(days=3000))


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=40))
def test_every_post_is_taken_once_in_order_and_the_clock_only_goes_forward(ages: list[int]) -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    moments = [start + timedelta(seconds=s) for s in sorted(ages)]
    step, tick = timedelta(seconds=30), timedelta(minutes=30)
    made = list(steps(moments, step, tick))
    assert made[-1] == (len(moments), moments[-1])
    for (before, then), (end, now) in pairwise([(0, moments[0]), *made]):
        assert before <= end
        assert then <= now
        taken = moments[before:end]
        assert all(at <= now for at in taken), "nothing is known before it happened"
        assert not taken or taken[-1] - taken[0] < step
        assert now - then <= max(tick, step), "a silence is looked into too"


@pytest.mark.parametrize(
    "drawn",
    [
        plots.lines(
            {"kita": [0.1, 0.9], "<lawan>": [0.1, 0.9]},
            ["5", "10"],
            title="a & b",
            across="x",
            up="y",
        ),
        plots.bars({"1": 3, "tak pernah": 0}, title="<script>", across="x", up="y", marked="1"),
        plots.story(
            [START, START + timedelta(hours=3)],
            {"alert": START + timedelta(hours=1)},
            title="t",
            across="x",
            up="y",
        ),
        plots.story([START], {}, title="t", across="x", up="y"),
        plots.bars({"1": 0}, title="t", across="x", up="y"),
    ],
)
def test_a_figure_is_whole_xml_with_a_title_and_nothing_that_runs(drawn: str) -> None:
    root = ET.fromstring(drawn)
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert "<script" not in drawn
    assert "nan" not in drawn
    assert len(drawn) < 12_000


def test_names_at_the_ends_of_lines_do_not_lie_on_one_another() -> None:
    drawn = plots.lines(
        {name: [0.5, 0.5] for name in "abcde"}, ["5", "10"], title="t", across="x", up="y"
    )
    texts = [t for t in ET.fromstring(drawn).iter() if t.text in tuple("abcde")]
    heights = sorted(float(t.attrib["y"]) for t in texts)
    assert all(b - a >= 12 for a, b in pairwise(heights))
