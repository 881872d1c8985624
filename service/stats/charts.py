"""Charts as SVG made here: shapes alone, words stand beside them in HTML and stay readable."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from service.stats.service import Day, Precision

_HEIGHT = 100


def columns(days: Sequence[Day], *, name: str, title: str, desc: str) -> Markup:
    """Return a column a day: all posts, and at its foot, dark, those that were flagged.

    ``name`` tells this chart's elements from those of another on the page.
    """
    top = ceiling(days)
    parts = []
    for number, day in enumerate(days):
        x = number + 0.1
        for count, kind in ((day.posts, "all"), (day.flagged, "flagged")):
            if count:
                height = _HEIGHT * min(count, top) / top
                parts.append(
                    f'<rect class="{kind}" x="{x:.2f}" y="{_HEIGHT - height:.2f}" '
                    f'width="0.8" height="{height:.2f}"/>'
                )
    lines = "".join(
        f'<line class="grid" x1="0" x2="{len(days)}" y1="{y}" y2="{y}"/>' for y in (0, 50, 100)
    )
    return Markup(
        f'<svg class="columns" viewBox="0 0 {len(days)} {_HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(desc)}</desc>{lines}{"".join(parts)}</svg>'
    )


def ceiling(days: Sequence[Day]) -> int:
    """Return a round number that no day exceeds: 1, 2 or 5 times a power of ten, 2 at least."""
    most = max((max(day.posts, day.flagged) for day in days), default=0)
    if most <= 2:
        return 2
    power: int = 10 ** (len(str(most)) - 1)
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= most)


def bar(value: float, most: float, kind: str = "") -> Markup:
    """Return a bar for a cell of a table; the number beside it says the same."""
    width = 100 * value / most if most else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"/>'
        f'<rect class="fill {escape(kind)}" width="{width:.2f}" height="10"/></svg>'
    )


def interval(precision: Precision, *, title: str, desc: str) -> Markup:
    """Return a share as a bar from 0 to 100 % with its interval drawn over it."""
    low, share, high = (100 * s for s in (precision.low, precision.share, precision.high))
    return Markup(
        '<svg class="bar interval" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        'aria-labelledby="precision-title precision-desc">'
        f'<title id="precision-title">{escape(title)}</title>'
        f'<desc id="precision-desc">{escape(desc)}</desc>'
        '<rect class="track" width="100" height="10"/>'
        f'<rect class="fill" width="{share:.2f}" height="10"/>'
        f'<path class="whisker" d="M{low:.2f} 5H{high:.2f}M{low:.2f} 1V9M{high:.2f} 1V9"/></svg>'
    )
