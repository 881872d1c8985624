"""The columns that scoring adds, and how a value looks in a cell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pipeline.feeds.jsonlines import dump

if TYPE_CHECKING:
    from models.scorer import Score

LILIN_COLUMNS: Final = (
    "lilin_risk",
    "lilin_label",
    "lilin_hoax",
    "lilin_disinformation",
    "lilin_malinformation",
    "lilin_technique",
    "lilin_tone",
)
_DECIMALS: Final = 4
# OWASP, "CSV Injection": what makes a spreadsheet take a cell for a formula, full width too.
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?%?")


def score_values(score: Score) -> tuple[float, str, float, float, float, str | None, str]:
    """Return the values of LILIN_COLUMNS; chances have four decimals."""
    return (
        round(score.risk, _DECIMALS),
        score.label,
        round(score.hoax, _DECIMALS),
        round(score.disinformation, _DECIMALS),
        round(score.malinformation, _DECIMALS),
        score.technique,
        score.tone,
    )


def score_cells(score: Score) -> tuple[str, ...]:
    """Return the values of LILIN_COLUMNS as cells; an absent technique is empty."""
    return tuple(
        f"{value:.{_DECIMALS}f}" if isinstance(value, float) else value or ""
        for value in score_values(score)
    )


def cell(value: object) -> str:
    """Return a value as the text of a cell: strings as they are, the rest as JSON writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    text = dump(value)
    return text[1:-1] if text.startswith('"') else text


def neutralise(text: str) -> str:
    """Return a cell that no spreadsheet runs: ``'`` stands before what looks like a formula.

    Plain numbers, signed ones too, are left as they are.
    """
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def unique_names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns with ``.2``, ``.3`` … added to repeated names (JSON, Parquet)."""
    taken = set(columns)
    seen: set[str] = set()
    names: list[str] = []
    for column in columns:
        name, count = column, 1
        while name in seen or (name != column and name in taken):
            count += 1
            name = f"{column}.{count}"
        seen.add(name)
        names.append(name)
    return tuple(names)


def kept_indices(columns: tuple[str, ...]) -> list[int]:
    """Return where the feed's own columns stand; ``lilin_…`` ones are replaced, not doubled."""
    return [index for index, name in enumerate(columns) if name not in LILIN_COLUMNS]
