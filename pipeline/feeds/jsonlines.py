"""JSONL feeds: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar, Final

import orjson

from pipeline import messages
from pipeline.errors import FeedError
from pipeline.feeds.base import Feed
from pipeline.feeds.columns import TextColumns, choose_text_columns, make_post, reject
from pipeline.feeds.lines import Line, read_lines
from pipeline.feeds.source import Source
from pipeline.post import Post, Reject

_LOOK_AHEAD_ROWS: Final = 100
_LOOK_AHEAD_CHARACTERS: Final = 4 * 1024 * 1024


class JsonLinesFeed(Feed):
    """A feed of JSON objects, one a line; the text column is found in the first hundred."""

    format: ClassVar[str] = "jsonl"

    def __init__(self, source: Source, text_column: str | None) -> None:
        """Look at the first rows; raises FeedError or TextColumnMissing."""
        super().__init__(source.name)
        self._source = source
        self._lines = read_lines(source)
        self._ahead: list[tuple[Line, dict[str, object] | Reject]] = []
        names: dict[str, None] = {}
        size = 0
        for line in self._lines:
            if not line.text.strip():
                continue
            parsed = _parse(line)
            self._ahead.append((line, parsed))
            if isinstance(parsed, dict):
                names.update(dict.fromkeys(parsed))
            size += len(line.text)
            if len(self._ahead) >= _LOOK_AHEAD_ROWS or size >= _LOOK_AHEAD_CHARACTERS:
                break
        if not self._ahead:
            raise FeedError(f"{self.name}: the file is empty; there is nothing to score")
        if not names:
            raise FeedError(
                f"{self.name}: line {self._ahead[0][0].number}: this is not JSON, one object a "
                "line; name the format with --format"
            )
        self._text = choose_text_columns(names, text_column, feed=self.name)

    def __iter__(self) -> Iterator[Post | Reject]:
        """Yield every line that is not blank."""
        for line, parsed in self._ahead:
            yield _row(line, parsed, self._text)
        self._ahead.clear()
        for line in self._lines:
            if line.text.strip():
                yield _row(line, _parse(line), self._text)

    def progress(self) -> tuple[int, int | None]:
        """Return the bytes read and the bytes of the file."""
        return self._source.position(), self._source.size

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _parse(line: Line) -> dict[str, object] | Reject:
    if line.fault is not None:
        return reject(line.number, "", line.fault, line.text)
    parsed: object
    try:
        parsed = orjson.loads(line.text)
    except orjson.JSONDecodeError as error:
        # Scrapers in Python write NaN and lone surrogates, which only the standard module reads.
        try:
            parsed = json.loads(line.text)
        except (ValueError, RecursionError):
            return reject(line.number, "", messages.BAD_JSON.format(detail=error.msg), line.text)
    if not isinstance(parsed, dict):
        return reject(line.number, "", messages.NOT_OBJECT, line.text)
    return parsed


def _row(line: Line, parsed: dict[str, object] | Reject, text: TextColumns) -> Post | Reject:
    if isinstance(parsed, Reject):
        return parsed
    return object_row(parsed, text, line=line.number, raw=line.text.strip())


def object_row(
    parsed: dict[str, object], text: TextColumns, *, line: int, raw: str | None
) -> Post | Reject:
    """Return a JSON object as a post or a reject; ``raw`` is its source line if it has one."""
    candidates = [(name, parsed[name]) for name in text.names if name in parsed]
    row = raw if raw is not None else dump(parsed)
    post = make_post(
        candidates,
        line=line,
        columns=tuple(parsed),
        values=tuple(parsed.values()),
        raw=raw,
        row=row,
    )
    if isinstance(post, Post) and not is_unicode(post.text):
        return reject(line, text.main, messages.BAD_CHARACTERS, row)
    return post


def is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogate, so that it can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def dump(value: object) -> str:
    """Return a value as JSON on one line; what JSON has no form for becomes its text."""
    try:
        return orjson.dumps(value, default=str).decode()
    except (orjson.JSONEncodeError, TypeError):  # integers over 64 bits, lone surrogates
        return json.dumps(value, default=str)
