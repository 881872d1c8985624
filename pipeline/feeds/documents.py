"""JSON documents: Telegram Desktop's result.json, or any array of objects, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any, ClassVar, Final

from pipeline.errors import FeedError
from pipeline.feeds.base import Feed
from pipeline.feeds.columns import TextColumns, choose_text_columns, make_post
from pipeline.feeds.jsonlines import dump, object_row
from pipeline.feeds.lines import cut_short
from pipeline.feeds.source import Source, StreamBroken
from pipeline.post import Post, Reject

_ITEM_LIMIT: Final = 32 * 1024 * 1024
"""Bytes that one message may take in the document; a parser must hold it whole."""
_LOOK_AHEAD: Final = 20
_LOOK_AHEAD_BYTES: Final = 4 * 1024 * 1024
_ARRAY: Final = "item"
_CHAT: Final = "messages.item"
_ACCOUNT: Final = "chats.list.item.messages.item"
_CHAT_NAMES: Final = ("name", "chats.list.item.name")
TELEGRAM_COLUMNS: Final = (
    "id", "created_at", "platform", "chat", "account", "account_id",
    "forwarded_from", "reply_to", "media", "text",
)  # fmt: skip


class JsonFeed(Feed):
    """A JSON document: an array of objects, or a Telegram export of one chat or an account."""

    format: ClassVar[str] = "json"

    def __init__(self, source: Source, text_column: str | None) -> None:
        """Look at the first items; raises FeedError or TextColumnMissing."""
        super().__init__(source.name)
        self._source = source
        self._guard = _BoundedReads(source)
        self._items = self._read_items()
        self._ahead: list[tuple[str, dict[str, Any], str]] = []
        for item in self._items:
            self._ahead.append(item)
            if len(self._ahead) >= _LOOK_AHEAD or self._guard.total >= _LOOK_AHEAD_BYTES:
                break
        if not self._ahead:
            raise FeedError(
                f"{self.name}: there are no messages in it; a Telegram export (result.json) or "
                "an array of objects is needed"
            )
        self._telegram = self._ahead[0][0] != _ARRAY
        if self._telegram:
            self.columns = TELEGRAM_COLUMNS
            self._text = choose_text_columns(self.columns, text_column, feed=self.name)
        else:
            names = dict.fromkeys(name for _, item, _ in self._ahead for name in item)
            self._text = choose_text_columns(names, text_column, feed=self.name)

    def __iter__(self) -> Iterator[Post | Reject]:
        """Yield every message or object; Telegram's service messages and bare media are none."""
        for number, (prefix, item, chat) in enumerate(chain(self._ahead, self._items), start=1):
            if prefix == _ARRAY:
                yield object_row(item, self._text, line=number, raw=None)
            elif (row := _telegram_row(item, chat, number, self._text)) is not None:
                yield row
            else:
                self.skipped += 1

    def progress(self) -> tuple[int, int | None]:
        """Return the bytes read and the bytes of the file."""
        return self._source.position(), self._source.size

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _read_items(self) -> Iterator[tuple[str, dict[str, Any], str]]:
        """Yield where each object stood, the object, and the name of its chat."""
        import ijson

        count, chat = 0, ""
        builder: Any = None
        try:
            for prefix, event, value in ijson.parse(self._guard, use_float=True):
                if builder is None:
                    if event == "start_map" and prefix in (_ARRAY, _CHAT, _ACCOUNT):
                        builder = ijson.ObjectBuilder()
                        builder.event(event, value)
                    elif event == "string" and prefix in _CHAT_NAMES:
                        chat = value
                    if builder is None:
                        self._guard.since_item = 0
                    continue
                builder.event(event, value)
                if event == "end_map" and prefix in (_ARRAY, _CHAT, _ACCOUNT):
                    count += 1
                    self._guard.since_item = 0
                    yield prefix, builder.value, chat
                    builder = None
        except StreamBroken as error:
            raise cut_short(self._source, f"after message {count}", error) from error
        except ijson.JSONError as error:
            detail = " ".join(str(error).split())[:80]
            raise cut_short(
                self._source, f"after message {count}", ValueError(f"not valid JSON ({detail})")
            ) from error


class _BoundedReads:
    """The document as ijson reads it; refuses an item that would not fit in memory."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.since_item = self.total = 0

    def read(self, count: int = -1) -> bytes:
        part = self._source.stream.read(count)
        self.since_item += len(part)
        self.total += len(part)
        if self.since_item > _ITEM_LIMIT:
            raise FeedError(
                f"{self._source.name}: one message is longer than "
                f"{_ITEM_LIMIT // 1024 // 1024} MB; this is no export of a chat"
            )
        return part


def _telegram_row(
    item: dict[str, Any], chat: str, number: int, text: TextColumns
) -> Post | Reject | None:
    body = _plain_text(item.get("text"))
    if item.get("type") != "message" or not body.strip():
        return None
    values = {
        "id": item.get("id"),
        "created_at": _moment(item),
        "platform": "telegram",
        "chat": chat,
        "account": item.get("from"),
        "account_id": item.get("from_id"),
        "forwarded_from": item.get("forwarded_from"),
        "reply_to": item.get("reply_to_message_id"),
        "media": item.get("media_type") or ("photo" if "photo" in item else None),
        "text": body,
    }
    return make_post(
        [(name, values[name]) for name in text.names],
        line=number,
        columns=TELEGRAM_COLUMNS,
        values=tuple(values.values()),
        row=dump(item),
    )


def _plain_text(text: object) -> str:
    """Return a message's text; Telegram splits it where a link, a mention or bold begins."""
    if isinstance(text, str):
        return text
    if not isinstance(text, list):
        return ""
    parts = (part.get("text") if isinstance(part, dict) else part for part in text)
    return "".join(part for part in parts if isinstance(part, str))


def _moment(item: dict[str, Any]) -> object:
    """Return when a message was sent: in UTC where the export says it, else as it says it."""
    try:
        moment = datetime.fromtimestamp(int(item["date_unixtime"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return item.get("date")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
