"""Titles and keywords: from a narrative's own posts, readable, without people's numbers."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from models.fake import FakeScorer
from pipeline.pii import mask
from pipeline.titles import LONGEST, keywords_of, lead_of, title_of

SPACE = FakeScorer().space


def test_the_title_is_the_sentence_that_most_posts_share() -> None:
    texts = [
        "Assalamualaikum bapak ibu. Rekening orang tua dipotong untuk makan siang sekolah.",
        "Rekening orang tua dipotong untuk makan siang sekolah! Astaga, mau jadi apa negara ini",
        "Rekening orang tua mulai dipotong buat makan siang sekolah. Tolong sebarkan ke semua grup ya",
    ]

    title, index = title_of(texts, SPACE)

    assert title.startswith("Rekening orang tua")
    assert 0 <= index < 3


def test_a_cry_or_a_greeting_is_no_title_where_more_is_said() -> None:
    assert (
        lead_of("RESMI!! Harga beras turun mulai besok pagi.")
        == "Harga beras turun mulai besok pagi."
    )
    assert lead_of("Fwd: [Diteruskan] Harga beras turun besok") == "Harga beras turun besok"
    assert lead_of("y") == "y"
    assert lead_of("😭😭 https://s.example/a") == ""


def test_titles_hold_no_numbers_handles_or_links_and_are_not_endless() -> None:
    title = lead_of(
        "Hubungi 0812-0000-1234 atau @panitia_cth, daftar di s.example/thr sekarang juga ya"
    )
    assert "0812" not in title
    assert "panitia" not in title
    assert "s.example" not in title
    assert len(lead_of("kata " * 500)) <= LONGEST


@given(st.text(alphabet="0123456789aZ -+().,\t<é１\u200b", max_size=60))
@example("nomor 08120001")
@example("nomor ０８１２-０００１")
@example("nomor 0 8 1 2 0 0 0")
def test_whatever_is_to_be_masked_is_masked_in_titles(said: str) -> None:
    sentence = f"kata {said}x"
    if "." in sentence:  # which ends it
        sentence = sentence.replace(".", "-")

    assert lead_of(sentence) == re.sub(r"\s+", " ", mask(sentence))


def test_a_word_counts_once_a_text_in_the_form_that_comes_first() -> None:
    texts = ["potongan dipotong potongan", "dipotong potongan", "dipotong", "rekening", "rekening"]

    assert keywords_of(texts, SPACE) == ["dipotong", "rekening"]


def test_keywords_are_words_of_the_posts_as_they_are_written() -> None:
    texts = ["Rekening dipotong s.example/cek", "rekening dipotong lagi", "dipotong terus rekening"]

    found = keywords_of(texts, SPACE)

    assert set(found[:2]) == {"rekening", "dipotong"}
    assert "example" not in found
