"""The fact-checker's voice is taken out, the post stays."""

from __future__ import annotations

import pytest

from models.voice import LEAKS, lead, strip_false, strip_news


@pytest.mark.parametrize(
    ("row", "post"),
    [
        ("[SALAH] Jembatan Merah Ambruk Dini Hari", "Jembatan Merah Ambruk Dini Hari"),
        ("Video “Jembatan Merah Ambruk Dini Hari”", "Jembatan Merah Ambruk Dini Hari"),
        (
            "Akun Facebook Anu mengunggah video dengan narasi: “Jembatan Merah ambruk dini hari tadi”",
            "Jembatan Merah ambruk dini hari tadi",
        ),
        (
            "Jembatan Merah ambruk dini hari. Faktanya, jembatan itu sedang diperbaiki.",
            "Jembatan Merah ambruk dini hari.",
        ),
        ("Jembatan Merah ambruk, SUMBER: https://contoh.example", "Jembatan Merah ambruk,"),
    ],
)
def test_only_the_post_is_left(row: str, post: str) -> None:
    assert strip_false(row) == post


def test_a_row_of_pure_narration_is_dropped() -> None:
    assert strip_false("Beredar di media sosial unggahan tentang jembatan yang ambruk.") is None


def test_a_text_that_still_holds_the_debunk_is_dropped() -> None:
    assert strip_false("kata " * 400) is None


@pytest.mark.parametrize(
    "row",
    [
        "[SALAH] Cek Fakta: jembatan ambruk",
        "Jembatan ambruk. Berdasarkan hasil penelusuran Tim Pemeriksa Fakta Mafindo, tidak.",
        "Jembatan ambruk, PENJELASAN: tidak. Referensi: turnbackhoax",
    ],
)
def test_no_mark_of_the_fact_checker_survives(row: str) -> None:
    assert LEAKS.search(strip_false(row) or "") is None


def test_a_dateline_and_the_outlet_go() -> None:
    assert strip_news("JAKARTA, KOMPAS.com - Harga cabai turun") == "Harga cabai turun"
    assert strip_news("Harga cabai turun | tempo.co") == "Harga cabai turun"


def test_a_lead_ends_with_a_sentence() -> None:
    text = "Harga cabai turun di pasar induk sejak Senin, kata kepala pasar kepada pedagang. " * 9
    assert len(lead(text)) <= 280
    assert lead(text).endswith(".")
