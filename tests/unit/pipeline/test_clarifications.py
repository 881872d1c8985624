"""Which clarification is nearest to a post: the index by itself, and the shipped model in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fake import FakeScorer
from models.likeness import Floats, Space, words_of
from models.scorer import Scorer
from pipeline.clarifications import MOST_WORDS, ClarificationIndex, common_words, likeness

SPACE = FakeScorer().space
CLAIMS = (
    "Air PDAM Kota Tirta dicampur racun tikus oleh pegawai pompa",
    "Uang logam seribu kelapa sawit dihargai seratus juta kolektor",
    "Guru honorer diberhentikan serentak lewat surat edaran Januari",
    "Bendungan Way Fiktif retak dan jebol dalam dua puluh empat jam",
)


def embedded(text: str) -> Floats | None:
    ((_, vector),) = FakeScorer().score_and_embed([text])
    return vector if vector.size else None


def index_of(claims: Sequence[str], space: Space = SPACE) -> ClarificationIndex:
    index = ClarificationIndex(space)
    for number, claim in enumerate(claims, start=1):
        index.put(number, [claim], embedded(claim))
    return index


def nearest(index: ClarificationIndex, text: str, at_least: float = 0.5) -> int | None:
    found = index.nearest(text, embedded(text), at_least=at_least)
    return None if found is None else found.id


def test_a_claim_told_with_other_words_around_it_finds_its_clarification() -> None:
    index = index_of(CLAIMS)
    told = "hati2 warga! air pdam kota tirta katanya dicampur racun tikus sama pegawai pompa 😱"
    found = index.nearest(told, embedded(told))
    assert found is not None
    assert found.id == 1
    words = common_words(CLAIMS[0], found.words)
    assert {"pdam", "racun", "tikus"} <= set(words)
    assert set(words) <= set(CLAIMS[0].lower().split())


@pytest.mark.parametrize(
    "text",
    ["", " ", "😂😂", "wkwk", "air", "pagi semua, hujan lagi di sini", "https://s.example/a"],
)
def test_short_and_unrelated_texts_find_nothing(text: str) -> None:
    assert nearest(index_of(CLAIMS), text) is None


def test_nothing_is_near_where_nothing_is_known() -> None:
    assert nearest(ClarificationIndex(SPACE), CLAIMS[0], at_least=0.0) is None


def test_a_post_without_an_embedding_is_compared_by_its_words() -> None:
    found = index_of(CLAIMS).nearest(CLAIMS[3], None)
    assert found is not None
    assert found.id == 4


def test_the_title_serves_as_well_as_the_claim() -> None:
    index = ClarificationIndex(SPACE)
    index.put(7, ["Racun tikus di keran warga", CLAIMS[0]], None)
    assert nearest(index, CLAIMS[0]) == 7


def test_a_clarification_without_a_word_is_never_found() -> None:
    index = ClarificationIndex(SPACE)
    index.put(1, ["", "😂"], None)
    assert nearest(index, "😂 apa saja", at_least=0.0) is None
    assert len(index) == 1


def test_what_is_put_anew_is_found_by_its_new_words_alone() -> None:
    index = index_of(CLAIMS)
    index.put(1, ["Harimau turun ke kebun karet warga Tegal Contoh"], None)
    assert nearest(index, CLAIMS[0]) is None
    assert nearest(index, "harimau turun ke kebun karet warga tegal contoh semalam") == 1


def test_a_very_long_post_is_looked_up_by_its_first_words() -> None:
    filler = " ".join(f"kata{i}" for i in range(MOST_WORDS))
    assert nearest(index_of(CLAIMS), f"{filler} {CLAIMS[0]}", at_least=0.0) is None


def test_more_in_common_never_makes_a_clarification_less_likely() -> None:
    steps = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    for kept in steps:
        cosines = [likeness(c, kept, kept, 20.0) for c in steps]
        weights = [likeness(0.4, kept, kept, 60 * w) for w in steps]
        assert cosines == sorted(cosines)
        assert weights == sorted(weights)


Steps = st.lists(
    st.tuples(st.booleans(), st.integers(1, 6), st.integers(0, len(CLAIMS) - 1)), max_size=40
)


@given(Steps)
def test_after_any_changes_the_index_finds_what_a_new_one_finds(
    steps: list[tuple[bool, int, int]],
) -> None:
    index = ClarificationIndex(SPACE)
    known: dict[int, str] = {}
    for keep, number, which in steps:
        if keep:
            known[number] = CLAIMS[which]
            index.put(number, [CLAIMS[which]], embedded(CLAIMS[which]))
        else:
            known.pop(number, None)
            index.remove(number)
    assert len(index) == len(known)
    for claim in CLAIMS:
        expected = min((n for n, said in known.items() if said == claim), default=None)
        assert nearest(index, claim) == expected


def test_an_index_of_which_most_was_taken_out_still_finds_the_rest() -> None:
    claims = [f"pejabat kota nomor{i} menutup jalan raya{i} malam{i}" for i in range(2500)]
    index = index_of(claims)
    for number in range(1, 2000):
        index.remove(number)
    index.put(3000, [CLAIMS[0]], embedded(CLAIMS[0]))
    assert nearest(index, claims[2100]) == 2101
    assert nearest(index, claims[100]) is None
    assert nearest(index, CLAIMS[0]) == 3000
    assert index.search("jalan raya2200", most=5) == [2201]


def test_search_finds_what_holds_all_the_words_the_latest_first() -> None:
    index = index_of([*CLAIMS, "Pegawai pompa bensin mogok di Kota Tirta"])
    assert index.search("pompa PEGAWAI", most=10) == [5, 1]
    assert index.search("pegawai pompa", most=1) == [5]
    assert index.search("pompa harimau", most=10) == []
    assert index.search(" ", most=10) == []


def test_words_in_common_are_those_of_the_clarification_in_the_order_asked() -> None:
    claim = "Potongan Rp150.000 dari rekening, kata bank"
    assert common_words(claim, words_of("000 rekening")) == ["rp150.000", "rekening"]
    assert common_words(claim, words_of("rekening potongan")) == ["rekening", "potongan"]
    assert common_words(claim, words_of("harimau")) == []


# --- with the shipped model -------------------------------------------------------------------------

KNOWN = (
    "Tidak ada bantuan tunai 600 ribu lewat tautan bagi semua pemilik KTP",
    "Vaksin tidak berisi magnet yang membuat koin menempel di lengan",
    "Lowongan tambang PT Sinar Fiktif dengan uang tiket adalah penipuan",
    "Harga Pertalite tidak naik menjadi Rp14.000 pada 1 Desember",
)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load()


@pytest.fixture(scope="module")
def shipped(scorer: Scorer) -> ClarificationIndex:
    index = ClarificationIndex(scorer.space)
    for number, (_, vector) in enumerate(scorer.score_and_embed(KNOWN), start=1):
        index.put(number, [KNOWN[number - 1]], vector)
    return index


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bantuan tunai 600 ribu buat semua pemilik KTP udah cair, cek tautan ini", 1),
        ("coba sendiri, koin menempel di lengan habis vaksin karena ada magnetnya!", 2),
        ("loker tambang PT Sinar Fiktif gaji 12 juta, bayar uang tiket dulu 1,8 juta", 3),
        ("siap2 ngantri, 1 Desember harga Pertalite naik jadi Rp14.000 seliter", 4),
        # The same topic, and another story.
        ("tunjangan lansia 1,2 juta sebulan, daftarkan orang tua lewat WA", None),
        ("vaksin HPV bikin siswi mandul, itu pesanan lembaga asing", None),
        ("loker masinis Kereta Contoh tanpa tes, isi formulir dan biaya medis", None),
        ("gas melon mau dihapus tahun depan, emak-emak disuruh pakai kompor listrik", None),
        ("antre solar dari subuh, dapatnya janji", None),
        ("puskesmas dekat rumah ramah banget, vaksin anak cuma lima menit", None),
    ],
)
def test_the_shipped_model_tells_the_same_claim_from_another_of_its_topic(
    scorer: Scorer, shipped: ClarificationIndex, text: str, expected: int | None
) -> None:
    ((_, vector),) = scorer.score_and_embed([text])
    found = shipped.nearest(text, np.asarray(vector))
    assert (None if found is None else found.id) == expected
