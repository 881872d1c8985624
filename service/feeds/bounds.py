"""What a file unpacks to, found out before a row of it is read: no zip bomb is worked on.

Text is unpacked once, in constant memory, and thrown away but for the count of its lines, which
tells how far the work is; that costs seconds a gigabyte. Of Parquet, the sizes that the file
declares are added up; where its pages hold more than they say, reading them fails, and where one
value is repeated without end, the bound on the rows' text (``Expanded``) holds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.feeds.source import Source, StreamBroken
from pipeline.post import Post, Reject
from service.feeds.errors import FeedBomb

MEGABYTE: Final = 1024 * 1024
FREE: Final = 16 * MEGABYTE
"""So much may come out of any file, however small."""
RATIO: Final = 200
"""Beyond FREE, a file may unpack to so many times its size. Feeds of posts reach 3 to 20 with
gzip and zstd; a file of one repeated character reaches 1000 and more."""
_READ: Final = 256 * 1024


def check(path: Path, format: str, *, limit: int, go_on: Callable[[], bool]) -> int:  # noqa: A002
    """Refuse a file that unpacks to more than ``limit`` bytes, or to RATIO times its size.

    Returns how many lines it has (0 for Parquet). ``go_on`` is asked now and then whether to go
    on with the check; a damaged file passes, for reading it says where it is damaged.

    Raises:
        FeedBomb: it does; the message says so.
        FeedError: the file is gone or cannot be opened.
    """
    size = path.stat().st_size
    if format == "parquet":
        _refuse(_declared(path), size, limit)
        return 0
    source = Source(path)
    seen = lines = 0
    try:
        while go_on() and (part := source.stream.read(_READ)):
            seen += len(part)
            lines += part.count(b"\n")
            _refuse(seen, size, limit)
    except StreamBroken:
        pass
    finally:
        source.close()
    return lines + 1


def _declared(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return 0  # opening it says what is wrong
    total = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for column in range(group.num_columns):
            total += max(0, group.column(column).total_uncompressed_size)
    return max(total, int(footer.num_rows))


def _refuse(expanded: int, size: int, limit: int) -> None:
    if expanded > limit:
        raise FeedBomb(
            f"the file unpacks to more than {limit // MEGABYTE} MiB; send it in several parts"
        )
    if expanded > FREE and expanded > RATIO * max(size, 1):
        raise FeedBomb(
            f"the file unpacks to over {RATIO} times its size, as no feed of posts does; "
            "if it is one, send it unpacked"
        )


class Expanded:
    """Adds up the rows that are read, and stops at the bound (Parquet can repeat one value)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen = 0

    def add(self, row: Post | Reject) -> None:
        """Count a row.

        Raises:
            FeedBomb: the rows hold more than the bound.
        """
        self._seen += row.size + 1
        if self._seen > self._limit:
            raise FeedBomb(
                f"the rows hold more than {self._limit // MEGABYTE} MiB of text; send the feed "
                "in several parts"
            )
