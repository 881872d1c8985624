"""The text as the model reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import normalise

POST = "sebarkan bantuan tunai cair besok pagi di balai desa"


@pytest.mark.parametrize(
    "variant",
    [
        POST.upper(),
        POST.title(),
        f"“{POST}”",
        f"*{POST}*",
        f"{POST} https://contoh.example/klik?x=1",
        f"@warga_1 @kabar.desa {POST}",
        POST.replace("a", "а"),  # Cyrillic
        "\u200b".join(POST),
        POST.replace("bantuan", "b4ntu4n"),
        POST.replace("bantuan", "b a n t u a n"),
        POST.replace("besok", "besoooook"),
        POST.replace("tunai", "𝘁𝘂𝗻𝗮𝗶"),
        f"{POST}!!!",
        POST.replace(" ", "  \n\t"),
    ],
)
def test_a_free_change_gives_the_same_text(variant: str) -> None:
    assert normalise(variant) == POST


def test_words_truly_in_another_script_stay() -> None:
    assert normalise("Привет, мир") == "привет, мир"
    assert normalise("بسم الله") == "بسم الله"


def test_numbers_of_people_become_a_sign() -> None:
    assert normalise("hubungi 0812-0000-1111 ya") == normalise("hubungi <TELP> ya")


def test_amounts_and_years_stay() -> None:
    assert normalise("Rp1.500.000 pada 2026, naik 10%") == "rp1.500.000 pada 2026, naik 10%"


def test_mojibake_is_repaired() -> None:
    broken = "Presiden café".encode().decode("latin-1")
    assert normalise(broken) == normalise("presiden cafe")


def test_indonesian_reduplication_with_2_stays() -> None:
    assert normalise("orang2 pada bingung") == "orang2 pada bingung"


@given(st.text(max_size=300))
def test_any_text_is_read_without_error_and_in_lower_case(text: str) -> None:
    out = normalise(text)
    assert out == out.lower()
    assert "\u200b" not in out
    assert "  " not in out


def test_a_very_long_run_of_signs_takes_no_time_to_speak_of() -> None:
    # Patterns that backtrack would not come back within the life of the test run.
    for piece in ("a ", "1 ", "@", "ab4", "!", "a.", "http://", "\U0001f525"):
        normalise(piece * 50_000)
    normalise("&" + "amp;" * 50_000)
    normalise("a" + "\u0315" * 50_000 + "\u0316" * 50_000)
