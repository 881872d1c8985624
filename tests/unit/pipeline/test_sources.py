from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import messages
from pipeline.errors import FeedCutShort, FeedError
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


CONTENT = b"id,text\n" + b"".join(b"%d,kiriman nomor %d\n" % (n, n * 7919) for n in range(40_000))


def zstd(data: bytes) -> Any:
    return pa.compress(data, codec="zstd", asbytes=True)


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lambda data: data])
def test_compression_is_told_by_the_first_bytes(pack: Callable[[bytes], bytes]) -> None:
    assert len(texts_of(pack(CONTENT))) == 40_000


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_several_members_are_one_feed(pack: Callable[[bytes], bytes]) -> None:
    assert texts_of(pack(b"id,text\n1,a\n") + pack(b"2,b\n")) == ["a", "b"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_stream_that_is_cut_short_names_the_line_reached(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "feed.csv.gz"
    path.write_bytes(pack(CONTENT)[:-5])
    seen: list[Any] = []
    with (
        open_feed(path) as feed,
        pytest.raises(FeedCutShort, match=r"feed\.csv\.gz: after line \d+: .* cut short"),
    ):
        seen.extend(feed)
    assert len(seen) > 30_000


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_damaged_stream_is_named(pack: Callable[[bytes], bytes]) -> None:
    packed = bytearray(pack(CONTENT))
    packed[len(packed) // 2 : len(packed) // 2 + 64] = bytes(64)
    with pytest.raises(FeedCutShort, match=r"damaged|cut short"):
        rows_of(bytes(packed))


def test_a_stream_cut_at_its_very_beginning_is_named() -> None:
    with pytest.raises(FeedError, match="cut short"):
        rows_of(gzip.compress(CONTENT)[:12])


def test_a_bomb_is_read_in_constant_memory() -> None:
    bomb = gzip.compress(b"text\n" + bytes(40 * 1024 * 1024))
    assert rejects_of(bomb)[0].reason == messages.ROW_TOO_LONG.format(limit=4)


def test_a_missing_file_a_folder_and_an_empty_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    for name, told in (("no.csv", "no such file"), ("", "folder"), ("empty.csv", "empty")):
        with pytest.raises(FeedError, match=told):
            open_feed(tmp_path / name)


def test_a_spreadsheet_is_refused_with_the_way_out() -> None:
    with pytest.raises(FeedError, match="save the sheet as CSV"):
        rows_of(b"PK\x03\x04rest")


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=100)
    return path


def test_parquet_is_read_with_row_numbers(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", id=list(range(250)), text=["satu"] * 249 + [None])
    rows = rows_of(path)
    assert [rows[0].line, rows[-1].line] == [1, 250]
    assert rows[-1].reason == messages.EMPTY_TEXT


def test_a_moment_finer_than_a_microsecond_does_not_stop_parquet(tmp_path: Path) -> None:
    moment = pa.array([1], pa.timestamp("ns"))
    posts = rows_of(parquet(tmp_path / "a.parquet", at=moment, text=["satu"]))
    assert "000000001" in str(posts[0].values[0])


def test_a_cut_parquet_file_is_named(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=["satu"] * 10)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FeedError, match="not a whole Parquet file"):
        rows_of(path)


def test_parquet_on_stdin_is_refused(tmp_path: Path) -> None:
    content = parquet(tmp_path / "a.parquet", text=["satu"]).read_bytes()
    with pytest.raises(FeedError, match="stdin"):
        rows_of(content)
