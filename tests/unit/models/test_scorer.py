"""The shipped model and the scoring path."""

from __future__ import annotations

import csv
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bench import written_posts
from models.errors import ReleaseError
from models.fake import FakeScorer
from models.labels import LABELS, LOGITS, TECHNIQUES, TONES
from models.release import RELEASE, open_release
from models.scorer import (
    NOTHING_TO_JUDGE,
    OVERLAP,
    WINDOW,
    Score,
    Scorer,
    pool_windows,
    token_batches,
    windows,
)

SAMPLE = Path("pipeline/sample/feed.csv")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load()


def test_the_same_text_has_the_same_score_in_any_batch(scorer: Scorer) -> None:
    posts = written_posts()[:120]
    together = scorer.logits(posts)[0]
    alone = np.concatenate([scorer.logits([post])[0] for post in posts[:40]])
    assert np.abs(together[:40] - alone).max() < 1e-3
    backwards = scorer.logits(posts[::-1])[0][::-1]
    assert np.abs(together - backwards).max() < 1e-3


def test_scores_are_probabilities_with_known_labels(scorer: Scorer) -> None:
    for score in scorer.score(written_posts()[:60]):
        for value in (score.risk, score.false, score.hoax, score.malinformation):
            assert 0.0 <= value <= 1.0
        assert score.hoax + score.disinformation == pytest.approx(score.false, abs=1e-6)
        assert score.label in LABELS
        assert score.tone in TONES
        assert score.technique is None or score.technique in TECHNIQUES
        assert (score.technique is None) == (score.label in ("valid", "malinformation"))


def test_a_post_is_flagged_exactly_from_the_budget_on(scorer: Scorer) -> None:
    for score in scorer.score(written_posts()[:200]):
        assert (score.label != "valid") == (score.risk >= scorer.thresholds.budget_5)


def test_false_posts_rank_above_ordinary_ones(scorer: Scorer) -> None:
    false = scorer.score(
        [
            "VIRALKAN!! Presiden resmi hapus semua utang rakyat mulai besok, media bungkam!!",
            "Selamat! Nomor anda terpilih mendapat bantuan 5 juta, segera daftar di tautan ini",
        ]
    )
    ordinary = scorer.score(
        ["besok rapat jam 9 ya, jangan telat", "Harga cabai di pasar induk turun hari ini"]
    )
    assert min(s.risk for s in false) > max(s.risk for s in ordinary)


@pytest.mark.parametrize("text", ["", " ", "😂😂😂", "https://contoh.example", "@a @b", "123 !!!"])
def test_a_post_without_words_is_not_judged(scorer: Scorer, text: str) -> None:
    assert scorer.score([text]) == [NOTHING_TO_JUDGE]


def test_identical_texts_are_scored_once_and_alike(scorer: Scorer) -> None:
    post = "kabar baik untuk warga desa"
    assert len(set(scorer.score([post, post.upper(), post]))) == 1


def test_nothing_in_nothing_out(scorer: Scorer) -> None:
    assert scorer.score([]) == []


def test_the_end_of_a_long_post_counts(scorer: Scorer) -> None:
    calm = "rapat warga membahas jadwal ronda dan iuran kebersihan bulan ini. " * 40
    alarm = "VIRALKAN presiden resmi hapus semua utang rakyat, media dibungkam, sebarkan! " * 40
    assert scorer.score([calm + alarm])[0].false > scorer.score([calm])[0].false


def test_a_post_of_a_million_characters_is_scored(scorer: Scorer) -> None:
    assert isinstance(scorer.score(["kabar dari desa " * 65_000])[0], Score)


def test_embeddings_have_length_one(scorer: Scorer) -> None:
    for _, vector in scorer.score_and_embed(["kabar dari desa", "harga cabai turun " * 200]):
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-4)


def test_the_sample_feeds_false_posts_stand_above_its_chatter(scorer: Scorer) -> None:
    kinds: dict[str, list[str]] = {}
    with SAMPLE.open(encoding="utf-8", errors="replace", newline="") as stream:
        for row in csv.DictReader(line.replace("\0", "") for line in stream):
            kinds.setdefault(row.get("kind") or "", []).append(row.get("full_text") or "")
    hoax = np.array([s.risk for s in scorer.score(kinds["hoax_fabricated"])])
    chatter = np.array([s.risk for s in scorer.score(kinds["chatter"])])
    # The share of pairs in the right order; how good it is belongs to the evaluation.
    assert (hoax[:, None] > chatter).mean() > 0.75


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "thresholds.json", "card.md"])
def test_a_changed_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "release"
    shutil.copytree(RELEASE, folder)
    with (folder / name).open("ab") as stream:
        stream.write(b"\n")
    with pytest.raises(ReleaseError, match=name):
        open_release(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    shutil.copytree(RELEASE, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ReleaseError, match=r"tokenizer\.json is missing"):
        open_release(folder)


def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no trained model"):
        open_release(tmp_path)


@given(st.integers(min_value=0, max_value=2000))
def test_windows_leave_no_token_out(count: int) -> None:
    ids = list(range(count))
    parts = list(windows(ids))
    assert [i for i in ids if not any(i in p for p in parts)] == []
    assert all(len(p) <= WINDOW for p in parts)
    for a, b in pairwise(parts):
        assert a[-OVERLAP:] == b[:OVERLAP]


@given(st.lists(st.integers(min_value=2, max_value=98), max_size=200))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int]) -> None:
    batches = list(token_batches(lengths, budget=256))
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert all(max(lengths[i] for i in b) * len(b) <= 256 for b in batches)


def test_one_odd_window_does_not_decide_a_long_post() -> None:
    logits = np.zeros((10, LOGITS), np.float32)
    logits[3, 0] = 10.0
    row, _ = pool_windows(logits, np.ones((10, 4), np.float32), [98] * 10)
    assert row[0] < 3.0


def test_the_fake_scorer_gives_the_same_kind_of_scores() -> None:
    fake = FakeScorer()
    assert isinstance(fake.score(["undian berhadiah"])[0], Score)
