"""A finished chunk of scored posts as bytes: CSV, JSONL, or Arrow on its way to Parquet.

Every chunk is encoded by itself (for .gz a member, for .zst a frame of its own, no times in
it), so that a file is the sum of its chunks and the same however often a run was interrupted.
"""

from __future__ import annotations

import gzip
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.feeds.jsonlines import dump
from pipeline.feeds.tables import ArrowRow
from pipeline.post import Post, Reject
from pipeline.writers.cells import (
    LILIN_COLUMNS,
    cell,
    kept_indices,
    neutralise,
    score_cells,
    score_values,
    unique_names,
)

if TYPE_CHECKING:
    from models.scorer import Score

_ROW_GROUP_ROWS: Final = 64_000
_ROW_GROUP_BYTES: Final = 64 * 1024 * 1024
_LENGTH_BYTES: Final = 8
REJECT_COLUMNS: Final = ("line", "field", "reason", "row")

Scored = tuple[Post, "Score"]


class Encoder(ABC):
    """Turns chunks into the bytes that are appended to the output."""

    def header(self) -> bytes:
        """Return what stands before the first chunk."""
        return b""

    @abstractmethod
    def encode(self, rows: Sequence[Scored]) -> bytes:
        """Return one chunk."""

    @property
    def assemble(self) -> Callable[[Path, Path], None] | None:
        """What writes the output from the file of all chunks; None: that file is the output."""
        return None


class CsvEncoder(Encoder):
    """CSV: the feed's columns, then ours; ``safe`` neutralises cells that look like formulas."""

    def __init__(
        self,
        columns: tuple[str, ...],
        *,
        delimiter: str,
        bom: bool,
        safe: bool,
        compression: str,
    ) -> None:
        """``compression`` is ".gz", ".zst" or ""."""
        self._columns = columns
        self._kept = kept_indices(columns)
        self._row = CsvRow(delimiter, safe=safe)
        self._bom = bom
        self._compression = compression

    def header(self) -> bytes:
        """Return the header line."""
        names = [*(self._columns[index] for index in self._kept), *LILIN_COLUMNS]
        text = ("\ufeff" if self._bom else "") + self._row.line(names)
        return compress(text.encode("utf-8", "surrogatepass"), self._compression)

    def encode(self, rows: Sequence[Scored]) -> bytes:
        """Return one line for each post."""
        lines = []
        for post, score in rows:
            cells = [cell(value) for value in values_of(post, self._columns, self._kept)]
            lines.append(self._row.line([*cells, *score_cells(score)]))
        return compress("".join(lines).encode("utf-8", "surrogatepass"), self._compression)


class JsonLinesEncoder(Encoder):
    """JSONL: the source line as it stood with our fields added, or the row as an object."""

    def __init__(self, *, compression: str) -> None:
        """``compression`` is ".gz", ".zst" or ""."""
        self._compression = compression

    def encode(self, rows: Sequence[Scored]) -> bytes:
        """Return one object a line for each post."""
        text = "".join(_json_line(post, score) for post, score in rows)
        return compress(text.encode("utf-8"), self._compression)


class ParquetEncoder(Encoder):
    """Parquet: chunks are kept as Arrow streams and put together at the end.

    Columns of a Parquet feed keep their types; those of every other feed are strings.
    """

    def __init__(self, columns: tuple[str, ...], schema: Any) -> None:
        """``schema`` is the feed's Arrow schema, or None."""
        import pyarrow as pa

        self._columns = columns
        self._kept = kept_indices(columns)
        self._typed = schema is not None
        names = unique_names(tuple(columns[index] for index in self._kept))
        types = [schema.field(index).type if self._typed else pa.string() for index in self._kept]
        kinds = [pa.float64(), pa.string(), *([pa.float64()] * 3), pa.string(), pa.string()]
        fields = [*zip(names, types, strict=True), *zip(LILIN_COLUMNS, kinds, strict=True)]
        self._schema = pa.schema(fields)

    def encode(self, rows: Sequence[Scored]) -> bytes:
        """Return the chunk as an Arrow stream after its length in eight bytes."""
        import pyarrow as pa

        if not rows:
            return b""
        columns = self._typed_columns(rows) if self._typed else self._string_columns(rows)
        ours = zip(*(score_values(score) for _, score in rows), strict=True)
        kinds = self._schema.types[len(self._kept) :]
        columns += [pa.array(column, kind) for column, kind in zip(ours, kinds, strict=True)]
        table = pa.table(columns, schema=self._schema)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            writer.write_table(table)
        stream: bytes = sink.getvalue().to_pybytes()
        return len(stream).to_bytes(_LENGTH_BYTES, "big") + stream

    @property
    def assemble(self) -> Callable[[Path, Path], None]:
        """What writes the output from the file of all chunks."""
        return self._put_together

    def _put_together(self, chunks: Path, output: Path) -> None:
        """Write one Parquet file from all chunks, a bounded row group at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables: list[Any] = []
        with (
            chunks.open("rb") as file,
            pq.ParquetWriter(output, self._schema, compression="zstd") as writer,
        ):
            while length := int.from_bytes(file.read(_LENGTH_BYTES), "big"):
                tables.append(pa.ipc.open_stream(file.read(length)).read_all())
                full = sum(table.nbytes for table in tables) >= _ROW_GROUP_BYTES
                if full or sum(table.num_rows for table in tables) >= _ROW_GROUP_ROWS:
                    writer.write_table(pa.concat_tables(tables))
                    tables.clear()
            if tables:
                writer.write_table(pa.concat_tables(tables))

    def _typed_columns(self, rows: Sequence[Scored]) -> list[Any]:
        import pyarrow as pa

        taken = []
        arrow_rows = [post.values for post, _ in rows if isinstance(post.values, ArrowRow)]
        for _, group in groupby(arrow_rows, key=lambda row: id(row.batch)):
            members = list(group)
            batch = members[0].batch.select(self._kept)
            taken.append(batch.take(pa.array([row.row for row in members])))
        table = pa.Table.from_batches(taken)
        return [table.column(index) for index in range(table.num_columns)]

    def _string_columns(self, rows: Sequence[Scored]) -> list[Any]:
        import pyarrow as pa

        kept = [values_of(post, self._columns, self._kept) for post, _ in rows]
        return [
            pa.array([None if value is None else cell(value) for value in column], pa.string())
            for column in zip(*kept, strict=True)
        ]


class RejectsEncoder:
    """The file of rejected rows: always CSV, always safe to open in a spreadsheet."""

    def __init__(self) -> None:
        """Rows are separated by commas."""
        self._row = CsvRow(",", safe=True)

    def header(self) -> bytes:
        """Return the header line."""
        return self._row.line(list(REJECT_COLUMNS)).encode()

    def encode(self, rejects: Sequence[Reject]) -> bytes:
        """Return one line for each reject; bytes that are not UTF-8 are shown as escapes."""
        text = "".join(
            self._row.line([str(item.line), item.field, item.reason, item.row]) for item in rejects
        )
        return text.encode("utf-8", "backslashreplace")


class CsvRow:
    """Writes cells as a line; quotes also what the csv module forgets (a bare return)."""

    def __init__(self, delimiter: str, *, safe: bool) -> None:
        """``safe`` neutralises cells that a spreadsheet would run."""
        self._delimiter = delimiter
        self._safe = safe
        self._special = re.compile(f'[{re.escape(delimiter)}"\r\n]')

    def line(self, cells: Sequence[str]) -> str:
        """Return the line with its end."""
        if self._safe:
            cells = [neutralise(text) for text in cells]
        return self._delimiter.join(map(self._quoted, cells)) + "\n"

    def _quoted(self, text: str) -> str:
        if self._special.search(text):
            return '"' + text.replace('"', '""') + '"'
        return text


def values_of(post: Post, columns: tuple[str, ...], kept: Sequence[int]) -> list[object]:
    """Return a post's values for the kept columns; None where its row has no such field."""
    if post.columns == columns:
        return [post.values[index] for index in kept]
    by_name = dict(zip(post.columns, post.values, strict=True))
    return [by_name.get(columns[index]) for index in kept]


def compress(data: bytes, compression: str) -> bytes:
    """Return data as one gzip member or zstd frame, the same bytes every time."""
    if not data or not compression:
        return data
    if compression == ".gz":
        return gzip.compress(data, 6, mtime=0)
    import pyarrow as pa

    frame: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return frame


def _json_line(post: Post, score: Score) -> str:
    ours = dump(dict(zip(LILIN_COLUMNS, score_values(score), strict=True)))
    kept = kept_indices(post.columns)
    if post.raw is not None and len(kept) == len(post.columns):
        return post.raw[:-1].rstrip() + "," + ours[1:] + "\n"
    names = unique_names(tuple(post.columns[index] for index in kept))
    values = (post.values[index] for index in kept)
    row = dump({name: _jsonable(value) for name, value in zip(names, values, strict=True)})
    return row[:-1] + ("," if names else "") + ours[1:] + "\n"


def _jsonable(value: object) -> object:
    return cell(value) if isinstance(value, bytes) else value
