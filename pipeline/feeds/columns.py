"""Which column holds the text of a post, and what to do with a row by what stands in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline import messages
from pipeline.errors import TextColumnMissing, printable_path
from pipeline.feeds.lines import MEGABYTE, POST_LIMIT, is_too_long
from pipeline.post import Post, Reject

TEXT_COLUMNS: Final = (
    "full_text",  # tweet-harvest
    "text",
    "teks",
    "content",  # news-watch
    "konten",
    "isi",
    "isi_berita",
    "tweet",
    "caption",
    "message",
    "pesan",
    "body",
    "post",
    "comment",
    "komentar",
    "description",
    "deskripsi",
    "narasi",
    "title",
    "judul",
)
"""Names of text columns, the surest first."""
_FALLBACKS: Final = ("title", "judul")
"""Read instead when the text of a row is empty (news-watch: an article without its body)."""
_RAW_KEPT: Final = 10_000
"""Characters of a rejected row that are kept: enough to find and mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextColumns:
    """The column with the text, and those that stand in for it where it is empty."""

    names: tuple[str, ...]

    @property
    def main(self) -> str:
        """Return the name of the text column proper."""
        return self.names[0]


def choose_text_columns(
    columns: Iterable[str], wanted: str | None, *, feed: str, line: int | None = None
) -> TextColumns:
    """Return the text columns among ``columns``; ``wanted`` overrides the choice.

    Names are compared without case and outer spaces. Raises TextColumnMissing, naming the
    columns there are.
    """
    by_name = {column.strip().lower(): column for column in reversed(list(columns))}
    where = feed if line is None else f"{feed}: line {line}"
    if wanted is not None:
        found = by_name.get(wanted.strip().lower())
        if found is None:
            raise TextColumnMissing(
                f"{where}: there is no column {printable_path(wanted)!r}; "
                f"the feed has {_listed(by_name)}",
                _shown(by_name),
            )
        return TextColumns(names=(found,))
    names = [by_name[name] for name in TEXT_COLUMNS if name in by_name]
    if not names:
        raise TextColumnMissing(
            f"{where}: no column is known to hold the text (the feed has {_listed(by_name)}); "
            "name it with --text-column",
            _shown(by_name),
        )
    fallbacks = [by_name[name] for name in _FALLBACKS if name in by_name]
    return TextColumns(names=tuple(dict.fromkeys([names[0], *fallbacks])))


def make_post(
    candidates: Sequence[tuple[str, object]],
    *,
    line: int,
    columns: tuple[str, ...],
    values: Sequence[object],
    raw: str | None = None,
    row: str = "",
) -> Post | Reject:
    """Return the row as a post, or as a reject when no candidate column has a usable text.

    ``candidates`` are pairs of column and value in order of preference; ``row`` is what the
    rejects file shows.
    """
    for field, value in candidates:
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if not isinstance(value, str):
            return reject(line, field, messages.NOT_TEXT, row)
        if is_too_long(value):
            reason = messages.POST_TOO_LONG.format(limit=POST_LIMIT // MEGABYTE)
            return reject(line, field, reason, row)
        return Post(line=line, text=value, columns=columns, values=values, raw=raw)
    if not candidates:
        return reject(line, "", messages.NO_TEXT, row)
    return reject(line, candidates[0][0], messages.EMPTY_TEXT, row)


def reject(line: int, field: str, reason: str, row: str) -> Reject:
    """Return a reject whose row is shortened to what a person can still use."""
    row = row.rstrip("\r\n")
    if len(row) > _RAW_KEPT:
        row = row[:_RAW_KEPT] + "…"
    return Reject(line=line, field=field, reason=reason, row=row)


def _shown(names: Iterable[str]) -> list[str]:
    return [printable_path(name)[:40] for name in names][::-1]


def _listed(names: Iterable[str]) -> str:
    shown = _shown(names)
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return ", ".join(repr(name) for name in shown[:20]) + more
