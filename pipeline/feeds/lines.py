"""The lines of a feed, numbered and never longer than a bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipeline import messages
from pipeline.errors import FeedCutShort
from pipeline.feeds.source import Source, StreamBroken

RECORD_LIMIT: Final = 4 * 1024 * 1024
"""Bytes that one row may take: a 1 MB post with every character escaped still fits."""
POST_LIMIT: Final = 1024 * 1024
"""Bytes (UTF-8) that the text of one post may take."""
MEGABYTE: Final = 1024 * 1024


class Line(NamedTuple):
    """A line with its end; bytes that are not UTF-8 stand in it as lone surrogates."""

    number: int
    text: str
    fault: str | None
    """Why the line cannot be used, or None."""


def read_lines(source: Source) -> Iterator[Line]:
    """Yield the lines; one longer than RECORD_LIMIT comes shortened, with its fault.

    Raises FeedCutShort, naming the line, where the compressed stream breaks off.
    """
    readline = source.stream.readline
    too_long = messages.ROW_TOO_LONG.format(limit=RECORD_LIMIT // MEGABYTE)
    number = 0
    while True:
        try:
            raw = readline(RECORD_LIMIT)
            if not raw:
                return
            number += 1
            if len(raw) == RECORD_LIMIT and not raw.endswith(b"\n"):
                rest = readline(RECORD_LIMIT)
                while rest and not rest.endswith(b"\n"):
                    rest = readline(RECORD_LIMIT)
                yield Line(number, raw[:MEGABYTE].decode("utf-8", "surrogateescape"), too_long)
                continue
        except StreamBroken as error:
            raise cut_short(source, f"after line {number}", error) from error
        try:
            yield Line(number, raw.decode(), None)
        except UnicodeDecodeError:
            yield Line(number, raw.decode("utf-8", "surrogateescape"), messages.BAD_BYTES)


def cut_short(source: Source, where: str, error: Exception) -> FeedCutShort:
    """Return the error for a stream that breaks off, with the remedy."""
    return FeedCutShort(f"{source.name}: {where}: {error}; fetch the file again")


def is_too_long(text: str) -> bool:
    """Return whether a post's text is over POST_LIMIT bytes."""
    if len(text) * 4 <= POST_LIMIT:  # UTF-8 takes four bytes a character at most
        return False
    return len(text) > POST_LIMIT or len(text.encode("utf-8", "surrogatepass")) > POST_LIMIT
