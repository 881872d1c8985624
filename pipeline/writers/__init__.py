"""Writers: scored posts in the format of the output's name."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Final

from pipeline.errors import OutputError, printable_path
from pipeline.feeds import Feed
from pipeline.feeds.detect import COMPRESSIONS, format_by_name
from pipeline.writers.encoders import (
    CsvEncoder,
    Encoder,
    JsonLinesEncoder,
    ParquetEncoder,
    RejectsEncoder,
)

__all__ = ["Encoder", "RejectsEncoder", "default_output", "make_encoder", "output_format"]

_DEFAULT_SUFFIX: Final = {"json": ".jsonl", "whatsapp": ".csv"}


def default_output(path: Path, feed_format: str) -> Path:
    """Return ``<stem>.scored.<suffix>`` beside the feed, compressed if the feed is."""
    compression = path.suffix if path.suffix.lower() in COMPRESSIONS else ""
    plain = path.with_suffix("") if compression else path
    suffix = plain.suffix
    if format_by_name(plain.name) != feed_format:
        suffix = _DEFAULT_SUFFIX.get(feed_format, f".{feed_format}")
    if feed_format == "parquet":
        compression = ""
    return plain.with_name(f"{plain.stem}.scored{suffix}{compression}")


def output_format(output: Path | None, feed_format: str) -> str:
    """Return the format of the output; on stdout CSV stays CSV and all else is JSONL.

    Raises OutputError when the name stands for no format that can be written.
    """
    if output is None:
        return "csv" if feed_format in ("csv", "whatsapp") else "jsonl"
    found = format_by_name(output.name)
    compressed = output.suffix.lower() in COMPRESSIONS
    if found is None or (found == "parquet" and compressed):
        raise OutputError(
            f"{printable_path(output)}: this name stands for no format; end it in .csv, .tsv, "
            ".jsonl (also with .gz or .zst) or .parquet"
        )
    return found


def make_encoder(
    output: Path | None, feed: Feed, columns: tuple[str, ...] | None, *, safe: bool
) -> Encoder:
    """Return the encoder for an output (None: stdout).

    ``columns`` are the feed's columns; only JSONL can do without knowing them.
    """
    format_ = output_format(output, feed.format)
    suffix = PurePath("" if output is None else output.name).suffix.lower()
    compression = suffix if suffix in COMPRESSIONS else ""
    if format_ == "jsonl" or columns is None:
        return JsonLinesEncoder(compression=compression)
    if format_ == "parquet":
        return ParquetEncoder(columns, feed.schema)
    delimiter = feed.delimiter
    if output is not None:
        tabs = PurePath(output.name.lower()).suffixes[-2 if compression else -1] == ".tsv"
        delimiter = "\t" if tabs else ("," if delimiter == "\t" else delimiter)
    return CsvEncoder(
        columns, delimiter=delimiter, bom=feed.had_bom, safe=safe, compression=compression
    )
