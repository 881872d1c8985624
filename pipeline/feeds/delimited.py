"""CSV feeds, in whatever state they come.

A quote that is never closed must not swallow the rows after it, so rows are split here and
only quoted ones go through the csv module, one row at a time, strictly. When such a row runs
on to RECORD_LIMIT or to the end of the feed, or ends in something that is no row while rows
stand inside it, then only its first line is rejected and reading goes on from the second.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from typing import ClassVar, Final

from pipeline import messages
from pipeline.errors import FeedError
from pipeline.feeds.base import Feed
from pipeline.feeds.columns import TEXT_COLUMNS, choose_text_columns, make_post, reject
from pipeline.feeds.lines import RECORD_LIMIT, Line, read_lines
from pipeline.feeds.source import Source
from pipeline.post import Post, Reject

_DELIMITERS: Final = (",", ";", "\t", "|")
_READ_AGAIN_LIMIT: Final = 4 * RECORD_LIMIT
"""Characters that may be read again because of bad quotes; after that a row may no longer span
lines. A feed written to hurt would open a quote on every line and be read a million times."""
_STRAY_RETURN: Final = "\udc0d"
"""Stands for a carriage return inside a line while the csv module, which refuses one in an
unquoted field (pandas writes them so), looks at the row. Decoded text cannot hold it."""
_SEPARATOR_HINT: Final = re.compile(r'"?sep=(.)"?\s*')


class _Runaway(Exception):
    """A quoted row does not end within RECORD_LIMIT."""


class CsvFeed(Feed):
    """A feed of delimited rows under a header; ``,`` ``;`` tab or ``|``, found by itself."""

    format: ClassVar[str] = "csv"

    def __init__(self, source: Source, text_column: str | None) -> None:
        """Read the header; raises FeedError or TextColumnMissing."""
        super().__init__(source.name)
        self._source = source
        self._lines = read_lines(source)
        self._again: deque[Line] = deque()
        self._read_again = 0
        self.had_bom = source.had_bom
        csv.field_size_limit(RECORD_LIMIT)
        self.columns = self._read_header(text_column)
        self._text = choose_text_columns(
            self.columns, text_column, feed=self.name, line=self._header_line
        )
        self._candidates = [(name, self.columns.index(name)) for name in self._text.names]

    def __iter__(self) -> Iterator[Post | Reject]:
        """Yield every row after the header."""
        while (line := self._next_line()) is not None:
            if line.text.strip("\r\n"):
                yield self._row(line)

    def progress(self) -> tuple[int, int | None]:
        """Return the bytes read and the bytes of the file."""
        return self._source.position(), self._source.size

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _next_line(self) -> Line | None:
        if self._again:
            return self._again.popleft()
        return next(self._lines, None)

    def _read_header(self, text_column: str | None) -> tuple[str, ...]:
        line = self._next_line()
        while line is not None and not line.text.strip():
            line = self._next_line()
        if line is not None and (hint := _SEPARATOR_HINT.fullmatch(line.text)):
            self.delimiter = hint[1]
            line = self._next_line()
        elif line is not None:
            self.delimiter = sniff_delimiter(line.text, text_column)
        if line is None:
            raise FeedError(f"{self.name}: the file is empty; there is nothing to score")
        self._header_line = line.number
        where = f"{self.name}: line {line.number}"
        if line.fault is not None:
            raise FeedError(f"{where}: the header is not UTF-8 text; save the file as UTF-8")
        try:
            fields, _ = self._fields(line)
        except (csv.Error, _Runaway) as error:
            raise FeedError(
                f"{where}: the header has a quote that is not closed; mend it"
            ) from error
        return tuple(fields)

    def _row(self, first: Line) -> Post | Reject:
        assert self.columns is not None  # set by __init__
        try:
            fields, span = self._fields(first)
        except _Runaway:
            return reject(first.number, "", messages.OPEN_QUOTE, first.text)
        except csv.Error:
            return self._refuse_quotes(first)
        fault = next((line.fault for line in span if line.fault), None)
        row = span[0].text if len(span) == 1 else "".join(line.text for line in span)
        if fault is not None:
            return reject(first.number, self._faulty_field(fields), fault, row)
        if len(fields) != len(self.columns):
            if self._swallowed(span):
                return self._refuse_quotes(first)
            reason = messages.FIELDS.format(found=len(fields), expected=len(self.columns))
            return reject(first.number, "", reason, row)
        candidates = [(name, fields[index]) for name, index in self._candidates]
        return make_post(
            candidates, line=first.number, columns=self.columns, values=fields, row=row
        )

    def _fields(self, first: Line) -> tuple[list[str], list[Line]]:
        """Return the fields of the row that begins here, and its lines.

        Raises csv.Error or _Runaway; then every line but the first is read again next.
        """
        self._span = [first]
        if '"' not in first.text:
            text = first.text.removesuffix("\n")
            return text.removesuffix("\r").split(self.delimiter), self._span
        try:
            fields = next(csv.reader(self._pull(), delimiter=self.delimiter, strict=True))
        except (csv.Error, _Runaway):
            self._rewind()
            raise
        return [field.replace(_STRAY_RETURN, "\r") for field in fields], self._span

    def _pull(self) -> Iterator[str]:
        """Give the csv module one line after the other of the row, up to the limit."""
        size = 0
        line: Line | None = self._span[0]
        while line is not None:
            size += len(line.text)
            if size > RECORD_LIMIT:
                raise _Runaway
            yield _hide_returns(line.text)
            if self._read_again > _READ_AGAIN_LIMIT:
                raise _Runaway
            line = self._next_line()
            if line is not None:
                self._span.append(line)

    def _rewind(self) -> None:
        self._read_again += sum(len(line.text) for line in self._span[1:])
        self._again.extendleft(reversed(self._span[1:]))
        del self._span[1:]

    def _refuse_quotes(self, first: Line) -> Reject:
        many = len(self._span) > 1
        self._rewind()
        reason = messages.OPEN_QUOTE if many or self._is_open(first) else messages.QUOTES
        return reject(first.number, "", reason, first.text)

    def _is_open(self, line: Line) -> bool:
        """Return whether a quoted field of the line is still open at its end."""
        try:
            next(csv.reader([_hide_returns(line.text)], delimiter=self.delimiter, strict=True))
        except csv.Error as error:
            return "end of data" in str(error)
        return False

    def _swallowed(self, span: list[Line]) -> bool:
        """Return whether a later line of the row is a whole row by itself."""
        if len(span) == 1 or self.columns is None or len(self.columns) == 1:
            return False
        return any(self._is_row(line.text) for line in span[1:])

    def _is_row(self, text: str) -> bool:
        try:
            fields = next(csv.reader([_hide_returns(text)], delimiter=self.delimiter, strict=True))
        except (csv.Error, StopIteration):
            return False
        return self.columns is not None and len(fields) == len(self.columns)

    def _faulty_field(self, fields: list[str]) -> str:
        assert self.columns is not None  # set by __init__
        for name, field in zip(self.columns, fields, strict=False):
            if any("\ud800" <= char <= "\udfff" for char in field):
                return name
        return ""


def sniff_delimiter(header: str, text_column: str | None) -> str:
    """Return the delimiter that splits a header best: one that frees a text column, then most."""
    known = {text_column.strip().lower()} if text_column else set(TEXT_COLUMNS)

    def worth(delimiter: str) -> tuple[bool, int]:
        names = [part.strip().strip('"').strip().lower() for part in header.split(delimiter)]
        return any(name in known for name in names) and len(names) > 1, len(names)

    return max(_DELIMITERS, key=worth)


def _hide_returns(text: str) -> str:
    if "\r" not in text:
        return text
    end = len(text)
    if text.endswith("\r\n"):
        end -= 2
    return text[:end].replace("\r", _STRAY_RETURN) + text[end:]
