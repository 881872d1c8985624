"""Feeds: streams of posts in whatever format they come."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pipeline.errors import FeedError
from pipeline.feeds.base import Feed
from pipeline.feeds.delimited import CsvFeed
from pipeline.feeds.detect import FORMATS, format_by_head, format_by_name
from pipeline.feeds.documents import JsonFeed
from pipeline.feeds.jsonlines import JsonLinesFeed
from pipeline.feeds.source import Source
from pipeline.feeds.tables import ParquetFeed
from pipeline.feeds.whatsapp import WhatsAppFeed

__all__ = ["FORMATS", "Feed", "open_feed"]


def open_feed(
    path: Path | None,
    *,
    text_column: str | None = None,
    format: str | None = None,  # noqa: A002
    stdin: BinaryIO | None = None,
) -> Feed:
    """Return the feed of a file, or of ``stdin`` when ``path`` is None, ready to be read once.

    The format (one of FORMATS) and the text column are found when not given; .gz and .zst are
    told by their first bytes. Raises FeedError or TextColumnMissing.
    """
    if format is not None and format not in FORMATS:
        raise FeedError(f"{format!r} is no format of a feed; choose from {', '.join(FORMATS)}")
    source = Source(path, stdin)
    try:
        sniffed = format_by_head(source.head, source.name)
        if path is not None and sniffed != "parquet":
            format = format or format_by_name(path.name) or sniffed  # noqa: A001
        format = format or sniffed  # noqa: A001
        if format == "parquet":
            if path is None:
                raise FeedError("Parquet cannot be read from stdin; name the file instead")
            source.close()
            return ParquetFeed(path, text_column)
        readers: dict[str, type[CsvFeed | JsonLinesFeed | JsonFeed | WhatsAppFeed]] = {
            "csv": CsvFeed,
            "jsonl": JsonLinesFeed,
            "json": JsonFeed,
            "whatsapp": WhatsAppFeed,
        }
        return readers[format](source, text_column)
    except BaseException:
        source.close()
        raise
