"""The report's figures as small SVG files: shapes and words, told apart by more than colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from typing import Final

from markupsafe import escape

_WIDTH: Final = 720
_HEIGHT: Final = 380
_LEFT: Final = 60
_RIGHT: Final = 200
_TOP: Final = 44
_BOTTOM: Final = 48
_STYLES: Final = (
    ("#b3261e", "", 3.0),
    ("#1f4e79", "7 4", 2.0),
    ("#2e6b34", "2 3", 2.0),
    ("#6b4e9b", "10 3 2 3", 2.0),
    ("#7a5c00", "4 2", 2.0),
    ("#4a4a4a", "1 5", 2.0),
    ("#0b7a75", "12 4", 2.0),
)
"""Colour, dashes and width of each series; its name stands at its end besides."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """The plane that is drawn in: from data to pixels."""

    x0: float
    x1: float
    y0: float
    y1: float
    right: int = _RIGHT

    def x(self, value: float) -> float:
        """Return the pixel of a value across."""
        span = (self.x1 - self.x0) or 1.0
        return _LEFT + (value - self.x0) / span * (_WIDTH - _LEFT - self.right)

    def y(self, value: float) -> float:
        """Return the pixel of a value up."""
        span = (self.y1 - self.y0) or 1.0
        return _HEIGHT - _BOTTOM - (value - self.y0) / span * (_HEIGHT - _TOP - _BOTTOM)


def lines(
    series: Mapping[str, Sequence[float]],
    ticks: Sequence[str],
    *,
    title: str,
    across: str,
    up: str,
    highest: float = 1.0,
) -> str:
    """Return lines over named places, each with its name at its end."""
    frame = _Frame(0, len(ticks) - 1, 0, highest)
    parts = _axes(frame, title, across, up)
    parts += [_text(frame.x(i), _HEIGHT - _BOTTOM + 16, t, "middle") for i, t in enumerate(ticks)]
    ends = _apart({name: frame.y(values[-1]) for name, values in series.items()})
    for (name, values), (colour, dashes, width) in zip(
        series.items(), cycle(_STYLES), strict=False
    ):
        points = [(frame.x(i), frame.y(v)) for i, v in enumerate(values)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(
            f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
            f'stroke-dasharray="{dashes or "none"}"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(_text(points[-1][0] + 8, ends[name] + 4, name, fill=colour))
    return _svg(title, parts)


def bars(
    counts: Mapping[str, float], *, title: str, across: str, up: str, marked: str | None = None
) -> str:
    """Return a column per name; ``marked`` is drawn in another colour and hatched by a frame."""
    frame = _Frame(0, len(counts), 0, _round(max(counts.values(), default=0)), right=20)
    parts = _axes(frame, title, across, up)
    for i, (name, count) in enumerate(counts.items()):
        x, width = frame.x(i + 0.1), frame.x(i + 0.9) - frame.x(i + 0.1)
        colour = "#4a4a4a" if name == marked else "#b3261e"
        parts.append(
            f'<rect x="{x:.1f}" y="{frame.y(count):.1f}" width="{width:.1f}" '
            f'height="{frame.y(0) - frame.y(count):.1f}" fill="{colour}"/>'
        )
        parts.append(_text(frame.x(i + 0.5), _HEIGHT - _BOTTOM + 16, name, "middle"))
        if count:
            parts.append(_text(frame.x(i + 0.5), frame.y(count) - 4, f"{count:g}", "middle"))
    return _svg(title, parts)


def story(
    moments: Sequence[datetime],
    marks: Mapping[str, datetime],
    *,
    title: str,
    across: str,
    up: str,
) -> str:
    """Return how many posts there were up to each moment, with named moments marked."""
    hours = [(at - moments[0]).total_seconds() / 3600 for at in moments]
    frame = _Frame(0, _round(hours[-1]), 0, _round(len(moments)), right=20)
    parts = _axes(frame, title, across, up)
    for share in range(5):
        hour = frame.x1 * share / 4
        parts.append(_text(frame.x(hour), _HEIGHT - _BOTTOM + 16, f"{hour:g}", "middle"))
    path = [f"M{frame.x(0):.1f} {frame.y(0):.1f}"]
    for count, passed in enumerate(hours, start=1):
        path.append(f"H{frame.x(passed):.1f}V{frame.y(count):.1f}")
    parts.append(f'<path d="{"".join(path)}" fill="none" stroke="#b3261e" stroke-width="2"/>')
    for number, (name, at) in enumerate(marks.items()):
        x = frame.x((at - moments[0]).total_seconds() / 3600)
        seen = sum(m <= at for m in moments)
        y = _TOP + 16 + 18 * number
        parts.append(
            f'<path d="M{x:.1f} {frame.y(0):.1f}V{y + 4}" stroke="#1f4e79" stroke-width="1.5" '
            f'stroke-dasharray="5 3"/>'
        )
        side = "start" if x < _WIDTH / 2 else "end"
        shift = 5 if side == "start" else -5
        parts.append(_text(x + shift, y, f"{name}: post {seen}", side, fill="#1f4e79"))
    return _svg(title, parts)


def _axes(frame: _Frame, title: str, across: str, up: str) -> list[str]:
    left, right, foot = frame.x(frame.x0), frame.x(frame.x1), frame.y(frame.y0)
    parts = [
        _text(_LEFT, 22, title, size=15),
        _text((left + right) / 2, _HEIGHT - 8, across, "middle"),
    ]
    parts.append(
        f'<text transform="translate(16 {(foot + _TOP) / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(up)}</text>'
    )
    for step in range(5):
        value = frame.y0 + (frame.y1 - frame.y0) * step / 4
        y = frame.y(value)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#d0d0d0"/>')
        shown = f"{value:.0%}" if frame.y1 == 1 else f"{value:g}"
        parts.append(_text(left - 6, y + 4, shown, "end"))
    return parts


def _round(most: float) -> float:
    """Return a number not below ``most`` whose quarters are read easily."""
    power = 1.0
    while True:
        for factor in (4, 8, 12, 20, 32):
            if most <= factor * power:
                return factor * power
        power *= 10


def _apart(ends: Mapping[str, float]) -> dict[str, float]:
    """Return heights of the names, moved so that none lies on another."""
    out: dict[str, float] = {}
    last = -1e9
    for name in sorted(ends, key=lambda n: ends[n]):
        last = max(ends[name], last + 15)
        out[name] = last
    return out


def _text(
    x: float, y: float, words: str, anchor: str = "start", *, size: int = 12, fill: str = "#222222"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{fill}">{escape(words)}</text>'
    )


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )
