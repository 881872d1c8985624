"""What narratives look like in time: posts per bin, for the small line of a list and for a chart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, Integer, column, func, select, values
from sqlalchemy.orm import Session

from service.narratives.counts import BUCKET_S
from service.tables import Narrative, NarrativeBucket

SPARK_BINS: Final = 48
SPARK_SPAN: Final = timedelta(hours=48)
LONGEST: Final = timedelta(days=180)
"""The part of a narrative's life that its chart shows at most."""
_SIZES: Final = (
    (timedelta(hours=30), 600),
    (timedelta(days=8), 3600),
    (timedelta(days=40), 21_600),
)
"""Up to which span of the chart a column is how many seconds wide; a day beyond."""
_WIB_S: Final = 7 * 3600
"""Bins of six hours and of days begin at midnight in Jakarta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Posts per bin: ``counts`` from ``start`` on, each of ``size_s`` seconds."""

    start: datetime
    size_s: int
    counts: tuple[int, ...]

    @property
    def end(self) -> datetime:
        """The end of the last bin."""
        return self.start + timedelta(seconds=self.size_s * len(self.counts))


def sparks(
    session: Session, narratives: Collection[Narrative], now: datetime
) -> Mapping[int, Line]:
    """Return by narrative its last 48 hours, or its whole life where it ended before; one query."""
    if not narratives:
        return {}
    spans = {n.id: _spark_span(n, now) for n in narratives}
    rows = values(
        column("id", BigInteger), column("start", BigInteger), column("size", Integer), name="asked"
    ).data([(number, start, size) for number, (start, size) in spans.items()])
    asked = rows.cte("asked")
    row = NarrativeBucket
    bin_of = ((row.at - asked.c.start) // asked.c.size).label("bin")
    query = (
        select(row.narrative_id, bin_of, func.sum(row.posts))
        .join(asked, asked.c.id == row.narrative_id)
        .where(row.at >= asked.c.start, row.at < asked.c.start + SPARK_BINS * asked.c.size)
        .group_by(row.narrative_id, "bin")
    )
    counts = {number: [0] * SPARK_BINS for number in spans}
    for number, place, many in session.execute(query):
        counts[number][int(place)] += int(many)
    return {
        number: Line(start=_at(start), size_s=size, counts=tuple(counts[number]))
        for number, (start, size) in spans.items()
    }


def _spark_span(narrative: Narrative, now: datetime) -> tuple[int, int]:
    """Return start and size of the bins, in seconds."""
    if narrative.last_seen_at > now - SPARK_SPAN:
        size = int(SPARK_SPAN.total_seconds()) // SPARK_BINS
        return (int(now.timestamp()) // size - SPARK_BINS + 1) * size, size
    first = int(narrative.first_seen_at.timestamp()) // BUCKET_S * BUCKET_S
    life = int(narrative.last_seen_at.timestamp()) + 1 - first
    return first, max(BUCKET_S, -(-life // (SPARK_BINS * BUCKET_S)) * BUCKET_S)


def timeline(session: Session, narrative: Narrative, now: datetime) -> tuple[Line, bool]:
    """Return the posts of a narrative in time, and whether the line reaches the present.

    The width of a bin follows from the span. A narrative that has been silent for longer than it
    lived, and for a day, is shown as far as it went.
    """
    life = narrative.last_seen_at - narrative.first_seen_at
    alive = now - narrative.last_seen_at <= max(life, timedelta(days=1))
    end = max(now, narrative.last_seen_at) if alive else narrative.last_seen_at
    begin = max(narrative.first_seen_at, end - LONGEST)
    size = next((size for span, size in _SIZES if end - begin <= span), 86_400)
    start = (int(begin.timestamp()) + _WIB_S) // size * size - _WIB_S
    bins = (int(end.timestamp()) - start) // size + 1
    row = NarrativeBucket
    bin_of = ((row.at - start) // size).label("bin")
    query = (
        select(bin_of, func.sum(row.posts))
        .where(row.narrative_id == narrative.id, row.at >= start, row.at < start + bins * size)
        .group_by("bin")
    )
    counts = [0] * bins
    for place, many in session.execute(query):
        counts[int(place)] += int(many)
    return Line(start=_at(start), size_s=size, counts=tuple(counts)), alive


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
