"""Masking of personal data in whatever is printed or logged.

Masked are the NIK (the 16-digit number of an identity card), telephone numbers, e-mail
addresses, account handles and links to accounts, and every other run of ten digits or more
(bank accounts, cards, family cards). The scored file itself keeps the feed as it came.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Final

# Codes of the provinces, Kemendagri 100.1.1-6117 of 2022 (the four new Papuan ones included).
_PROVINCES: Final = frozenset(
    "11 12 13 14 15 16 17 18 19 21 31 32 33 34 35 36 51 52 53 61 62 63 64 65 "
    "71 72 73 74 75 76 81 82 91 92 93 94 95 96".split()
)
_WOMEN_DAY_OFFSET: Final = 40
_GAP: Final = r"[ .\-]?"
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,8}"
)
_PROFILE: Final = re.compile(
    r"\b((?:t\.me|instagram\.com|facebook\.com|fb\.com|x\.com|twitter\.com|tiktok\.com|threads\.net)"
    r"/)@?[A-Za-z0-9_.]{2,64}",
    re.IGNORECASE,
)
_HANDLE: Final = re.compile(r"(?<![\w@])@[A-Za-z0-9_](?:[A-Za-z0-9_.]{0,62}[A-Za-z0-9_])?")
_SIXTEEN: Final = re.compile(rf"(?<!\d)(?:\d{_GAP}){{15}}\d(?!\d)")
_PHONE: Final = re.compile(
    r"(?<!\d)(?:"
    rf"(?:\+{_GAP}62|62|0062|0){_GAP}\(?0?\)?{_GAP}8\d{{1,2}}{_GAP}\d{{3,4}}{_GAP}\d{{2,6}}"  # mobile
    rf"|\(0\d{{2,3}}\){_GAP}\d{{3,4}}{_GAP}\d{{3,4}}"  # (021) 1234 5678
    rf"|0\d{{2,3}}[ \-]\d{{3,4}}{_GAP}\d{{3,4}}"  # 021-12345678
    rf"|\+\d{{1,3}}{_GAP}\d{{2,4}}{_GAP}\d{{3,4}}{_GAP}\d{{3,5}}"  # other countries
    r")(?!\d)"
)
_LONG_NUMBER: Final = re.compile(rf"(?<!\d)(?:\d{_GAP}){{9,30}}\d")


def is_nik(digits: str) -> bool:
    """Return whether 16 digits can be a NIK: province, a real birth date (women: day + 40).

    The check stops at what the number itself says; it does not ask whether it was issued.
    """
    if len(digits) != 16 or not digits.isdecimal() or digits[:2] not in _PROVINCES:
        return False
    day, month, year = int(digits[6:8]), int(digits[8:10]), int(digits[10:12])
    if day > _WOMEN_DAY_OFFSET:
        day -= _WOMEN_DAY_OFFSET
    if digits[12:] == "0000":
        return False
    return any(_is_date(century + year, month, day) for century in (1900, 2000))


def mask(text: str) -> str:
    """Return the text with personal data replaced by ``<NIK> <TELP> <EMAIL> @USER <NUM>``.

    Look-alike digits and invisible characters that hide a number are folded first, so the
    result is meant for reading, not for storing as the post.
    """
    if not text.isascii():
        folded = unicodedata.normalize("NFKC", text)
        text = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    text = _EMAIL.sub("<EMAIL>", text)
    text = _PROFILE.sub(r"\1@USER", text)
    text = _HANDLE.sub("@USER", text)
    text = _SIXTEEN.sub(_mask_sixteen, text)
    text = _PHONE.sub("<TELP>", text)
    return _LONG_NUMBER.sub("<NUM>", text)


def printable(text: str, *, width: int = 100) -> str:
    """Return a masked text on one line, at most ``width`` characters, safe on a terminal.

    Control, format and unassigned characters become spaces, so that no escape sequence or
    change of writing direction of a hostile post reaches the screen.
    """
    # Cut before masking (a post may be 1 MB), but not so short that half a number is left over.
    masked = mask(text[: width * 8])
    safe = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in masked)
    line = " ".join(safe.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _mask_sixteen(match: re.Match[str]) -> str:
    digits = "".join(str(int(char)) for char in match.group() if char.isdecimal())
    return "<NIK>" if is_nik(digits) else "<NUM>"


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
