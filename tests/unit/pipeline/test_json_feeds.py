from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import messages
from pipeline.errors import FeedCutShort, FeedError, TextColumnMissing
from pipeline.feeds import open_feed
from pipeline.post import Post, Reject


def rows_of(content: bytes | Path, **options: Any) -> list[Any]:
    path = content if isinstance(content, Path) else None
    stdin = io.BytesIO(content) if isinstance(content, bytes) else None
    with open_feed(path, stdin=stdin, **options) as feed:
        return list(feed)


def texts_of(content: bytes | Path, **options: Any) -> list[str]:
    return [row.text for row in rows_of(content, **options) if isinstance(row, Post)]


def rejects_of(content: bytes | Path, **options: Any) -> list[Reject]:
    return [row for row in rows_of(content, **options) if isinstance(row, Reject)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=6))
def test_every_json_line_is_a_post_or_a_reject(values: list[Any]) -> None:
    lines = [json.dumps({"text": "awal"}), *(json.dumps(value) for value in values)]
    rows = rows_of("\n".join(lines).encode(), format="jsonl")
    assert [row.line for row in rows] == list(range(1, len(lines) + 1))


def test_a_broken_line_is_rejected_and_the_others_go_on() -> None:
    rows = rows_of(b'{"text":"a"}\n{"text":\n[1]\n{"text":"b"}\n')
    assert [getattr(row, "reason", row.__class__.__name__)[:16] for row in rows] == [
        "Post",
        messages.BAD_JSON[:16],
        messages.NOT_OBJECT,
        "Post",
    ]


def test_what_scrapers_in_python_write_is_read() -> None:
    assert texts_of(b'{"likes":NaN,"text":"a"}\n') == ["a"]


def test_a_lone_surrogate_in_a_text_is_rejected() -> None:
    rejects = rejects_of(b'{"text":"a"}\n{"text":"\\ud83d"}\n')
    assert rejects[0].reason == messages.BAD_CHARACTERS


def test_deep_nesting_is_rejected() -> None:
    content = b'{"text":"a"}\n{"text":' + b"[" * 100_000 + b"}\n"
    assert rejects_of(content)[0].reason.startswith(messages.BAD_JSON[:10])


def test_a_text_that_is_a_number_is_rejected() -> None:
    assert rejects_of(b'{"text":"a"}\n{"text":5}\n')[0].reason == messages.NOT_TEXT


def test_a_row_without_the_text_column_is_rejected() -> None:
    assert rejects_of(b'{"text":"a"}\n{"other":"b"}\n')[0].reason == messages.NO_TEXT


def test_objects_without_any_text_column_are_named() -> None:
    with pytest.raises(TextColumnMissing, match="'foo'"):
        rows_of(b'{"foo":"a"}\n')


def test_an_array_of_objects_is_read() -> None:
    assert texts_of(b'[\n {"text":"a"},\n {"text":"b"}\n]') == ["a", "b"]


def telegram(*messages_: Any) -> dict[str, Any]:
    return {"name": "Warung", "type": "private_supergroup", "id": 1, "messages": list(messages_)}


def message(text: Any, **more: Any) -> dict[str, Any]:
    return {"id": 7, "type": "message", "date_unixtime": "1700000000", "from": "Budi", **more} | {
        "text": text
    }


def test_a_telegram_chat_is_read_with_its_text_in_parts() -> None:
    parts = ["lihat ", {"type": "link", "text": "s.id/x"}, " ya"]
    posts = rows_of(json.dumps(telegram(message(parts)), indent=1).encode())
    assert [(post.text, post.account, post.created_at, post.platform) for post in posts] == [
        ("lihat s.id/x ya", "Budi", "2023-11-14T22:13:20Z", "telegram")
    ]


def test_service_messages_and_bare_media_are_no_posts() -> None:
    service = {"id": 1, "type": "service", "action": "join", "text": ""}
    document = telegram(service, message("", photo="a.jpg"), message("halo"))
    assert [post.line for post in rows_of(json.dumps(document).encode())] == [3]


def test_an_export_of_a_whole_account_names_the_chat_of_each_message() -> None:
    chats = [{**telegram(message("satu")), "name": "A"}, {**telegram(message("dua")), "name": "B"}]
    posts = rows_of(json.dumps({"about": "x", "chats": {"list": chats}}, indent=1).encode())
    assert [(post.values[3], post.text) for post in posts] == [("A", "satu"), ("B", "dua")]


def test_an_export_that_is_cut_short_names_the_message_reached() -> None:
    content = json.dumps(telegram(*[message("halo")] * 50), indent=1).encode()
    with pytest.raises(FeedCutShort, match="after message 4"):
        rows_of(content[: len(content) - 900])


def test_a_document_without_messages_is_refused() -> None:
    with pytest.raises(FeedError, match="no messages"):
        rows_of(b'{\n"a": 1\n}')
