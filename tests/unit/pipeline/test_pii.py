from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pii import is_nik, mask, printable


def test_a_nik_of_a_man_is_known_by_province_and_birth_date() -> None:
    assert is_nik("3174051203900001")


def test_a_nik_of_a_woman_has_forty_added_to_the_day() -> None:
    assert is_nik("3174055203900001")


@pytest.mark.parametrize(
    "digits",
    ["9974051203900001", "3174053513900001", "3174053002900001", "3174051203900000", "317405"],
)
def test_what_no_registry_would_issue_is_no_nik(digits: str) -> None:
    assert not is_nik(digits)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("NIK 3174051203900001 ya", "NIK <NIK> ya"),
        ("NIK 3174 0512 0390 0001", "NIK <NIK>"),
        ("kartu 4111111111111111", "kartu <NUM>"),
        ("WA 0812-3456-7890", "WA <TELP>"),
        ("WA +62 812 3456 7890!", "WA <TELP>!"),
        ("wa.me/6281234567890", "wa.me/<TELP>"),
        ("kantor (021) 5551234", "kantor <TELP>"),
        ("kantor 021-5551234", "kantor <TELP>"),
        ("surel budi.s@contoh.co.id.", "surel <EMAIL>."),
        ("halo @budi_s.", "halo @USER."),
        ("t.me/budi_s", "t.me/@USER"),
        ("rekening 1234567890", "rekening <NUM>"),
        ("nomor ０８１２３４５６７８９０", "nomor <TELP>"),
        ("nomor 0812\u200b3456\u200b7890", "nomor <TELP>"),
    ],
)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_years_and_amounts_stay() -> None:
    assert mask("tahun 2024, Rp 15.000, 12 orang") == "tahun 2024, Rp 15.000, 12 orang"


def test_escape_sequences_never_reach_the_screen() -> None:
    assert printable("a\x1b[31mb\u202ec\r\n[bold]d") == "a [31mbc [bold]d"


@given(st.text(max_size=300))
def test_a_printable_text_is_one_short_line_without_control_characters(text: str) -> None:
    line = printable(text, width=40)
    assert len(line) <= 40
    assert line.isprintable()


@given(st.from_regex(r"(08|\+628)[0-9]{8,10}", fullmatch=True))
def test_no_mobile_number_survives(number: str) -> None:
    assert number[-6:] not in mask(f"hubungi {number} segera")
