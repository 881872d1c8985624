"""Clarifications as people bring them: what stands in a file, in bounds, or why it will not do.

Files are CSV, JSONL, JSON, and ClaimReview (schema.org) as JSON-LD, alone or within a page's graph.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import orjson

from pipeline import messages
from pipeline.errors import FeedError
from pipeline.feeds.columns import reject
from pipeline.feeds.delimited import CsvFeed
from pipeline.feeds.detect import format_by_head, format_by_name
from pipeline.feeds.jsonlines import dump
from pipeline.feeds.lines import read_lines
from pipeline.feeds.source import Source
from pipeline.post import Post, Reject
from service.feeds.rows import moment
from service.web import storable

MOST: Final = {
    "title": 500,
    "url": 1000,
    "claim": 5000,
    "text": 50_000,
    "publisher": 200,
    "published_at": 40,
    "rating": 80,
}
"""Fields, and the characters that each may have."""
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "title": ("title", "judul", "headline", "name"),
    "url": ("url", "link", "tautan"),
    "claim": ("claim", "klaim", "claimreviewed", "narasi"),
    "text": ("text", "teks", "isi", "content", "reviewbody", "description", "penjelasan"),
    "publisher": ("publisher", "penerbit", "author", "source", "sumber"),
    "published_at": ("published_at", "datepublished", "date", "tanggal"),
    "rating": ("rating", "penilaian", "reviewrating"),
}
"""Names of columns and keys by field, the surest first."""
_WITHIN: Final = ("alternateName", "name", "@value")
"""Where the words stand in a value that is an object: a rating, a person, an organisation."""
_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
_DEPTH: Final = 8
_AHEAD: Final = timedelta(days=2)
"""So far a date may lie ahead: the clocks of publishers differ."""
_REVIEW: Final = "ClaimReview"

EMPTY: Final = "kosong; wajib diisi"
TOO_LONG: Final = "lebih panjang dari {limit} karakter"
NOT_WEB: Final = "bukan alamat web (https://…)"
NOT_DATE: Final = "tanggal tidak terbaca; tulis seperti 2026-11-25"
AHEAD: Final = "tanggalnya di masa depan"
NOT_TEXT: Final = messages.NOT_TEXT
NO_CLARIFICATION: Final = "tidak ada klarifikasi di dalamnya (title dan url, atau ClaimReview)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A clarification as it was given; ``line`` is where it stands in its file, 0: in none."""

    title: str
    url: str
    claim: str = ""
    text: str = ""
    publisher: str = ""
    published_at: datetime | None = None
    rating: str = ""
    line: int = 0


class BadField(Exception):
    """A field that will not do (internal: callers make a reject or an answer of it)."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def given(fields: Mapping[str, str], *, now: datetime, line: int = 0) -> Given:
    """Return what the fields (``MOST``) say; without a title, the claim is one.

    Raises:
        BadField: a field will not do; which, and why.
    """
    kept = {name: storable(fields.get(name, "")).strip() for name in MOST}
    kept["title"] = " ".join((kept["title"] or kept["claim"][: MOST["title"]]).split())
    kept["url"] = web_address(kept["url"])
    for name, value in kept.items():
        if not value and name in ("title", "url"):
            raise BadField(name, EMPTY)
        if len(value) > MOST[name]:
            raise BadField(name, TOO_LONG.format(limit=MOST[name]))
    written = kept.pop("published_at")
    published_at = moment(written)
    if written and published_at is None:
        raise BadField("published_at", NOT_DATE)
    if published_at is not None and published_at > now + _AHEAD:
        raise BadField("published_at", AHEAD)
    return Given(**kept, published_at=published_at, line=line)


def web_address(text: str) -> str:
    """Return a URL as it is kept: without what follows ``#``, in ASCII; "" stays "".

    Raises:
        BadField: it is none of the web.
    """
    text = "".join(c if c.isascii() else quote(c) for c in text.partition("#")[0])
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        raise BadField("url", NOT_WEB) from None
    if not host or parts.scheme.lower() not in ("http", "https") or "@" in parts.netloc:
        raise BadField("url", NOT_WEB)
    if any(c.isspace() or not c.isprintable() or c in '"<>\\' for c in text):
        raise BadField("url", NOT_WEB)
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl()


def read(path: Path, *, now: datetime) -> Iterator[Given | Reject]:
    """Yield what stands in a file, and what will not do with its line, field and reason.

    Raises:
        FeedError: the file cannot be read, or is of no format that clarifications come in.
    """
    source = Source(path)
    try:
        form = format_by_head(source.head, source.name)
        form = "parquet" if form == "parquet" else format_by_name(path.name) or form
        if form == "csv":
            yield from _read_csv(source, now)
        elif form == "jsonl":
            yield from _read_lines(source, now)
        elif form == "json" or path.suffix.lower() in (".json", ".jsonld"):
            yield from _read_document(source, now)
        else:
            raise FeedError(f"{source.name}: clarifications come as CSV, JSONL or JSON")
    finally:
        source.close()


# --- CSV -----------------------------------------------------------------------------------------


def _read_csv(source: Source, now: datetime) -> Iterator[Given | Reject]:
    header = source.head.partition(b"\n")[0].decode("utf-8", "replace")
    columns = {name.strip(' "\r').lower() for name in re.split(r"[,;\t|]", header)}
    url = next((name for name in _NAMES["url"] if name in columns), None)
    if url is None:
        raise FeedError(f"{source.name}: there is no column “url” with the address of each")
    for row in CsvFeed(source, url):
        if isinstance(row, Reject):
            yield row
        else:
            entry = dict(zip(row.columns, row.values, strict=True))
            yield _checked(entry, now, row.line, _row(row))


def _row(post: Post) -> str:
    return ",".join(str(value) for value in post.values)


# --- JSON ----------------------------------------------------------------------------------------


def _read_lines(source: Source, now: datetime) -> Iterator[Given | Reject]:
    for line in read_lines(source):
        if not line.text.strip():
            continue
        if line.fault is not None:
            yield reject(line.number, "", line.fault, line.text)
            continue
        try:
            value = _parsed(line.text)
        except ValueError as error:
            reason = messages.BAD_JSON.format(detail=str(error)[:80])
            yield reject(line.number, "", reason, line.text)
            continue
        for entry in _entries(value):
            yield _checked(entry, now, line.number, dump(entry))


def _read_document(source: Source, now: datetime) -> Iterator[Given | Reject]:
    body = source.stream.read(_DOCUMENT_BYTES + 1)
    if len(body) > _DOCUMENT_BYTES:
        limit = _DOCUMENT_BYTES // 1024 // 1024
        raise FeedError(f"{source.name}: a JSON document over {limit} MB; write it as JSONL")
    try:
        value = _parsed(body.decode("utf-8"))
    except ValueError as error:
        detail = " ".join(str(error).split())[:80]
        raise FeedError(f"{source.name}: not valid JSON ({detail})") from error
    for number, entry in enumerate(_entries(value), start=1):
        yield _checked(entry, now, number, dump(entry))


def _parsed(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:  # NaN and lone surrogates, which only the standard module reads
            value: object = json.loads(text)
        except RecursionError as error:
            raise ValueError("too deep") from error
        return value


def _entries(value: object) -> list[object]:
    """Return the clarifications of a value: its ClaimReviews, wherever they stand, or its items."""
    reviews = list(_reviews(value, _DEPTH))
    if reviews:
        return reviews
    if isinstance(value, list):
        return list(value)
    if not isinstance(value, dict) or _is_flat(value):
        return [value]
    return next((list(v) for v in value.values() if isinstance(v, list)), [value])


def _reviews(value: object, depth: int) -> Iterator[object]:
    if isinstance(value, dict) and _is_review(value):
        yield value
    elif depth and isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _reviews(inner, depth - 1)


def _is_review(value: dict[str, object]) -> bool:
    kind = value.get("@type")
    return (
        "claimReviewed" in value or kind == _REVIEW or (isinstance(kind, list) and _REVIEW in kind)
    )


def _is_flat(value: dict[str, object]) -> bool:
    return any(str(name).strip().lower() in _NAMES["url"] for name in value)


# --- a row ---------------------------------------------------------------------------------------


def _checked(entry: object, now: datetime, line: int, row: str) -> Given | Reject:
    if not isinstance(entry, dict):
        return reject(line, "", messages.NOT_OBJECT, row)
    by_name = {str(name).strip().lower(): value for name, value in entry.items()}
    if not any(name in by_name for field in ("title", "url", "claim") for name in _NAMES[field]):
        return reject(line, "", NO_CLARIFICATION, row)
    fields: dict[str, str] = {}
    try:
        for field, names in _NAMES.items():
            values = [_plain(by_name[name], field) for name in names if name in by_name]
            fields[field] = next((value for value in values if value.strip()), "")
        return given(fields, now=now, line=line)
    except BadField as error:
        return reject(line, error.field, error.reason, row)


def _plain(value: object, field: str) -> str:
    """Return the words of a value: a text, or the name of a person, organisation or rating."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = next((value[name] for name in _WITHIN if value.get(name)), None)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadField(field, NOT_TEXT)
    return value
