"""Tables as files that stream: CSV that a spreadsheet cannot run, and JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import orjson
from fastapi.responses import StreamingResponse

from pipeline.writers.cells import cell, neutralise

Format = Literal["csv", "jsonl"]
MEDIA: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}


def head(fields: Sequence[str], format: Format) -> bytes:  # noqa: A002
    """Return what a file begins with: the header of CSV, with the mark that Excel reads UTF-8 by."""
    return "\ufeff".encode() + _csv([fields]) if format == "csv" else b""


def lines(rows: Iterable[Mapping[str, Any]], format: Format) -> bytes:  # noqa: A002
    """Return rows as a piece of the file; in CSV, a cell that would run as a formula is defused."""
    if format == "csv":
        return _csv([[neutralise(cell(value)) for value in row.values()] for row in rows])
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def download(name: str, pieces: Iterable[bytes], format: Format) -> StreamingResponse:  # noqa: A002
    """Return pieces of a file as a download of that name."""
    return StreamingResponse(
        pieces,
        media_type=MEDIA[format],
        headers={
            "Content-Disposition": f'attachment; filename="{name}.{format}"',
            "Cache-Control": "no-store",
        },
    )


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8", "replace")
