"""Which format a feed has, by its name and, where that says nothing, by its first bytes."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

import orjson

from pipeline.errors import FeedError
from pipeline.feeds.whatsapp import is_chat

FORMATS: Final = ("csv", "jsonl", "json", "parquet", "whatsapp")
_BY_SUFFIX: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS: Final = (".gz", ".zst")
_PARQUET: Final = b"PAR1"
_ZIP: Final = b"PK\x03\x04"
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"


def format_by_name(name: str) -> str | None:
    """Return the format that a file's suffix stands for, None if it says nothing sure."""
    path = PurePath(name)
    if path.suffix.lower() in COMPRESSIONS:
        path = path.with_suffix("")
    return _BY_SUFFIX.get(path.suffix.lower())


def format_by_head(head: bytes, name: str) -> str:
    """Return the format that the first bytes show; raises FeedError for a spreadsheet."""
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith((_ZIP, _OLD_EXCEL)):
        raise FeedError(
            f"{name}: this is a spreadsheet or an archive; save the sheet as CSV, or unpack it"
        )
    text = head.lstrip()
    if text.startswith(b"["):
        if is_chat(head.decode("utf-8", "replace")):
            return "whatsapp"
        return "json"
    if text.startswith(b"{"):
        first = text.split(b"\n", 1)[0]
        try:
            orjson.loads(first)
        except orjson.JSONDecodeError:
            # A line of its own that is broken is for the rejects; a document opens with "{" alone.
            return "jsonl" if first.rstrip().endswith(b"}") else "json"
        return "json" if b'"messages"' in first and b"\n" not in text.strip() else "jsonl"
    if is_chat(head.decode("utf-8", "replace")):
        return "whatsapp"
    return "csv"
