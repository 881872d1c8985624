"""Parquet feeds, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, overload

from pipeline.errors import FeedCutShort, FeedError, printable_path
from pipeline.feeds.base import Feed
from pipeline.feeds.columns import choose_text_columns, make_post, reject
from pipeline.feeds.jsonlines import dump
from pipeline.post import Post, Reject

_BATCH_BYTES: Final = 16 * 1024 * 1024
_BATCH_ROWS: Final = 2_000


class ArrowRow(Sequence[object]):
    """A row of a record batch whose cells are turned into Python values when asked for."""

    __slots__ = ("batch", "row")

    def __init__(self, batch: Any, row: int) -> None:
        self.batch = batch
        self.row = row

    def __len__(self) -> int:
        return int(self.batch.num_columns)

    @overload
    def __getitem__(self, column: int) -> object: ...
    @overload
    def __getitem__(self, column: slice) -> Sequence[object]: ...
    def __getitem__(self, column: int | slice) -> object | Sequence[object]:
        """Return the cell; a moment finer than Python's microseconds as its text."""
        if isinstance(column, slice):
            return [self[index] for index in range(*column.indices(len(self)))]
        cell = self.batch.column(column)[self.row]
        try:
            value: object = cell.as_py()
        except (ValueError, OverflowError):
            value = cell.cast("string").as_py()
        return value


class ParquetFeed(Feed):
    """A Parquet file; batches are sized by what a row takes, so that memory stays bounded."""

    format: ClassVar[str] = "parquet"

    def __init__(self, path: Path, text_column: str | None) -> None:
        """Read the footer; raises FeedError or TextColumnMissing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(printable_path(path))
        try:
            self._file = pq.ParquetFile(path, buffer_size=1024 * 1024, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise FeedError(
                f"{self.name}: this is not a whole Parquet file ({_first_line(error)}); "
                "fetch it again"
            ) from error
        self.schema = self._file.schema_arrow
        self.columns = tuple(self.schema.names)
        self._text = choose_text_columns(self.columns, text_column, feed=self.name)
        self._rows: int = self._file.metadata.num_rows
        self._done = 0

    def __iter__(self) -> Iterator[Post | Reject]:
        """Yield every row, with its number from 1."""
        import pyarrow as pa

        batches = self._file.iter_batches(batch_size=self._batch_rows(), use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                if getattr(error, "errno", None) is not None:
                    raise
                raise FeedCutShort(
                    f"{self.name}: after row {self._done}: the file is damaged "
                    f"({_first_line(error)}); fetch it again"
                ) from error
            if batch is None:
                return
            yield from self._batch(batch)

    def progress(self) -> tuple[int, int | None]:
        """Return the rows read and the rows there are."""
        return self._done, self._rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _batch_rows(self) -> int:
        groups = self._file.metadata
        size: int = sum(
            groups.row_group(index).total_byte_size for index in range(groups.num_row_groups)
        )
        return max(1, min(_BATCH_ROWS, _BATCH_BYTES * max(self._rows, 1) // max(size, 1)))

    def _batch(self, batch: Any) -> Iterator[Post | Reject]:
        assert self.columns is not None  # set by __init__
        texts = [
            (name, _texts(batch.column(self.columns.index(name)))) for name in self._text.names
        ]
        for index in range(batch.num_rows):
            self._done += 1
            values = ArrowRow(batch, index)
            candidates = [(name, column[index]) for name, column in texts]
            post = make_post(candidates, line=self._done, columns=self.columns, values=values)
            if isinstance(post, Reject):
                row = dump(dict(zip(self.columns, values, strict=True)))
                post = reject(post.line, post.field, post.reason, row)
            yield post


def _texts(column: Any) -> list[object]:
    """Return the cells of a text column; bytes that are UTF-8 count as text."""
    try:
        cells: list[object] = column.to_pylist()
    except (ValueError, OverflowError):  # not text: moments finer than Python's, bad UTF-8
        cells = [_text(cell) for cell in column]
    return [_decoded(cell) if isinstance(cell, bytes) else cell for cell in cells]


def _text(cell: Any) -> object:
    try:
        value: object = cell.as_py()
    except (ValueError, OverflowError):
        return b"\xff"
    return value


def _decoded(cell: bytes) -> object:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
