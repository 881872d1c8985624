from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import messages
from pipeline.errors import FeedError, TextColumnMissing
from pipeline.feeds import open_feed
from pipeline.feeds.lines import POST_LIMIT, RECORD_LIMIT
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


ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def written(rows: list[tuple[str, str]], *, delimiter: str, end: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


@given(
    rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT.filter(str.strip)), min_size=1, max_size=8),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\r\n", "\n"]),
)
def test_any_csv_that_the_csv_module_writes_is_read_back(
    rows: list[tuple[str, str]], delimiter: str, end: str
) -> None:
    content = written([("id", "text"), *rows], delimiter=delimiter, end=end)
    assert [tuple(post.values) for post in rows_of(content)] == rows


@given(content=st.binary(max_size=200))
def test_no_bytes_make_the_reader_fall_over(content: bytes) -> None:
    assert isinstance(rows_of(b"id,text\n" + content), list)


@given(content=st.text('a",;\n\r', max_size=60))
def test_every_line_of_a_feed_with_wild_quotes_is_in_a_post_or_a_reject(content: str) -> None:
    rows = rows_of(b"id,text\n" + content.encode() + b"\n9,akhir\n")
    assert rows[-1].line == content.count("\n") + 3 or "akhir" in str(rows[-1])


def test_a_carriage_return_in_an_unquoted_field_is_part_of_it() -> None:
    assert texts_of(b"id,text\n1,satu\rdua\n2,tiga\n") == ["satu\rdua", "tiga"]


def test_old_mac_line_ends_are_line_ends() -> None:
    assert texts_of(b"id,text\r1,satu\r2,dua\r") == ["satu", "dua"]


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    rows = rows_of(b'id,text\n1,satu\n2,"dua\n3,tiga\n4,empat\n')
    assert [(row.line, getattr(row, "reason", "")) for row in rows] == [
        (2, ""),
        (3, messages.OPEN_QUOTE),
        (4, ""),
        (5, ""),
    ]


def test_an_open_quote_closed_by_a_later_row_swallows_nothing() -> None:
    assert texts_of(b'id,text\n1,"satu\n2,dua\n3,"tiga"\n4,empat\n') == ["dua", "tiga", "empat"]


def test_an_open_quote_that_makes_a_row_of_wrong_width_swallows_nothing() -> None:
    content = b'id,text\n1,"satu\n2,dua\n3,tiga",\n4,empat\n'
    assert texts_of(content) == ["dua", "empat"]


def test_a_runaway_row_is_given_up_at_the_limit() -> None:
    line = b"2," + b"dua " * 1000 + b"\n"
    count = RECORD_LIMIT // len(line) + 10
    rows = rows_of(b'id,text\n1,"satu\n' + line * count)
    assert rows[0].reason == messages.OPEN_QUOTE
    assert len(rows) == 1 + count


def test_a_feed_written_to_run_away_on_every_line_is_read_in_linear_time() -> None:
    rows = rows_of(b"id,text\n" + (b"x" * 200 + b'","\n') * 10_000)
    assert len(rows) == 10_000


def test_a_text_over_several_lines_is_one_post_with_the_line_it_begins_on() -> None:
    rows = rows_of(b'id,text\n1,"satu\ndua\n"\n2,tiga\n')
    assert [(row.line, row.text) for row in rows] == [(2, "satu\ndua\n"), (5, "tiga")]


def test_rows_of_the_wrong_width_are_rejected_with_their_line() -> None:
    rejects = rejects_of(b"id,text\n1,a,b\n2,ok\n3\n")
    assert [(item.line, item.reason, item.row) for item in rejects] == [
        (2, messages.FIELDS.format(found=3, expected=2), "1,a,b"),
        (4, messages.FIELDS.format(found=1, expected=2), "3"),
    ]


def test_a_row_that_is_not_utf8_is_rejected_and_names_its_field() -> None:
    rows = rows_of(b"id,text\n1,caf\xe9\n2,ok\n")
    assert (rows[0].field, rows[0].reason) == ("text", messages.BAD_BYTES)
    assert rows[1].text == "ok"


def test_an_empty_text_is_rejected() -> None:
    assert rejects_of(b"id,text\n1,\n2,ok\n")[0].reason == messages.EMPTY_TEXT


def test_a_title_stands_in_for_an_empty_content() -> None:
    assert texts_of(b"title,content\njudul,\njudul,isi\n") == ["judul", "isi"]


def test_a_post_over_a_megabyte_is_rejected() -> None:
    content = b"id,text\n1," + b"a" * (POST_LIMIT + 1) + b"\n"
    assert rejects_of(content)[0].reason == messages.POST_TOO_LONG.format(limit=1)


def test_a_line_without_end_is_rejected_and_reading_goes_on() -> None:
    content = b"id,text\n1," + b"a" * (RECORD_LIMIT * 2) + b"\n2,ok\n"
    rows = rows_of(content)
    assert rows[0].reason == messages.ROW_TOO_LONG.format(limit=4)
    assert (rows[1].line, rows[1].text) == (3, "ok")


def test_nul_bytes_are_data() -> None:
    assert texts_of(b"id,text\n1,a\x00b\n") == ["a\x00b"]


def test_utf16_with_its_mark_is_read() -> None:
    assert texts_of("id,text\n1,satu €\n".encode("utf-16")) == ["satu €"]


def test_utf16_cut_in_half_a_character_rejects_that_row() -> None:
    content = "id,text\n1,satu\n2,dua".encode("utf-16")[:-1]
    assert rejects_of(content)[0].reason == messages.BAD_BYTES


def test_utf16_without_its_mark_is_named() -> None:
    with pytest.raises(FeedError, match="UTF-16"):
        rows_of("id,text\n1,satu\n2,dua yang panjang\n".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("id,full_text,text", "b"),
        ("title,content", "b"),
        ("id;TEKS", "b"),
        ("id\tisi", "b"),
        ("id|caption", "b"),
        ('"id";"pesan"', "b"),
    ],
)
def test_the_text_column_and_the_delimiter_are_found(header: str, found: str) -> None:
    delimiter = next(char for char in header if char in ",;\t|")
    row = delimiter.join("abc"[: header.count(delimiter) + 1])
    assert texts_of(f"{header}\n{row}\n".encode()) == [found]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert texts_of(b"\xef\xbb\xbftext\nsatu\n") == ["satu"]


def test_a_separator_hint_of_a_spreadsheet_is_followed() -> None:
    assert texts_of(b"sep=;\ntext;b\nsatu;x\n") == ["satu"]


def test_a_feed_without_a_text_column_names_what_it_has() -> None:
    with pytest.raises(TextColumnMissing, match=r"line 1: .*'foo', 'bar'.*--text-column"):
        rows_of(b"foo,bar\n1,2\n")


def test_a_wanted_column_that_is_not_there_is_named() -> None:
    with pytest.raises(TextColumnMissing, match="'nope'"):
        rows_of(b"id,text\n1,a\n", text_column="nope")


def test_a_wanted_column_is_taken() -> None:
    assert texts_of(b"id,text,note\n1,a,b\n", text_column="note") == ["b"]
