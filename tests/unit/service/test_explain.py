"""Explanations: which words raised a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fake import FakeScorer
from models.scorer import NOTHING_TO_JUDGE, Score
from service.batcher import CHARS_PER_POST, Batcher
from service.posts.explain import MOST_CHARS, MOST_VARIANTS, READ_CHARS, explain


class Counting(FakeScorer):
    """Risk 0.9 with the word "chip", 0.6 with "vaksin", else 0.1; counts what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def score_and_embed(self, texts: Sequence[str]) -> list[tuple[Score, npt.NDArray[np.float32]]]:
        self.texts += texts
        return [(_score(text), np.zeros(0, np.float32)) for text in texts]


def _score(text: str) -> Score:
    lowered = text.casefold()
    risk = 0.9 if "chip" in lowered else 0.6 if "vaksin" in lowered else 0.1
    return Score(
        **{name: getattr(NOTHING_TO_JUDGE, name) for name in Score.__slots__} | {"risk": risk}
    )


@pytest.fixture
def scorer() -> Counting:
    return Counting()


@pytest.fixture
def batcher(scorer: Counting) -> Iterator[Batcher]:
    made = Batcher(scorer)
    yield made
    made.close()


def test_the_words_that_raise_the_risk_are_found(batcher: Batcher) -> None:
    text = "katanya vaksin itu berisi chip kecil"
    found = explain(text, batcher)
    assert [text[s.start : s.end] for s in found.spans] == ["chip"]
    assert found.spans[0].strong
    assert found.risk == 0.9
    assert not found.partial


def test_a_word_that_comes_again_is_left_out_everywhere_at_once(batcher: Batcher) -> None:
    text = "chip! ada Chip di sana, CHIP di sini, chip"
    spans = [text[s.start : s.end] for s in explain(text, batcher).spans]
    assert spans == []  # "chip!" and "chip" are two words: either alone keeps the risk up
    text = "chip ada Chip di sana dan CHIP di sini"
    assert [text[s.start : s.end] for s in explain(text, batcher).spans] == ["chip", "Chip", "CHIP"]


@pytest.mark.parametrize(
    "word", ["😱chip👩‍👩‍👧", "chip\u200b\u200b", "\u202echip", "c̶hip chip", "ＣＨＩＰchip"]
)
def test_emoji_and_invisible_signs_stay_whole(batcher: Batcher, word: str) -> None:
    text = f"awas 😱 {word}\u3000ada di mana-mana"
    for span in explain(text, batcher).spans:
        assert text[span.start : span.end] in text.split()


def test_a_long_post_costs_no_more_than_the_bound(batcher: Batcher, scorer: Counting) -> None:
    text = (
        "harga beras hari ini tetap sama " * 50 + "ada chip di vaksin " + "kabar biasa saja " * 900
    )
    found = explain(text, batcher)
    assert len(scorer.texts) <= MOST_VARIANTS
    assert sum(len(t) + CHARS_PER_POST for t in scorer.texts) <= MOST_CHARS + READ_CHARS
    assert found.partial
    assert any("chip" in text[s.start : s.end] for s in found.spans)


@pytest.mark.parametrize("text", ["", " \n ", "\u200b", "x" * 20_000, "😱" * 20_000, "a " * 10_000])
def test_strange_texts_are_explained_without_fail(batcher: Batcher, text: str) -> None:
    found = explain(text, batcher)
    assert all(0 <= s.start < s.end <= len(text) for s in found.spans)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300).map(lambda t: f"{t} vaksin {t[:20]} chip {t[:50]}"))
def test_spans_are_whole_words_in_order_and_apart(text: str) -> None:
    batcher = Batcher(Counting())
    try:
        spans = explain(text, batcher).spans
    finally:
        batcher.close()
    ends = [0, *(s.end for s in spans)]
    assert all(end <= span.start for end, span in zip(ends, spans, strict=False))
    for span in spans:
        assert span.start == 0 or text[span.start - 1].isspace()
        assert span.end == len(text) or text[span.end].isspace()
