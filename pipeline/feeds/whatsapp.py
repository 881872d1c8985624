"""WhatsApp chats as the phone exports them (``_chat.txt``, ``Chat WhatsApp dengan ….txt``).

Android writes ``31/12/23 21.15 - Name: text``, iOS ``[31/12/23 21.15.30] Name: text``; clock,
separators and order of day and month follow the phone's language. A message runs on until the
next such opening. The phone's time zone is not in the file, so times stay without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Final, NamedTuple

from pipeline import messages
from pipeline.errors import FeedError
from pipeline.feeds.base import Feed
from pipeline.feeds.columns import TextColumns, choose_text_columns, make_post, reject
from pipeline.feeds.lines import POST_LIMIT, Line, read_lines
from pipeline.feeds.source import Source
from pipeline.post import Post, Reject

WHATSAPP_COLUMNS: Final = ("created_at", "platform", "account", "text")
_MARKS: Final = "[\u200e\u200f\u202a-\u202e\ufeff]*"
_DATE: Final = r"(\d{1,4})[./-](\d{1,2})[./-](\d{2,4})"
_TIME: Final = r"(\d{1,2})[.:](\d{2})(?:[.:](\d{2}))?(?:[ \u00a0\u202f]?([AaPp])\.?[Mm]\.?)?"
_GAP: Final = r",?[ \u00a0\u202f]+(?:pukul )?"
_OPENING: Final = re.compile(
    rf"{_MARKS}(?:\[{_DATE}{_GAP}{_TIME}\] ?|{_DATE}{_GAP}{_TIME} [-–] )(.*)", re.DOTALL
)
_NAME: Final = re.compile(r"([^:\"“”\n]{1,80}?):(?: |$)(.*)", re.DOTALL)
_MEDIA: Final = re.compile(
    r"<(?:media|attached|terlampir|lampiran)[^<>\n]{0,120}>"  # <Media omitted>, <attached: x.jpg>
    r"|\S[^\n]{0,120}\((?:file attached|file terlampir|berkas terlampir)\)"
    r"|^\u200e[^\n]{0,60}(?:omitted|tidak disertakan|diabaikan|ditiadakan)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_NO_POST: Final = re.compile(
    r"(?:this message was deleted|you deleted this message|pesan ini (?:telah )?dihapus"
    r"|anda (?:telah )?menghapus pesan ini|null"
    r"|<?(?:pesan ini diedit|this message was edited)>?)\.?",
    re.IGNORECASE,
)
_EDITED: Final = re.compile(r"\s*<(?:this message was edited|pesan ini diedit)>\s*$", re.IGNORECASE)


class _Opening(NamedTuple):
    numbers: tuple[str, str, str]
    clock: tuple[int, int, int]
    half_day: str
    rest: str


class WhatsAppFeed(Feed):
    """A chat; every message with text by a person is a post, everything else is passed over."""

    format: ClassVar[str] = "whatsapp"
    columns = WHATSAPP_COLUMNS

    def __init__(self, source: Source, text_column: str | None) -> None:
        """Tell the order of day and month from the head; raises FeedError if it is no chat."""
        super().__init__(source.name)
        self._source = source
        head = source.head.decode("utf-8", "replace").splitlines()
        openings = [opening for line in head if (opening := _opening(line))]
        if not openings:
            raise FeedError(
                f"{self.name}: no line opens like a WhatsApp message "
                "(31/12/23 21.15 - Name: text); name the format with --format"
            )
        self._month_first = _is_month_first(openings)
        self._text = choose_text_columns(WHATSAPP_COLUMNS, text_column, feed=self.name)

    def __iter__(self) -> Iterator[Post | Reject]:
        """Yield every message; lines before the first one are rejects."""
        opening: _Opening | None = None
        first: Line | None = None
        body: list[str] = []
        size = 0
        fault: str | None = None
        for line in read_lines(self._source):
            found = _opening(line.text)
            if found is None and opening is None:
                if line.text.strip():
                    reason = line.fault or messages.BEFORE_FIRST_MESSAGE
                    yield reject(line.number, "", reason, line.text)
                continue
            if found is not None:
                if opening is not None and first is not None:
                    yield from self._message(first, opening, "".join(body), fault)
                opening, first, body, size, fault = found, line, [found.rest], 0, line.fault
                continue
            fault = fault or line.fault
            if size <= POST_LIMIT:  # what follows only adds to a post that is refused anyway
                body.append(line.text)
            size += len(line.text)
        if opening is not None and first is not None:
            yield from self._message(first, opening, "".join(body), fault)

    def progress(self) -> tuple[int, int | None]:
        """Return the bytes read and the bytes of the file."""
        return self._source.position(), self._source.size

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _message(
        self, first: Line, opening: _Opening, body: str, fault: str | None
    ) -> Iterator[Post | Reject]:
        if fault is not None:
            yield reject(first.number, "", fault, first.text)
            return
        named = _NAME.fullmatch(body)
        text = "" if named is None else _post_text(named[2])
        if named is None or not text:
            self.skipped += 1
            return
        account = named[1].strip(" ~\u200e\u202f\u00a0")
        values = (self._moment(opening), "whatsapp", account, text)
        yield make_post(
            _candidates(self._text, values),
            line=first.number,
            columns=WHATSAPP_COLUMNS,
            values=values,
            row=first.text,
        )

    def _moment(self, opening: _Opening) -> str:
        first, second, third = (int(number) for number in opening.numbers)
        hour, minute, second_s = opening.clock
        if opening.half_day:
            hour = hour % 12 + (12 if opening.half_day in "Pp" else 0)
        if len(opening.numbers[0]) == 4:
            orders = [(first, second, third)]
        else:
            year = third if third > 99 else 2000 + third
            orders = [(year, second, first), (year, first, second)]
            if self._month_first:
                orders.reverse()
        for year, month, day in orders:
            try:
                return datetime(year, month, day, hour, minute, second_s).isoformat()  # noqa: DTZ001
            except ValueError:
                continue
        return "/".join(opening.numbers)


def is_chat(head: str) -> bool:
    """Return whether one of the first lines opens like a WhatsApp message."""
    return any(_opening(line) for line in head.splitlines()[:20])


def _opening(line: str) -> _Opening | None:
    if not line[:1] or line[0] not in "[0123456789\u200e\u200f\u202a\u202d\ufeff":
        return None
    match = _OPENING.fullmatch(line)
    if match is None:
        return None
    groups = match.groups()
    parts = groups[:7] if groups[0] is not None else groups[7:14]
    return _Opening(
        (parts[0], parts[1], parts[2]),
        (int(parts[3]), int(parts[4]), int(parts[5] or 0)),
        parts[6] or "",
        groups[14],
    )


def _is_month_first(openings: list[_Opening]) -> bool:
    """Return whether dates are written month first: numbers over 12 tell, else the clock does.

    Indonesian phones write the day first; phones set to American English the month, with am/pm.
    """
    if any(int(opening.numbers[0]) > 12 for opening in openings):
        return False
    if any(int(opening.numbers[1]) > 12 for opening in openings):
        return True
    return any(opening.half_day for opening in openings)


def _post_text(body: str) -> str:
    """Return what the person wrote, without media marks; empty if that is nothing."""
    text = _MEDIA.sub("", _EDITED.sub("", body)).strip()
    if text.startswith("\u200e") or _NO_POST.fullmatch(text):
        return ""
    return text


def _candidates(text: TextColumns, values: tuple[str, ...]) -> list[tuple[str, object]]:
    return [(name, values[WHATSAPP_COLUMNS.index(name)]) for name in text.names]
