"""Charts of narratives as SVG made here: a small line for lists, and one narrative in time.

Widths are percentages and heights pixels, so that a chart fills its place and its words keep their
size. The colours come from classes of the style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup, escape

from service.narratives.timelines import Line
from service.pages import words

_SPARK_HEIGHT: Final = 24
PLOT: Final = 170
"""Height of the columns of a timeline, in pixels."""
_TICK_ROOM: Final = 20
_FORECAST_SHARES: Final = (0.04, 0.33)
"""How long a forecast is drawn, measured by the past: an hour beside half a year is no line, and a
day beside an hour hides what was. It is even, so a part of it stands for the whole."""


def spark(line: Line, *, title: str) -> Markup:
    """Return the posts per bin as a row of thin columns; ``title`` says in words what it shows."""
    top = max((*line.counts, 1))
    parts = []
    for place, count in enumerate(line.counts):
        if count:
            height = max(2.0, _SPARK_HEIGHT * count / top)
            parts.append(
                f'<rect x="{place}" y="{_SPARK_HEIGHT - height:.1f}" width="0.85" '
                f'height="{height:.1f}"/>'
            )
    return Markup(
        f'<svg class="spark" viewBox="0 0 {len(line.counts)} {_SPARK_HEIGHT}" '
        f'preserveAspectRatio="none" role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Posts still expected within ``hours``: low, middle and high."""

    hours: float
    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A stage entered, for a line in the chart."""

    at: datetime
    stage: str


def timeline(
    line: Line,
    *,
    now: datetime | None,
    band: Band | None = None,
    marks: Sequence[Mark] = (),
    title: str,
    desc: str,
) -> Markup:
    """Return posts per bin as columns over a time axis.

    ``now`` ends the past (None: the narrative ended before); after it stands ``band``, spread
    evenly over its hours: a forecast of a sum says nothing of the hours within.
    """
    span = (line.end - line.start).total_seconds()
    end = line.end
    per_bin = 0.0
    if now is not None and band is not None:
        least, most = (span * share for share in _FORECAST_SHARES)
        width = min(max(band.hours * 3600, least), most)
        end = max(end, now + timedelta(seconds=width))
        per_bin = line.size_s / (band.hours * 3600)
    total = (end - line.start).total_seconds()

    def x(moment: datetime) -> float:
        return 100 * (moment - line.start).total_seconds() / total

    expected = band.high * per_bin if band is not None else 0.0
    top = ceiling(max((*line.counts, expected)))
    parts = [
        f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>' for y in (0.5, PLOT / 2, PLOT)
    ]
    if now is not None and band is not None:
        left = x(now)
        low, mid, high = (PLOT * (1 - v * per_bin / top) for v in (band.low, band.mid, band.high))
        parts.append(
            f'<rect class="band" x="{left:.2f}%" y="{high:.1f}" width="{100 - left:.2f}%" '
            f'height="{max(1.0, low - high):.1f}"/>'
            f'<line class="mid" x1="{left:.2f}%" x2="100%" y1="{mid:.1f}" y2="{mid:.1f}"/>'
        )
    wide = 100 * line.size_s / total
    for place, count in enumerate(line.counts):
        if count:
            height = max(1.0, PLOT * count / top)
            parts.append(
                f'<rect class="posts" x="{place * wide:.3f}%" y="{PLOT - height:.1f}" '
                f'width="{wide * 0.88:.3f}%" height="{height:.1f}"/>'
            )
    for mark in marks:
        if line.start <= mark.at <= end:
            at = x(mark.at)
            # The word stands on the side where there is room.
            side = ("end", -4) if at > 60 else ("start", 4)
            parts.append(
                f'<line class="stage {escape(mark.stage)}" x1="{at:.2f}%" x2="{at:.2f}%" y1="0" '
                f'y2="{PLOT}"/><text class="stage" x="{at:.2f}%" dx="{side[1]}" y="12" '
                f'text-anchor="{side[0]}">{escape(words.STAGES[mark.stage])}</text>'
            )
    if now is not None:
        parts.append(
            f'<line class="now" x1="{x(now):.2f}%" x2="{x(now):.2f}%" y1="0" y2="{PLOT}"/>'
        )
    parts += _ticks(line, now, total)
    return Markup(
        f'<svg class="timeline" height="{PLOT + _TICK_ROOM}" role="img" '
        f'aria-labelledby="timeline-title timeline-desc"><title id="timeline-title">'
        f'{escape(title)}</title><desc id="timeline-desc">{escape(desc)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _ticks(line: Line, now: datetime | None, total: float) -> list[str]:
    """Return the words of the time axis: the start, the middle, and the present or the end."""
    last = line.end if now is None else now
    span = last - line.start
    form = "%H.%M" if span <= timedelta(hours=20) else "%d/%m %H.%M"
    if span > timedelta(days=8):
        form = "%d/%m/%y" if span > timedelta(days=150) else "%d/%m"
    out = []
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = line.start + span * share
        said = at.astimezone(words.WIB).strftime(form)
        if share == 1 and now is not None:
            said = "sekarang"
        x = 100 * (at - line.start).total_seconds() / total
        out.append(
            f'<text class="tick" x="{x:.2f}%" y="{PLOT + 15}" text-anchor="{anchor}">{said}</text>'
        )
    return out


def ceiling(most: float) -> int:
    """Return an even number that ``most`` does not exceed, round enough to read; 2 at least."""
    if most <= 2:
        return 2
    power = 1
    while power * 10 < most:
        power *= 10
    return next(
        step * power // 10
        for step in (20, 40, 60, 80, 100)
        if step * power // 10 >= most and step * power // 10 % 2 == 0
    )
